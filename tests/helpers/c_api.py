"""A SavedModel through TensorFlow's C API, with ctypes and NumPy alone.

`TF_LoadSessionFromSavedModel` calls tensorflow::LoadSavedModel, the function with which
TF Serving loads a version, so what passes here does not lean on TensorFlow's Python.
`main` runs in a process of its own, which knows nothing of this project.
"""

import ctypes
import importlib.util
import pathlib
import pickle
import sys
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p

import numpy as np

_DTYPES = {1: np.float32, 4: np.uint8}  # By tensorflow::DataType.
_STRING = 7
_STRING_BYTES = 24  # sizeof(TF_TString)


class Failure(Exception):
    """A TF_Status that is not OK: its code and message."""

    def __init__(self, code: int, message: str):
        super().__init__(code, message)
        self.code, self.message = code, message


class _Output(ctypes.Structure):
    _fields_ = [("operation", c_void_p), ("index", c_int)]


def _library() -> ctypes.CDLL:
    # Finding a package does not import it.
    package = importlib.util.find_spec("tensorflow").submodule_search_locations[0]
    path = pathlib.Path(package)
    framework, cc = (
        next(path.glob(f"libtensorflow_{part}.*2*")) for part in ("framework", "cc")
    )
    ctypes.CDLL(str(framework), mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(cc))
    declarations = {
        "TF_NewStatus": (c_void_p, []),
        "TF_GetCode": (c_int, [c_void_p]),
        "TF_Message": (c_char_p, [c_void_p]),
        "TF_DeleteStatus": (None, [c_void_p]),
        "TF_NewSessionOptions": (c_void_p, []),
        "TF_NewGraph": (c_void_p, []),
        "TF_LoadSessionFromSavedModel": (
            c_void_p,
            [c_void_p, c_void_p, c_char_p, POINTER(c_char_p), c_int, c_void_p]
            + [c_void_p, c_void_p],
        ),
        "TF_GraphOperationByName": (c_void_p, [c_void_p, c_char_p]),
        "TF_AllocateTensor": (c_void_p, [c_int, POINTER(c_int64), c_int, c_size_t]),
        "TF_DeleteTensor": (None, [c_void_p]),
        "TF_TensorData": (c_void_p, [c_void_p]),
        "TF_TensorType": (c_int, [c_void_p]),
        "TF_TensorByteSize": (c_size_t, [c_void_p]),
        "TF_NumDims": (c_int, [c_void_p]),
        "TF_Dim": (c_int64, [c_void_p, c_int]),
        "TF_StringInit": (None, [c_void_p]),
        "TF_StringCopy": (None, [c_void_p, c_char_p, c_size_t]),
        "TF_StringGetDataPointer": (c_void_p, [c_void_p]),
        "TF_StringGetSize": (c_size_t, [c_void_p]),
        "TF_SessionRun": (
            None,
            [c_void_p, c_void_p]
            + [POINTER(_Output), POINTER(c_void_p), c_int] * 2
            + [c_void_p, c_int, c_void_p, c_void_p],
        ),
    }
    for name, (result, arguments) in declarations.items():
        getattr(library, name).restype = result
        getattr(library, name).argtypes = arguments
    return library


