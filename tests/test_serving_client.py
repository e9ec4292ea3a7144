"""The client, through real sockets, against a stand-in for TF Serving.

Where these are set, the tests speak to a real server instead; what the stand-in alone
can show is then skipped:
  TF_SERVING_ADDRESS       its gRPC address, HOST:PORT
  TF_SERVING_REST_URL      its REST address, http://HOST:PORT
  TF_SERVING_MODEL         name of an exported model that it serves
  TF_SERVING_SAVED_MODEL   that model's version folder, to compare with; optional
"""

import base64
import dataclasses
import http.server
import io
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from PIL import Image
from serving_stand_in import ServingStandIn
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc as service

from cyclegan_tf import generators, images, saved_models, serving_client
from cyclegan_tf.config import UserError

ROOT = pathlib.Path(__file__).parents[1]
MODEL = "horse2zebra_A2B"
ORIENTATION = 0x0112
GRPC, REST = "TF_SERVING_ADDRESS", "TF_SERVING_REST_URL"
REAL = GRPC in os.environ or REST in os.environ

stand_in_only = pytest.mark.skipif(REAL, reason="a real server is spoken to")


@dataclasses.dataclass
class Served:
    addresses: dict[str, str | None]
    model: str
    folder: pathlib.Path | None

    def translate(self, protocol: str, pictures: list[bytes], **options) -> list[bytes]:
        options = {"model": self.model, **options}
        speak = {
            "grpc": serving_client.translate_grpc,
            "rest": serving_client.translate_rest,
        }[protocol]
        return speak(self.address(protocol), pictures=pictures, **options)

    def address(self, protocol: str) -> str:
        if not self.addresses[protocol]:
            pytest.skip(f"no real {protocol} server is named")
        return self.addresses[protocol]

    def run(self, signature: str, value) -> np.ndarray:
        """What the SavedModel gives in Python."""
        if not self.folder:
            pytest.skip("the real server's SavedModel is not named")
        loaded = tf.saved_model.load(str(self.folder))
        (output,) = loaded.signatures[signature](tf.constant(value)).values()
        return output.numpy()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    if REAL:
        addresses = {"grpc": os.environ.get(GRPC), "rest": os.environ.get(REST)}
        folder = os.environ.get("TF_SERVING_SAVED_MODEL")
        yield Served(addresses, os.environ["TF_SERVING_MODEL"], folder)
        return
    folder = tmp_path_factory.mktemp("models") / MODEL
    folder.mkdir()
    for version in ("9", "10"):
        generator = generators.resnet(num_filters=4, num_blocks=1)
        saved_models.write_saved_model(generator, 4, folder / version)
    with ServingStandIn({MODEL: folder}) as server:
        addresses = {"grpc": server.grpc_address, "rest": server.rest_url}
        yield Served(addresses, MODEL, folder / "10")


@pytest.fixture(params=["grpc", "rest"])
def protocol(request) -> str:
    return request.param


def noise(width: int, height: int, channels: int = 3) -> np.ndarray:
    random = np.random.default_rng(width + height)
    return random.integers(0, 256, (height, width, channels), dtype=np.uint8)


def encoded(width=20, height=30, kind="PNG", mode="RGB", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(noise(width, height)).convert(mode).save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int, kind="JPEG", **options) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(40, 20, kind, exif=exif, **options)


