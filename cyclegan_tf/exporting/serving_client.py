"""Sends a picture to TF Serving and writes the picture that comes back.

A server named HOST:PORT is spoken to by gRPC, which needs tensorflow-serving-api; one
named http://HOST:PORT by REST, which needs neither that nor TensorFlow.
"""

import base64
import io
import os
import pathlib
import re
import struct
import warnings
import zlib
from urllib.parse import quote

from PIL import ExifTags, Image, ImageOps

from cyclegan_tf.files import written_whole
from cyclegan_tf.messages import without_native_messages
from cyclegan_tf.validation import UserError

_NAME = "image_bytes"  # Of the signature's input and of its output.
_SENT = ("JPEG", "MPO", "PNG", "BMP", "GIF")  # What the server decodes.
_PNG_MODES = ("1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA")
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")

# What Pillow's readers are known to raise on damaged files.
_DAMAGE = (OSError, EOFError, SyntaxError, ValueError, LookupError, OverflowError)
_DAMAGE += (TypeError, struct.error, zlib.error, Image.DecompressionBombError)


def translate_file(
    server: str,
    model: str,
    source: str | os.PathLike,
    target: str | os.PathLike,
    version: int | None = None,
    timeout_seconds: float = 60,
) -> None:
    """Translates a picture in a file, and writes the result as a PNG.

    Args:
      server: `HOST:PORT` of gRPC, or `http://HOST:PORT` of REST.
      model: The served model's name.
      source: A JPEG, PNG, BMP, GIF, WebP or TIFF file.
      target: The PNG file to write; one that is there is replaced.
      version: The model's version; None for the newest.
      timeout_seconds: How long to wait for the server.

    Raises:
      UserError: a path does not fit, or the server gave no picture.
    """
    source, target = pathlib.Path(source), pathlib.Path(target)
    picture = read_picture(source)
    _check_target(source, target)
    speak = translate_rest if "://" in server else translate_grpc
    (translated,) = speak(server, model, [picture], version, timeout_seconds)
    _write(target, translated)


def read_picture(path: str | os.PathLike) -> bytes:
    """Reads a picture to be sent: the file's bytes, or the picture turned upright.

    TensorFlow's ops ignore the orientation that cameras note in a file. Where that is
    not the usual one, the picture is turned and encoded as PNG; so are WebP and TIFF
    pictures, which servers do not know.

    Args:
      path: A JPEG, PNG, BMP, GIF, WebP or TIFF file.

    Returns:
      An encoded picture.

    Raises:
      UserError: the file can't be read, or is no such picture.
    """
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}.") from error
    try:
        with warnings.catch_warnings():
            # Of damaged notes and large pictures; the server has the last word.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                turned = image.getexif().get(ExifTags.Base.Orientation) in range(2, 9)
                if turned or image.format not in _SENT:
                    return _upright_png(image)
    except Image.UnidentifiedImageError as error:
        raise UserError(
            f"{path} is no JPEG, PNG, BMP, GIF, WebP or TIFF picture."
        ) from error
    except _DAMAGE as error:
        raise UserError(f"{path} can't be sent: {error}") from error
    return content


def _upright_png(image: Image.Image) -> bytes:
    turned, encoded = ImageOps.exif_transpose(image), io.BytesIO()
    if turned.mode == "F":
        raise ValueError("its pixels are floating point numbers.")
    if turned.mode not in _PNG_MODES:
        turned = turned.convert("RGB")
    turned.save(encoded, "PNG")
    return encoded.getvalue()


def _check_target(source: pathlib.Path, target: pathlib.Path) -> None:
    """Refuses, before the server works, a path that could not be written to."""
    try:
        if target.suffix.lower() != ".png":
            raise UserError(f"The output must end in .png. Received: {target}.")
        if not target.parent.is_dir():
            raise UserError(f"The folder {target.parent} is missing.")
        if target.exists() and target.samefile(source):
            raise UserError(f"{target} is the input; name another file.")
    except OSError as error:
        raise UserError(f"{target} can't be written: {error.strerror}.") from error


def _write(target: pathlib.Path, content: bytes) -> None:
    try:
        with written_whole(target) as temporary:
            temporary.write_bytes(content)
    except OSError as error:
        raise UserError(f"{target} can't be written: {error.strerror}.") from error


