"""Errors between client and server are one line, and leave no file."""

import base64
import http.server
import socket
import sys
import threading

import pytest
import tensorflow as tf
from helpers.exporting_samples import nothing_changes
from helpers.serving_cases import MODEL, SPEAK, encoded, turned
from helpers.serving_stand_in import ServingStandIn
from tensorflow_serving.apis import predict_pb2

from cyclegan_tf.deploy import serving_client
from cyclegan_tf.messages import UserError


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def address(protocol: str, port: int) -> str:
    return {"grpc": f"127.0.0.1:{port}", "rest": f"http://127.0.0.1:{port}"}[protocol]


# --- Servers that fail


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("plain", "plain"),
        ("", "no reason given"),
        (
            "2 root error(s) found.\n  (0) INVALID_ARGUMENT: assertion failed: "
            "[image_bytes[1] is cut]\n\t [[{{node n}}]]\n  (1) INVALID: second\n",
            "image_bytes[1] is cut",
        ),
        ("a" * 400, "a" * 300),
        ("two\nlines", "two lines"),
    ],
    ids=["plain", "empty", "roots", "long", "lines"],
)
def test_message_of_the_server_becomes_one_line(message, line):
    error = serving_client._failed("x:1", "ABORTED", message)
    assert str(error) == f"x:1 answered ABORTED: {line}"


@pytest.mark.parametrize("protocol", SPEAK)
def test_server_that_is_not_there_is_named(tmp_path, protocol):
    server = address(protocol, unused_port())
    source, target = tmp_path / "horse.png", tmp_path / "zebra.png"
    source.write_bytes(encoded())
    with pytest.raises(UserError, match=f"^{server} [^\n]*refused[^\n]*$"):
        serving_client.translate_file(server, MODEL, source, target)
    assert not target.exists()


@pytest.mark.parametrize("protocol", SPEAK)
def test_server_that_never_answers_is_given_up(protocol):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = address(protocol, listener.getsockname()[1])
        with pytest.raises(UserError, match=f"^{server} answered .*(DEADLINE|Timeout)"):
            SPEAK[protocol](server, MODEL, [encoded()], timeout_seconds=0.3)


def test_server_without_port_is_refused():
    for server in ("localhost", "localhost:", "localhost:x", "ftp://localhost:1"):
        with pytest.raises(UserError, match=f"`server` .*'{server}'"):
            serving_client.translate_grpc(server, MODEL, [encoded()])


class WrongReplies(ServingStandIn):
    """Answers every request with one value under a name, or with some JSON."""

    def __init__(self, name="image_bytes", value=b""):
        super().__init__({})
        self.name, self.value, self.answer = name, value, ...

    def Predict(self, request, context):  # noqa: N802
        reply = predict_pb2.PredictResponse()
        reply.outputs[self.name].CopyFrom(tf.make_tensor_proto([self.value]))
        return reply

    def predict_json(self, name, version, text):
        if self.answer is not ...:
            return self.answer
        value = {"b64": base64.b64encode(self.value).decode()}
        if self.name != "image_bytes":
            value = {self.name: value, "label": 1}
        return {"predictions": [value]}


def test_reply_without_a_png_is_refused():
    for name, value in (("scores", encoded()), ("image_bytes", b"hello")):
        with WrongReplies(name, value) as server:
            for protocol, speak in SPEAK.items():
                told = f"^{server.addresses[protocol]} .*`image_bytes`"
                with pytest.raises(UserError, match=told):
                    speak(server.addresses[protocol], MODEL, [encoded()])


def test_reply_that_is_no_prediction_is_refused():
    answers = [None, "text", [], {}, {"predictions": 1}, {"predictions": ["text"]}]
    answers += [{"predictions": [{"b64": value}]} for value in ("?", 1)]
    with WrongReplies() as server:
        url = server.addresses["rest"]
        for server.answer in answers:
            with pytest.raises(UserError, match=f"^{url} .*`image_bytes`"):
                serving_client.translate_rest(url, MODEL, [encoded()])


def test_server_of_something_else_is_told():
    handler = http.server.SimpleHTTPRequestHandler
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01]).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(UserError, match=f"^{url} [^\n]*501[^\n]*$"):
            serving_client.translate_rest(url, MODEL, [encoded()])
        server.shutdown()


@pytest.mark.parametrize("missing", ["grpc", "tensorflow_serving.apis"])
def test_missing_package_is_named_with_its_remedy(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    told = rf"{missing}.*pip install tensorflow-serving-api"
    with pytest.raises(UserError, match=told):
        serving_client.translate_grpc("localhost:1", MODEL, [encoded()])


# --- Paths


def cut_while_turned(folder):
    (folder / "horse.png").write_bytes(turned(6, "PNG")[:300])


def make_folder(folder):
    (folder / "horse.png").unlink()
    (folder / "horse.png").mkdir()


# What is done in the folder, the file to write, and what must be named.
PATHS = {
    "missing": (lambda f: (f / "horse.png").unlink(), "zebra.png", "No such.*horse"),
    "folder": (make_folder, "zebra.png", "directory.*horse.png"),
    "text": (lambda f: (f / "horse.png").write_text("hi"), "zebra.png", "horse.png "),
    "empty": (lambda f: (f / "horse.png").write_text(""), "zebra.png", "horse.png "),
    "cut off": (cut_while_turned, "zebra.png", "horse.png "),
    "not png": (lambda f: None, "zebra.jpg", ".png.*zebra.jpg"),
    "same": (lambda f: None, "horse.png", "horse.png "),
    "hard link": (
        lambda f: (f / "linked.png").hardlink_to(f / "horse.png"),
        "linked.png",
        "linked.png ",
    ),
    "symbolic link": (
        lambda f: (f / "linked.png").symlink_to("horse.png"),
        "linked.png",
        "linked.png ",
    ),
}


@pytest.mark.parametrize("name", PATHS)
def test_path_that_does_not_fit_is_told(tmp_path, name):
    prepare, target, told = PATHS[name]
    source = tmp_path / "horse.png"
    source.write_bytes(encoded())
    prepare(tmp_path)
    told = f"^[^\n]*{told}[^\n]*$"
    errors = (UserError, OSError)
    with nothing_changes(tmp_path), pytest.raises(errors, match=told):
        serving_client.translate_file("x:1", MODEL, source, tmp_path / target)
