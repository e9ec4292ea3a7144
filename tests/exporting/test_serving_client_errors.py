"""What goes wrong between client and server is one line."""

import base64
import http.server
import socket
import sys
import threading

import pytest
import tensorflow as tf
from helpers.serving_cases import (
    MODEL,
    encoded,
    turned,
)
from helpers.serving_stand_in import ServingStandIn
from tensorflow_serving.apis import predict_pb2

from cyclegan_tf.exporting import serving_client
from cyclegan_tf.validation import UserError


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_unknown_model_is_told(served, protocol):
    with pytest.raises(UserError, match=r"not found .*Latest\(no_such\)$"):
        served.translate(protocol, [encoded()], model="no_such")


def test_unknown_version_is_told(served, protocol):
    with pytest.raises(UserError, match=r"not found .*Specific\(\w+, 77\)$"):
        served.translate(protocol, [encoded()], version=77)


@pytest.mark.parametrize(
    ("damaged", "told"),
    [
        (b"", "is neither JPEG, PNG, BMP nor GIF"),
        (b"hello", "is neither JPEG, PNG, BMP nor GIF"),
        (encoded()[:200], "cannot be decoded: it is damaged or cut off"),
    ],
    ids=["empty", "text", "cut off"],
)
def test_server_names_the_picture_that_it_refuses(served, protocol, damaged, told):
    with pytest.raises(UserError) as caught:
        served.translate(protocol, [encoded(), damaged, encoded()])
    code = {"grpc": "INVALID_ARGUMENT", "rest": "HTTP 400"}[protocol]
    line = str(caught.value)
    assert line.startswith(
        f"{served.address(protocol)} answered {code}: image_bytes[1]"
    )
    assert line.endswith(told)
    assert not set(line) & set("\n\\{")


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("plain", "plain"),
        ("", "no reason given"),
        ("{{function_node f}} {{node n}} first\n\t [[{{node n}}]]", "first"),
        (
            "2 root error(s) found.\n  (0) INVALID_ARGUMENT: assertion failed: "
            "[it can\\'t be]\n\t [[{{node n}}]]\n  (1) INVALID_ARGUMENT: second\n",
            "it can't be",
        ),
        ("a" * 400, "a" * 300 + "..."),
    ],
    ids=["plain", "empty", "nodes", "roots", "long"],
)
def test_message_is_cut_to_its_telling_line(message, line):
    assert serving_client._telling_line(message) == line


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_server_that_is_not_there_is_named(tmp_path, scheme):
    server = f"{scheme}127.0.0.1:{unused_port()}"
    (tmp_path / "horse.png").write_bytes(encoded())
    with pytest.raises(UserError, match=rf"^{server} can't be reached: .*refused"):
        serving_client.translate_file(
            server, MODEL, tmp_path / "horse.png", tmp_path / "zebra.png"
        )
    assert not (tmp_path / "zebra.png").exists()


@pytest.mark.parametrize(
    "speak", [serving_client.translate_grpc, serving_client.translate_rest]
)
def test_server_that_never_answers_is_given_up(speak):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = f"127.0.0.1:{listener.getsockname()[1]}"
        if speak is serving_client.translate_rest:
            server = f"http://{server}"
        told = f"^{server} can't be reached: no reply within 0.3 seconds.$"
        with pytest.raises(UserError, match=told):
            speak(server, MODEL, [encoded()], timeout_seconds=0.3)


@pytest.mark.parametrize(
    "server", ["localhost", "localhost:", "localhost:x", "ftp://localhost:1", ":1 "]
)
def test_server_without_port_is_refused(server):
    with pytest.raises(UserError, match="`server` must be HOST:PORT or a URL."):
        serving_client.translate_grpc(server, MODEL, [encoded()])


class WrongReplies(ServingStandIn):
    """Answers, whatever is asked, with one value under a name."""

    def __init__(self, name: str, value: bytes):
        super().__init__({})
        self.name, self.value = name, value

    def Predict(self, request, context):  # noqa: N802
        reply = predict_pb2.PredictResponse()
        reply.outputs[self.name].CopyFrom(tf.make_tensor_proto([self.value]))
        return reply

    def predict_json(self, name, version, text):
        value = {"b64": base64.b64encode(self.value).decode()}
        if self.name != "image_bytes":
            value = {self.name: value, "label": 1}
        return {"predictions": [value]}