def translate_grpc(
    server: str,
    model: str,
    pictures: list[bytes],
    version: int | None = None,
    timeout_seconds: float = 60,
) -> list[bytes]:
    """Translates pictures in one request by gRPC, without encryption.

    Args:
      server: `HOST:PORT`, 8500 unless the server was told another.
      model: The served model's name.
      pictures: Encoded pictures (JPEG, PNG, BMP, GIF), of any sizes. The orientation
        that cameras note is ignored; `read_picture` sees to it.
      version: The model's version; None for the newest.
      timeout_seconds: How long to wait for the whole answer.

    Returns:
      A PNG for each picture, of its size.

    Raises:
      UserError: no answer, an error that the server tells, or no PNGs.
    """
    if not re.fullmatch(r"[^/\s]+:\d+", server):
        raise UserError(f"`server` must be HOST:PORT or a URL. Received: {server!r}.")
    grpc, predict_pb2, prediction_service_pb2_grpc = _grpc_modules()
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "serving_default"
    if version is not None:
        request.model_spec.version.value = version
    tensor = request.inputs[_NAME]
    tensor.dtype = 7  # DT_STRING
    tensor.tensor_shape.dim.add().size = len(pictures)
    tensor.string_val.extend(pictures)
    # gRPC would refuse replies above 4 MB.
    lengths = ("grpc.max_send_message_length", "grpc.max_receive_message_length")
    with grpc.insecure_channel(server, [(key, -1) for key in lengths]) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            reply = stub.Predict(request, timeout=timeout_seconds)
        except grpc.RpcError as error:
            code, details = error.code(), error.details() or ""
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                details = f"no reply within {timeout_seconds:g} seconds."
            elif code is not grpc.StatusCode.UNAVAILABLE:
                raise _failed(server, f"answered {code.name}", details) from error
            raise _failed(server, "can't be reached", details) from error
    return _checked(server, list(reply.outputs[_NAME].string_val), pictures)


def _grpc_modules():
    try:
        with without_native_messages():
            import grpc
            from tensorflow_serving.apis import predict_pb2 as messages
            from tensorflow_serving.apis import prediction_service_pb2_grpc as service
    except ImportError as error:
        raise UserError(
            f"gRPC needs a package that is missing ({error.name}): pip install "
            "tensorflow-serving-api. REST (--server http://HOST:8501) needs none."
        ) from error
    return grpc, messages, service


def translate_rest(
    url: str,
    model: str,
    pictures: list[bytes],
    version: int | None = None,
    timeout_seconds: float = 60,
) -> list[bytes]:
    """Translates pictures in one request by REST.

    Args:
      url: `http://HOST:PORT`, 8501 unless the server was told another.
      model: The served model's name.
      pictures: As for `translate_grpc`.
      version: The model's version; None for the newest.
      timeout_seconds: How long the server may be silent.

    Returns:
      A PNG for each picture, of its size.

    Raises:
      UserError: no answer, an error that the server tells, or no PNGs.
    """
    import requests  # Here, since gRPC does without.

    number = "" if version is None else f"/versions/{version}"
    address = f"{url.rstrip('/')}/v1/models/{quote(model, safe='')}{number}:predict"
    instances = [{_NAME: {"b64": base64.b64encode(p).decode()}} for p in pictures]
    body = {"signature_name": "serving_default", "instances": instances}
    try:
        reply = requests.post(address, json=body, timeout=timeout_seconds)
    except requests.Timeout as error:
        reason = f"no reply within {timeout_seconds:g} seconds."
        raise _failed(url, "can't be reached", reason) from error
    except requests.RequestException as error:
        raise _failed(url, "can't be reached", str(error)) from error
    if reply.status_code != 200:
        raise _failed(url, f"answered HTTP {reply.status_code}", _error_of(reply))
    try:
        # A signature with one output leaves its name out.
        found = [row.get(_NAME, row)["b64"] for row in reply.json()["predictions"]]
        translated = [base64.b64decode(text, validate=True) for text in found]
    except (ValueError, LookupError, TypeError, AttributeError):
        translated = []
    return _checked(url, translated, pictures)


def _error_of(reply) -> str:
    try:
        return str(reply.json()["error"])
    except (ValueError, LookupError, TypeError):
        return reply.text


def _failed(server: str, what: str, message: str) -> UserError:
    return UserError(f"{server} {what}: {_telling_line(message)}")


def _telling_line(message: str) -> str:
    """What a message of TensorFlow says, without where in its graph that was."""
    lines = [line.strip() for line in message.splitlines()]
    lines = [line for line in lines if not re.match(r"\[\[|\d+ root error|$", line)]
    line = lines[0] if lines else "no reason given"
    line = re.sub(r"^(\(\d+\) [\w ]+: |\{\{[^}]*\}\} ?)+", "", line)
    line = re.sub(r"^assertion failed: \[(.*)\]$", r"\1", line).replace("\\'", "'")
    return line if len(line) <= 300 else f"{line[:300]}..."


def _checked(server: str, translated: list[bytes], pictures: list[bytes]):
    pngs = [picture.startswith(b"\x89PNG\r\n\x1a\n") for picture in translated]
    if len(pngs) != len(pictures) or not all(pngs):
        raise UserError(f"{server} replied without `{_NAME}` or with no PNG in it.")
    return translated
