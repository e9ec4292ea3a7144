"""A stand-in for TF Serving: its gRPC and REST predict calls over SavedModels.

It loads them as TF Serving's loader does (graph, variables by name, no Python objects)
and ports what tensorflow/serving decides in predict_util.cc, json_tensor.cc and
http_rest_api_handler.cc, for signatures of encoded pictures. The real server's HTTP
stack, batching, version polling and other refusals stay untested. Unlike that server by
default, it serves all versions of a model.
"""

import base64
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
HTTP_STATUS = {Code.INVALID_ARGUMENT: 400, Code.NOT_FOUND: 404}


class ServingError(Exception):
    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code = code


class LoadedModel:
    """A version of a model in a session of its own."""

    def __init__(self, folder: pathlib.Path):
        graph = tf.Graph()
        with graph.as_default():
            self.session = tf.compat.v1.Session(graph=graph)
            load = tf.compat.v1.saved_model.loader.load
            self.signatures = load(self.session, ["serve"], str(folder)).signature_def
        graph.finalize()

    def run(self, name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        signature = self.signatures[name]
        feeds = {signature.inputs[name].name: inputs[name] for name in inputs}
        fetches = {name: info.name for name, info in signature.outputs.items()}
        try:
            return self.session.run(fetches, feeds)
        except tf.errors.OpError as error:
            # Python changes what the C++ session says, and keeps that as the context.
            message = getattr(error.__context__, "message", error.message)
            raise ServingError(CODES[error.error_code], message) from error


def from_json(body: dict, name: str) -> np.ndarray:
    """Pictures in a request: in rows or in a column, with or without their name."""
    value = body["instances"] if "instances" in body else body["inputs"]
    if isinstance(value, dict):
        value = value[name]
    texts = [row.get(name, row)["b64"] for row in value]
    return np.array([base64.b64decode(text, validate=True) for text in texts], object)


def to_json(name: str, value):
    """A tensor's values: strings are packed only if its name ends in _bytes."""
    if isinstance(value, list):
        return [to_json(name, element) for element in value]
    if name.endswith("_bytes"):
        return {"b64": base64.b64encode(value).decode()}
    return value.decode(errors="replace")


class ServingStandIn(service.PredictionServiceServicer):
    """Serves models, given as name and the folder above their versions, while entered.

    Attributes:
      addresses: By protocol: HOST:PORT of `grpc`, http://HOST:PORT of `rest`.
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
        self._http = _HTTPServer(("127.0.0.1", 0), _Handler)
        self._http.stand_in = self
        port = self._grpc.add_insecure_port("127.0.0.1:0")
        url = f"http://127.0.0.1:{self._http.server_port}"
        self.addresses = {"grpc": f"127.0.0.1:{port}", "rest": url}

    def __enter__(self):
        self._grpc.start()
        threading.Thread(
            target=self._http.serve_forever, args=[0.01], daemon=True
        ).start()
        return self

    def __exit__(self, *exception):
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(grace=None).wait()
        for versions in self._models.values():
            for model in versions.values():
                model.session.close()

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
        try:
            model = self.model(spec.name, version)
            inputs = {key: tf.make_ndarray(t) for key, t in request.inputs.items()}
            outputs = model.run(spec.signature_name or "serving_default", inputs)
        except ServingError as error:
            context.abort(error.code, str(error))
        reply = predict_pb2.PredictResponse()
        for key, array in outputs.items():
            reply.outputs[key].CopyFrom(tf.make_tensor_proto(array))
        return reply

    def predict_json(self, name: str, version: int | None, text: bytes) -> dict:
        body = json.loads(text)
        model = self.model(name, version)
        key = body.get("signature_name", "serving_default")
        (name,) = model.signatures[key].inputs
        ((output, array),) = model.run(key, {name: from_json(body, name)}).items()
        by_rows = "instances" in body
        answer = to_json(output, array.tolist())
        return {"predictions" if by_rows else "outputs": answer}


class _HTTPServer(ThreadingHTTPServer):
    request_queue_size = 64


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # Header and body leave together.

    def do_POST(self):  # noqa: N802
        text = self.rfile.read(int(self.headers["Content-Length"]))
        pattern = r"/v1/models/([^/:]+)(?:/versions/(\d+))?:predict"
        name, version = re.fullmatch(pattern, self.path).groups()
        try:
            version = int(version) if version else None
            answer = self.server.stand_in.predict_json(name, version, text)
            status = 200
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