@pytest.mark.parametrize(
    ("name", "value"), [("scores", encoded()), ("image_bytes", b"hello")]
)
def test_reply_without_a_png_is_refused(protocol, name, value):
    with WrongReplies(name, value) as server:
        address = {"grpc": server.grpc_address, "rest": server.rest_url}[protocol]
        speak = getattr(serving_client, f"translate_{protocol}")
        with pytest.raises(UserError, match="without `image_bytes` or with no PNG"):
            speak(address, MODEL, [encoded()])


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "text",
        [],
        {},
        {"predictions": 1},
        {"predictions": ["text"]},
        {"predictions": [{"b64": "?"}]},
        {"predictions": [{"b64": 1}]},
    ],
    ids=str,
)
def test_reply_that_is_no_prediction_is_refused(answer):
    class Server(ServingStandIn):
        def predict_json(self, name, version, text):
            return answer

    with Server({}) as server:
        with pytest.raises(UserError, match="without `image_bytes` or with no PNG"):
            serving_client.translate_rest(server.rest_url, MODEL, [encoded()])


def test_server_of_something_else_is_told():
    handler = http.server.SimpleHTTPRequestHandler
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(UserError, match=f"^{url} answered HTTP 501: [^\n]*$"):
            serving_client.translate_rest(url, MODEL, [encoded()])
        server.shutdown()


@pytest.mark.parametrize("missing", ["grpc", "tensorflow_serving.apis"])
def test_missing_package_is_named_with_its_remedy(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    told = rf"\({missing}\): pip install tensorflow-serving-api"
    with pytest.raises(UserError, match=told):
        serving_client.translate_grpc("localhost:1", MODEL, [encoded()])


def cut_while_turned(folder):
    (folder / "horse.png").write_bytes(turned(6, "PNG")[:300])


def make_folder(folder):
    (folder / "horse.png").unlink()
    (folder / "horse.png").mkdir()


def hard_link(folder):
    (folder / "linked.png").hardlink_to(folder / "horse.png")


def symbolic_link(folder):
    (folder / "linked.png").symlink_to("horse.png")


@pytest.mark.parametrize(
    ("prepare", "target", "told"),
    [
        (lambda f: (f / "horse.png").unlink(), "zebra.png", "can't be read: No such"),
        (make_folder, "zebra.png", "can't be read: Is a directory."),
        (lambda f: (f / "horse.png").write_text("hi"), "zebra.png", "is no JPEG, PNG"),
        (lambda f: (f / "horse.png").write_text(""), "zebra.png", "is no JPEG, PNG"),
        (cut_while_turned, "zebra.png", "horse.png can't be sent: "),
        (lambda f: None, "zebra.jpg", "must end in .png. Received: .*zebra.jpg."),
        (lambda f: None, "none/zebra.png", "The folder .*none is missing."),
        (lambda f: None, "horse.png", "horse.png is the input; name another"),
        (hard_link, "linked.png", "linked.png is the input; name another"),
        (symbolic_link, "linked.png", "linked.png is the input; name another"),
        (lambda f: None, "z" * 300 + ".png", "can't be written: File name too long."),
    ],
    ids=[
        "missing",
        "folder",
        "text",
        "empty",
        "cut off",
        "not png",
        "no folder",
        "same",
        "hard link",
        "symbolic link",
        "long name",
    ],
)
def test_path_that_does_not_fit_is_told(tmp_path, prepare, target, told):
    source = tmp_path / "horse.png"
    source.write_bytes(encoded())
    prepare(tmp_path)
    before = {p: p.is_file() and p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(UserError, match=f"^[^\n]*{told}[^\n]*$"):
        serving_client.translate_file("x:1", MODEL, source, tmp_path / target)
    assert {p: p.is_file() and p.read_bytes() for p in tmp_path.iterdir()} == before


def test_failed_write_leaves_nothing_behind(served, tmp_path):
    (tmp_path / "horse.png").write_bytes(encoded())
    (tmp_path / "zebra.png").mkdir()
    with pytest.raises(UserError, match="zebra.png can't be written: Is a directory."):
        serving_client.translate_file(
            served.address("rest"),
            served.model,
            tmp_path / "horse.png",
            tmp_path / "zebra.png",
        )
    assert {p.name for p in tmp_path.iterdir()} == {"horse.png", "zebra.png"}