class Session:
    """A loaded SavedModel.

    Args:
      folder: The version's folder.

    Raises:
      Failure: TensorFlow can't load it.
    """

    def __init__(self, folder: str):
        self._library = _library()
        self._graph = self._library.TF_NewGraph()
        tags = (c_char_p * 1)(b"serve")
        self._session = self._checked(
            self._library.TF_LoadSessionFromSavedModel,
            self._library.TF_NewSessionOptions(),
            None,
            folder.encode(),
            tags,
            1,
            self._graph,
            None,
        )

    def run(self, source: str, target: str, value):
        """What the tensor `target` becomes for a value of `source`.

        Args:
          source: The input's name, such as `images:0`.
          target: The output's name.
          value: An array of floats or of uint8; or a list of bytes.

        Returns:
          The like.

        Raises:
          Failure: the run failed.
        """
        source, target = (
            _Output(self._operation(name), int(index))
            for name, index in (source.split(":"), target.split(":"))
        )
        fed, made = c_void_p(self._tensor(value)), c_void_p()
        try:
            self._checked(
                self._library.TF_SessionRun,
                *(self._session, None),
                *(byref(source), byref(fed), 1),
                *(byref(target), byref(made), 1),
                *(None, 0, None),
            )
        finally:
            self._library.TF_DeleteTensor(fed)
        result = self._value(made.value)
        self._library.TF_DeleteTensor(made)
        return result

    def _checked(self, function, *arguments):
        """Calls a function whose last argument is a status."""
        status = self._library.TF_NewStatus()
        result = function(*arguments, status)
        code = self._library.TF_GetCode(status)
        message = self._library.TF_Message(status).decode(errors="replace")
        self._library.TF_DeleteStatus(status)
        if code:
            raise Failure(code, message)
        return result

    def _operation(self, name: str) -> int:
        operation = self._library.TF_GraphOperationByName(self._graph, name.encode())
        if not operation:
            raise LookupError(f"No operation {name} in the graph.")
        return operation

    def _tensor(self, value) -> int:
        library = self._library
        if isinstance(value, list):
            tensor = self._allocated(_STRING, [len(value)], _STRING_BYTES * len(value))
            for place, text in zip(self._strings(tensor), value, strict=True):
                library.TF_StringInit(place)
                library.TF_StringCopy(place, text, len(text))
            return tensor
        dtype = next(number for number, t in _DTYPES.items() if t == value.dtype)
        tensor = self._allocated(dtype, value.shape, value.nbytes)
        ctypes.memmove(library.TF_TensorData(tensor), value.tobytes(), value.nbytes)
        return tensor

    def _allocated(self, dtype: int, shape, num_bytes: int) -> int:
        dims = (c_int64 * len(shape))(*shape)
        return self._library.TF_AllocateTensor(dtype, dims, len(shape), num_bytes)

    def _value(self, tensor: int):
        library = self._library
        if library.TF_TensorType(tensor) == _STRING:
            return [
                ctypes.string_at(
                    library.TF_StringGetDataPointer(place),
                    library.TF_StringGetSize(place),
                )
                for place in self._strings(tensor)
            ]
        content = ctypes.string_at(
            library.TF_TensorData(tensor), library.TF_TensorByteSize(tensor)
        )
        array = np.frombuffer(content, _DTYPES[library.TF_TensorType(tensor)])
        return array.reshape(self._shape(tensor))

    def _shape(self, tensor: int) -> list[int]:
        num_dims = self._library.TF_NumDims(tensor)
        return [self._library.TF_Dim(tensor, i) for i in range(num_dims)]

    def _strings(self, tensor: int) -> list[int]:
        """Addresses of the strings of a tensor."""
        start = self._library.TF_TensorData(tensor)
        (length,) = self._shape(tensor)
        return [start + _STRING_BYTES * i for i in range(length)]


def main() -> None:
    """Makes of CALLS, (folder, [(source, target, value), ..]), a list of results.

    argv are two paths, CALLS and RESULTS, both pickles. A result is an array or a list
    of bytes, as the value is, or the `Failure` of the call.
    """
    calls, results = map(pathlib.Path, sys.argv[1:])
    folder, values = pickle.loads(calls.read_bytes())
    session = Session(folder)

    def outcome(call):
        try:
            return session.run(*call)
        except Failure as failure:
            return failure

    made = [outcome(call) for call in values]
    strangers = {"cyclegan_tf", "tensorflow"} & set(sys.modules)
    if strangers:
        sys.exit(f"Imported: {strangers}")
    results.write_bytes(pickle.dumps(made))
