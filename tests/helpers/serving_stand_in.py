"""A stand-in for TF Serving: its gRPC and REST predict calls over SavedModels.

It loads them as TF Serving's loader does (graph, variables by name, no Python objects)
and ports what tensorflow/serving decides in predict_util.cc, json_tensor.cc and
http_rest_api_handler.cc, for signatures with one input and one output. The real
server's HTTP stack, batching and version polling stay untested. Unlike that server by
default, it serves all versions of a model.
"""

import base64
import binascii
import json
import pathlib
import re
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc as service

Code = grpc.StatusCode
CODES = {code.value[0]: code for code in Code}
HTTP_STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.OUT_OF_RANGE: 400,
    Code.NOT_FOUND: 404,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}


class ServingError(Exception):
    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code = code


def invalid(message: str) -> ServingError:
    return ServingError(Code.INVALID_ARGUMENT, message)


class LoadedModel:
    """A version of a model in a session of its own."""

    def __init__(self, folder: pathlib.Path):
        graph = tf.Graph()
        with graph.as_default():
            self.session = tf.compat.v1.Session(graph=graph)
            load = tf.compat.v1.saved_model.loader.load
            self.signatures = load(self.session, ["serve"], str(folder)).signature_def
        graph.finalize()

    def run(self, signature, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        given, wanted = sorted(inputs), sorted(signature.inputs)
        if given != wanted:
            raise invalid(f"input size does not match signature: {given} != {wanted}")
        for name, info in signature.inputs.items():
            if inputs[name].dtype != tf.as_dtype(info.dtype).as_numpy_dtype:
                raise invalid(f"{name} is not of the signature's type")
        feeds = {signature.inputs[name].name: inputs[name] for name in inputs}
        fetches = {name: info.name for name, info in signature.outputs.items()}
        try:
            return self.session.run(fetches, feeds)
        except tf.errors.OpError as error:
            # Python changes what the C++ session says, and keeps that as the context.
            message = getattr(error.__context__, "message", error.message)
            raise ServingError(CODES[error.error_code], message) from error
        except ValueError as error:  # The shape.
            raise invalid(str(error)) from error


def from_json(body: dict, name: str, info) -> np.ndarray:
    """The tensor of a signature's only input in a request."""
    if ("instances" in body) == ("inputs" in body):
        raise invalid("Missing 'inputs' or 'instances' key, or both are there")
    value = body.get("inputs", body.get("instances"))
    if "instances" in body and not (isinstance(value, list) and value):
        raise invalid("Excepting 'instances' to be an list/array with values")
    if "inputs" in body and isinstance(value, dict) and name in value:
        value = value[name]
    elif "instances" in body and all(isinstance(v, dict) for v in value):
        value = [row[name] if set(row) == {name} else row for row in value]
    is_string = info.dtype == tf.string.as_datatype_enum
    try:
        array = np.array(decoded(value), object if is_string else None)
    except (binascii.Error, ValueError) as error:
        raise invalid(str(error)) from error
    if is_string and all(isinstance(v, bytes) for v in array.flat):
        return array
    dtype = np.dtype(tf.as_dtype(info.dtype).as_numpy_dtype)
    if array.dtype.kind not in {"f": "if", "u": "i", "i": "i"}.get(dtype.kind, ""):
        raise invalid(f"JSON Value is not of expected type: {dtype}, or of no shape")
    return array.astype(dtype)


def decoded(value):
    """Nested lists of JSON with strings as bytes."""
    match value:
        case [*elements]:
            return [decoded(element) for element in elements]
        case str():
            return value.encode()
        case bool():  # To TF Serving no number.
            raise ValueError(f"JSON Value: {value} is not of expected type")
        case {"b64": str(text)} if len(value) == 1:
            return base64.b64decode("".join(text.split()), validate=True)
        case _:
            return value


def to_json(name: str, value):
    """A tensor's values: strings are packed only if its name ends in _bytes."""
    if isinstance(value, list):
        return [to_json(name, element) for element in value]
    if not isinstance(value, bytes):
        return value
    if name.endswith("_bytes"):
        return {"b64": base64.b64encode(value).decode()}
    return value.decode(errors="replace")


class ServingStandIn(service.PredictionServiceServicer):
    """Serves models, given as name and the folder above their versions, while entered.

    Attributes:
      grpc_address: HOST:PORT.
      rest_url: http://HOST:PORT.
    """

    def __init__(self, models: dict[str, pathlib.Path]):
        self._models = {
            name: {int(f.name): LoadedModel(f) for f in folder.iterdir()}
            for name, folder in models.items()
        }
        lengths = ("grpc.max_send_message_length", "grpc.max_receive_message_length")
        self._grpc = grpc.server(
            futures.ThreadPoolExecutor(8), options=[(key, -1) for key in lengths]
        )
        service.add_PredictionServiceServicer_to_server(self, self._grpc)
        self.grpc_address = f"127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"
        self._http = _HTTPServer(("127.0.0.1", 0), _Handler)
        self._http.stand_in = self
        self.rest_url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self):
        self._grpc.start()
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(grace=None).wait()
        for versions in self._models.values():
            for model in versions.values():
                model.session.close()

    def status(self, name: str) -> dict:
        if name not in self._models:
            message = f"Could not find any versions of model {name}"
            raise ServingError(Code.NOT_FOUND, message)
        fields = {"state": "AVAILABLE", "status": {"error_code": "OK"}}
        versions = [{"version": str(number), **fields} for number in self._models[name]]
        return {"model_version_status": versions}

    def model(self, name: str, version: int | None) -> LoadedModel:
        versions = self._models.get(name, {})
        wanted = max(versions, default=None) if version is None else version
        if wanted not in versions:
            which = (
                f"Latest({name})" if version is None else f"Specific({name}, {wanted})"
            )
            message = f"Servable not found for request: {which}"
            raise ServingError(Code.NOT_FOUND, message)
        return versions[wanted]

    def Predict(self, request, context):  # noqa: N802
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        name = spec.signature_name or "serving_default"
        try:
            model = self.model(spec.name, version)
            if name not in model.signatures:
                message = f'Serving signature key "{name}" not found.'
                raise ServingError(Code.FAILED_PRECONDITION, message)
            inputs = {key: tf.make_ndarray(t) for key, t in request.inputs.items()}
            outputs = model.run(model.signatures[name], inputs)
        except ServingError as error:
            context.abort(error.code, str(error))
        reply = predict_pb2.PredictResponse()
        for key, array in outputs.items():
            reply.outputs[key].CopyFrom(tf.make_tensor_proto(array))
        return reply

    def predict_json(self, name: str, version: int | None, text: bytes) -> dict:
        try:
            body = json.loads(text)
        except ValueError as error:
            raise invalid(f"JSON Parse error: {error}") from error
        if not isinstance(body, dict):
            raise invalid("JSON Value: Is not object")
        model = self.model(name, version)
        key = body.get("signature_name", "serving_default")
        if key not in model.signatures:
            raise invalid(f'Serving signature name: "{key}" not found in signature def')
        ((name, info),) = model.signatures[key].inputs.items()
        outputs = model.run(model.signatures[key], {name: from_json(body, name, info)})
        ((name, array),) = outputs.items()
        by_rows = "instances" in body
        return {"predictions" if by_rows else "outputs": to_json(name, array.tolist())}


class _HTTPServer(ThreadingHTTPServer):
    request_queue_size = 64


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # Header and body leave together.

    def do_GET(self):  # noqa: N802
        self._answer("", lambda name, _: self.server.stand_in.status(name))

    def do_POST(self):  # noqa: N802
        text = self.rfile.read(int(self.headers["Content-Length"]))
        predict = self.server.stand_in.predict_json
        self._answer(":predict", lambda *which: predict(*which, text))

    def _answer(self, verb: str, function) -> None:
        pattern = rf"/v1/models/([^/:]+)(?:/versions/(\d+))?{verb}"
        match = re.fullmatch(pattern, self.path)
        try:
            if not match:
                raise invalid(f"Malformed request: {self.command} {self.path}")
            name, version = match.groups()
            status, answer = 200, function(name, int(version) if version else None)
        except ServingError as error:
            status, answer = HTTP_STATUS.get(error.code, 500), {"error": str(error)}
        content = json.dumps(answer, indent=4).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *message):
        pass