def size_of(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        return image.size


def mixed() -> list[bytes]:
    return [
        encoded(20, 30, "JPEG"),
        encoded(33, 17, "PNG", "RGBA"),
        encoded(8, 9, "BMP"),
        encoded(41, 40, "GIF"),
        encoded(1, 50, "PNG", "L"),
    ]


def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# --- Pictures come back translated


def test_pngs_are_those_of_the_saved_model(served, protocol):
    expected = served.run("serving_default", mixed())
    assert served.translate(protocol, mixed()) == list(expected)


def test_grpc_and_rest_give_the_same_pngs(served):
    by_grpc = served.translate("grpc", mixed())
    assert by_grpc == served.translate("rest", mixed())


def test_sizes_may_differ_in_a_batch(served, protocol):
    translated = served.translate(protocol, mixed())
    sizes = [size_of(png) for png in translated]
    assert sizes == [(20, 30), (33, 17), (8, 9), (41, 40), (1, 50)]
    alone = [served.translate(protocol, [picture])[0] for picture in mixed()]
    assert translated == alone


def test_pictures_above_4_mb_pass_both_ways(served, protocol):
    picture = encoded(1500, 1400)
    (translated,) = served.translate(protocol, [picture])
    assert min(len(picture), len(translated)) > 4 * 1024 * 1024
    assert size_of(translated) == (1500, 1400)


@stand_in_only
def test_newest_version_answers_unless_another_is_named(served, protocol):
    pictures = [encoded()]
    newest = served.translate(protocol, pictures)
    assert newest == served.translate(protocol, pictures, version=10)
    assert newest != served.translate(protocol, pictures, version=9)


def test_file_is_translated(served, protocol, tmp_path):
    source, target = tmp_path / "horse.jpg", tmp_path / "zebra.png"
    source.write_bytes(encoded(kind="JPEG"))
    target.write_bytes(b"of an earlier run")
    serving_client.translate_file(
        served.address(protocol), served.model, source, target
    )
    (expected,) = served.translate(protocol, [source.read_bytes()])
    assert target.read_bytes() == expected
    assert {path.name for path in tmp_path.iterdir()} == {"horse.jpg", "zebra.png"}


# --- Pictures are sent upright


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turned_picture_is_sent_as_training_reads_it(tmp_path, orientation):
    path = tmp_path / "phone.jpg"
    path.write_bytes(turned(orientation))
    sent = io.BytesIO(serving_client.read_picture(path))
    with Image.open(sent, formats=["PNG"]) as image:
        assert image.getexif().get(ORIENTATION, 1) == 1
        np.testing.assert_array_equal(np.asarray(image), images.decode(path))


@pytest.mark.parametrize(
    "picture",
    [turned(1), turned(0), turned(9), *mixed(), encoded(mode="CMYK", kind="JPEG")],
    ids=["upright", "zero", "nine", "jpeg", "rgba", "bmp", "gif", "grey", "cmyk"],
)
def test_other_pictures_are_sent_byte_for_byte(tmp_path, picture):
    (tmp_path / "picture").write_bytes(picture)
    assert serving_client.read_picture(tmp_path / "picture") == picture


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_turned_picture_comes_back_upright(served, tmp_path, mode):
    source, target = tmp_path / "phone.jpg", tmp_path / "zebra.png"
    source.write_bytes(turned(6, mode=mode))
    serving_client.translate_file(served.address("rest"), served.model, source, target)
    assert size_of(target.read_bytes()) == (20, 40)


# --- What goes wrong is one line


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


# --- The command line


def run_program(folder, *arguments, without=()) -> subprocess.CompletedProcess:
    """Runs the client in a folder, where importing some packages fails."""
    fakes = folder.parent / f"{folder.name}_fakes"
    for name in without:
        (fakes / name).mkdir(parents=True)
        text = f"raise SystemExit('{name} was imported')"
        (fakes / name / "__init__.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": f"{fakes}{os.pathsep}{ROOT}"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    command = [sys.executable, "-m", "cyclegan_tf.serving_client", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_program_translates_by_rest_without_tensorflow(served, tmp_path):
    (tmp_path / "horse.jpg").write_bytes(encoded(kind="JPEG"))
    flags = ["--server", served.address("rest"), f"--model={served.model}"]
    result = run_program(
        tmp_path,
        *flags,
        "horse.jpg",
        "zebra.png",
        without=["tensorflow", "tensorflow_serving", "keras", "grpc"],
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    (expected,) = served.translate("rest", [encoded(kind="JPEG")])
    assert (tmp_path / "zebra.png").read_bytes() == expected


def test_program_translates_by_grpc(served, tmp_path):
    (tmp_path / "horse.jpg").write_bytes(encoded(kind="JPEG"))
    flags = ["--server", served.address("grpc"), f"--model={served.model}"]
    result = run_program(tmp_path, *flags, "horse.jpg", "zebra.png")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    (expected,) = served.translate("grpc", [encoded(kind="JPEG")])
    assert (tmp_path / "zebra.png").read_bytes() == expected


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--server=localhost:8500", "horse.png"], "Name --server, a picture"),
        (["horse.png", "zebra.png"], "Name --server, a picture"),
        (["--server=x:1", "--timeout_seconds=0", "a", "b"], "[1, 86400]"),
        (["--server=x:1", "--version=-1", "a", "b"], "--version=-1"),
        (["--server=x:1", f"--version={2**63}", "a", "b"], f"--version={2**63}"),
        (["--server=x:1", "--model=\udcff", "horse.png", "b.png"], "`model` must be"),
        (["--server=x:1", "missing.png", "b.png"], "missing.png can't be read"),
        (["--server=http://127.0.0.1:0", "horse.png", "b.png"], "can't be reached"),
    ],
    ids=[
        "one argument",
        "no server",
        "timeout",
        "low version",
        "high version",
        "model",
        "no input",
        "no connection",
    ],
)
def test_program_tells_a_mistake_in_one_line(tmp_path, arguments, told):
    (tmp_path / "horse.png").write_bytes(encoded())
    result = run_program(tmp_path, *arguments, without=["tensorflow", "keras"])
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")
    assert told in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["horse.png"]


def test_program_tells_a_refused_picture_in_one_line(served, tmp_path):
    (tmp_path / "cut.jpg").write_bytes(encoded(kind="JPEG")[:-100])
    flags = ["--server", served.address("grpc"), f"--model={served.model}"]
    result = run_program(tmp_path, *flags, "cut.jpg", "zebra.png")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "answered INVALID_ARGUMENT: image_bytes[0] " in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["cut.jpg"]


def test_help_needs_neither_tensorflow_nor_requests(tmp_path):
    without = ["tensorflow", "keras", "grpc", "requests"]
    result = run_program(tmp_path, "--help", without=without)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: python -m cyclegan_tf.serving_client ")
    for flag in ("--server", "--model", "--version", "--timeout_seconds"):
        assert f"  {flag} " in result.stdout


# --- Clients that are not ours


def post(served, body: str) -> requests.Response:
    url = f"{served.address('rest')}/v1/models/{served.model}:predict"
    return requests.post(url, data=body, timeout=60)


def test_documented_json_is_answered(served):
    b64 = base64.b64encode(encoded()).decode()
    (expected,) = served.translate("rest", [encoded()])
    expected = base64.b64encode(expected).decode()
    row = [{"b64": expected}]
    answers = {
        '{"instances":[{"b64":"%s"}]}': {"predictions": row},
        '{"instances":[{"image_bytes":{"b64":"%s"}}]}': {"predictions": row},
        '{"inputs":[{"b64":"%s"}]}': {"outputs": row},
        '{"inputs":{"image_bytes":[{"b64":"%s"}]}}': {"outputs": row},
    }
    for body, answer in answers.items():
        reply = post(served, body % b64)
        assert (reply.status_code, reply.json()) == (200, answer)


@pytest.mark.parametrize("signature", ["translate", "translate_float"])
def test_nested_lists_are_translated(served, signature):
    pictures = np.stack([noise(9, 13), noise(9, 13)[::-1]])
    if signature == "translate_float":
        pictures = (pictures / 127.5 - 1).astype(np.float32)
    expected = served.run(signature, pictures)
    body = {"signature_name": signature, "instances": pictures.tolist()}
    translated = np.array(post(served, json.dumps(body)).json()["predictions"])
    assert translated.shape == pictures.shape
    np.testing.assert_allclose(translated, expected, atol=1e-6)


def test_model_is_told_to_be_available(served):
    url = f"{served.address('rest')}/v1/models/{served.model}"
    versions = requests.get(url, timeout=60).json()["model_version_status"]
    assert {version["state"] for version in versions} == {"AVAILABLE"}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        '{"instances":',
        '{"instances":[]}',
        '{"signature_name":"other","instances":[{"b64":""}]}',
        '{"instances":[{"b64":""}],"inputs":[{"b64":""}]}',
        '{"instances":[{"picture":{"b64":""}}]}',
        '{"instances":[{"b64":"!"}]}',
        '{"instances":[1]}',
        '{"signature_name":"translate","instances":[[[[1,2,3],[4,5]]]]}',
        '{"signature_name":"translate","instances":[[[[1,2,"a"]]]]}',
        '{"signature_name":"translate","instances":[[[[1,2,0.5]]]]}',
        '{"signature_name":"translate_float","instances":[[[[1,2,true]]]]}',
    ],
)
def test_json_that_does_not_fit_is_a_bad_request(served, body):
    reply = post(served, body)
    assert reply.status_code == 400
    assert set(reply.json()) == {"error"}


def test_unknown_model_is_not_found_by_rest(served):
    url = f"{served.address('rest')}/v1/models/no_such"
    assert requests.get(url, timeout=60).status_code == 404
    body = '{"instances":[{"b64":""}]}'
    assert requests.post(f"{url}:predict", body, timeout=60).status_code == 404


@pytest.mark.parametrize(
    ("signature", "name", "value", "code"),
    [
        ("other", "image_bytes", [b""], "FAILED_PRECONDITION"),
        ("", "picture", [b""], "INVALID_ARGUMENT"),
        ("", "image_bytes", [1.0], "INVALID_ARGUMENT"),
        ("translate", "images", [1.0], "INVALID_ARGUMENT"),
    ],
)
def test_request_that_does_not_fit_has_grpcs_code(served, signature, name, value, code):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = served.model
    request.model_spec.signature_name = signature
    request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    with grpc.insecure_channel(served.address("grpc")) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            service.PredictionServiceStub(channel).Predict(request, timeout=60)
    assert caught.value.code().name == code
