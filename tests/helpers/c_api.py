"""A SavedModel through TensorFlow's C API, with ctypes and NumPy alone.

`TF_LoadSessionFromSavedModel` calls tensorflow::LoadSavedModel, the function with which
TF Serving loads a version, so what passes here does not lean on TensorFlow's Python.
`main` runs in a process of its own, which knows nothing of this project and ends soon:
nothing is freed.
"""

import ctypes
import importlib.util
import pathlib
import pickle
import sys
from ctypes import byref, c_char_p, c_int64, c_size_t, c_void_p

import numpy as np

_DTYPES = {1: np.float32, 4: np.uint8}  # By tensorflow::DataType.
_STRING = 7
_STRING_BYTES = 24  # sizeof(TF_TString)


class Failure(Exception):
    """A TF_Status that is not OK; its arguments are the code and the message."""


class _Pointer(c_void_p):
    """A result that stays a pointer when it is handed on."""


class _Output(ctypes.Structure):
    _fields_ = [("operation", c_void_p), ("index", ctypes.c_int)]


def _library() -> ctypes.CDLL:
    # Finding a package does not import it.
    package = importlib.util.find_spec("tensorflow").submodule_search_locations[0]
    path = pathlib.Path(package)
    framework, cc = (
        next(path.glob(f"libtensorflow_{part}.*2*")) for part in ("framework", "cc")
    )
    ctypes.CDLL(str(framework), mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL(str(cc))
    results = {
        _Pointer: "NewStatus NewSessionOptions NewGraph LoadSessionFromSavedModel "
        "GraphOperationByName AllocateTensor TensorData StringGetDataPointer",
        c_char_p: "Message",
        c_size_t: "TensorByteSize StringGetSize",
        c_int64: "Dim",
    }
    for kind, names in results.items():
        for name in names.split():
            getattr(library, f"TF_{name}").restype = kind
    return library


class Session:
    """A SavedModel, loaded from its version's folder."""

    def __init__(self, folder: str):
        self._library = _library()
        self._graph = self._library.TF_NewGraph()
        options, tags = self._library.TF_NewSessionOptions(), (c_char_p * 1)(b"serve")
        self._session = self._checked(
            self._library.TF_LoadSessionFromSavedModel,
            *(options, None, folder.encode(), tags, 1, self._graph, None),
        )

    def run(self, source: str, target: str, value):
        """What the tensor named `target` becomes for a value of `source`.

        A value is an array of floats or of uint8, or a list of bytes.
        """
        fed, made = self._tensor(value), c_void_p()
        self._checked(
            self._library.TF_SessionRun,
            *(self._session, None),
            *(byref(self._place(source)), byref(fed), 1),
            *(byref(self._place(target)), byref(made), 1),
            *(None, 0, None),
        )
        return self._value(made)

    def _checked(self, function, *arguments):
        """Calls a function whose last argument is a status."""
        status = self._library.TF_NewStatus()
        result = function(*arguments, status)
        code = self._library.TF_GetCode(status)
        if code:
            message = self._library.TF_Message(status)
            raise Failure(code, message.decode(errors="replace"))
        return result

    def _place(self, tensor: str) -> _Output:
        name, index = tensor.split(":")
        operation = self._library.TF_GraphOperationByName(self._graph, name.encode())
        return _Output(operation, int(index))

    def _tensor(self, value) -> c_void_p:
        library = self._library
        if isinstance(value, list):
            tensor = self._allocated(_STRING, [len(value)], _STRING_BYTES * len(value))
            for place, text in zip(self._strings(tensor), value, strict=True):
                library.TF_StringInit(place)
                library.TF_StringCopy(place, text, c_size_t(len(text)))
            return tensor
        dtype = next(number for number, t in _DTYPES.items() if t == value.dtype)
        tensor = self._allocated(dtype, value.shape, value.nbytes)
        ctypes.memmove(library.TF_TensorData(tensor), value.tobytes(), value.nbytes)
        return tensor

    def _allocated(self, dtype: int, shape, num_bytes: int) -> c_void_p:
        dims = (c_int64 * len(shape))(*shape)
        allocate = self._library.TF_AllocateTensor
        return allocate(dtype, dims, len(shape), c_size_t(num_bytes))

    def _value(self, tensor: c_void_p):
        library = self._library
        dtype = library.TF_TensorType(tensor)
        if dtype == _STRING:
            return [
                ctypes.string_at(
                    library.TF_StringGetDataPointer(place),
                    library.TF_StringGetSize(place),
                )
                for place in self._strings(tensor)
            ]
        num_bytes = library.TF_TensorByteSize(tensor)
        content = ctypes.string_at(library.TF_TensorData(tensor), num_bytes)
        return np.frombuffer(content, _DTYPES[dtype]).reshape(self._shape(tensor))

    def _shape(self, tensor: c_void_p) -> list[int]:
        num_dims = self._library.TF_NumDims(tensor)
        return [self._library.TF_Dim(tensor, i) for i in range(num_dims)]

    def _strings(self, tensor: c_void_p) -> list[c_void_p]:
        """Addresses of the strings of a tensor."""
        start = self._library.TF_TensorData(tensor).value
        (length,) = self._shape(tensor)
        return [c_void_p(start + _STRING_BYTES * i) for i in range(length)]


def main() -> None:
    """Makes a pickle of values or failures of one of (folder, [arguments of a run])."""
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
