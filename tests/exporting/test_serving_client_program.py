"""`serving_client` as a user runs it, and other clients."""

import base64
import json
import os
import pathlib
import subprocess
import sys

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from helpers.serving_cases import encoded, noise
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc as service

ROOT = pathlib.Path(__file__).parents[2]


def run_program(folder, *arguments, without=()) -> subprocess.CompletedProcess:
    """Runs the client in a folder, where importing some packages fails."""
    fakes = folder.parent / f"{folder.name}_fakes"
    for name in without:
        (fakes / name).mkdir(parents=True)
        text = f"raise SystemExit('{name} was imported')"
        (fakes / name / "__init__.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": f"{fakes}{os.pathsep}{ROOT}"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    command = [sys.executable, "-m", "cyclegan_tf", "serving_client", *arguments]
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
    assert result.stdout.startswith("usage: python -m cyclegan_tf serving_client ")
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
