"""Sends a picture to TF Serving, and writes the translated picture.

`HOST:PORT` is a gRPC server, `http://HOST:PORT` a REST server. Imports no TensorFlow.
"""

import base64
import contextlib
import io
import os
import pathlib
import re
import warnings
from urllib.parse import quote

from PIL import ExifTags, Image, ImageOps

from cyclegan_tf.files import written_whole
from cyclegan_tf.messages import UserError, warn, without_native_messages

_NAME = "image_bytes"  # Of the signature's input and of its output.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")


def translate_file(server, model, source, target, version=None, timeout_seconds=60):
    """Translates a picture in a file, and writes the result as a PNG.

    Args:
      server: `HOST:PORT` or `http://HOST:PORT`.
      model: Name of the served model.
      source: Path of the picture.
      target: Path of the PNG; an existing one is replaced.
      version: The model's version; None for the newest.
      timeout_seconds: How long to wait for the server.

    Raises:
      UserError: a path does not fit, or the server sent no picture.
      OSError: a file can't be read or written.
    """
    source, target = pathlib.Path(source), pathlib.Path(target)
    picture = read_picture(source)
    if target.suffix.lower() != ".png":
        raise UserError(f"The output must end in .png. Received: {target}.")
    if target.exists() and target.samefile(source):
        raise UserError(f"{target} is the input; name another file.")
    translate = translate_rest if "://" in server else translate_grpc
    (translated,) = translate(server, model, [picture], version, timeout_seconds)
    with written_whole(target) as temporary:
        temporary.write_bytes(translated)


def read_picture(path: str | os.PathLike) -> bytes:
    """Reads a picture for the server: the file's bytes, or the picture as a PNG.

    Sends upright JPEG and PNG files as they are. The server ignores the orientation in
    a file, and does not know all other formats.
    """
    content, encoded = pathlib.Path(path).read_bytes(), io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # The server checks the picture.
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                _warn_of_frames(path, image)
                turned = image.getexif().get(ExifTags.Base.Orientation) in range(2, 9)
                if image.format in ("JPEG", "MPO", "PNG") and not turned:
                    return content
                ImageOps.exif_transpose(image).convert("RGB").save(encoded, "PNG")
    except Exception as error:  # On damaged files Pillow raises whatever it meets.
        raise UserError(f"{path} is no picture that can be sent: {error}") from error
    return encoded.getvalue()


def _warn_of_frames(path: str | os.PathLike, image: Image.Image) -> None:
    with contextlib.suppress(Exception):  # Further frames may be damaged.
        # MPO files of phones have previews.
        if image.format != "MPO" and getattr(image, "is_animated", False):
            text = "has several frames or pages. Only the first is used."
            warn(f"Warning: {path} {text}")


def translate_grpc(
    server: str, model: str, pictures: list[bytes], version=None, timeout_seconds=60
) -> list[bytes]:
    """Translates JPEG or PNG pictures to PNGs of their sizes, by gRPC."""
    if not re.fullmatch(r"[^/\s]+:\d+", server):
        raise UserError(f"`server` must be HOST:PORT or a URL. Received: {server!r}.")
    try:
        with without_native_messages():
            import grpc
            from tensorflow_serving.apis import predict_pb2
            from tensorflow_serving.apis import prediction_service_pb2_grpc as service
    except ImportError as error:
        raise UserError(
            f"gRPC needs a package that is missing ({error.name}): pip install "
            "tensorflow-serving-api. REST (--server http://HOST:8501) needs none."
        ) from error
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
        try:
            stub = service.PredictionServiceStub(channel)
            reply = stub.Predict(request, timeout=timeout_seconds)
        except grpc.RpcError as error:
            raise _failed(server, error.code().name, error.details() or "") from error
    return _checked(server, list(reply.outputs[_NAME].string_val), pictures)


def translate_rest(
    server: str, model: str, pictures: list[bytes], version=None, timeout_seconds=60
) -> list[bytes]:
    """Translates JPEG or PNG pictures to PNGs of their sizes, by REST."""
    import requests  # Here, since gRPC does not need it.

    number = "" if version is None else f"/versions/{version}"
    address = f"{server.rstrip('/')}/v1/models/{quote(model, safe='')}{number}:predict"
    instances = [{_NAME: {"b64": base64.b64encode(p).decode()}} for p in pictures]
    body = {"signature_name": "serving_default", "instances": instances}
    try:
        reply = requests.post(address, json=body, timeout=timeout_seconds)
    except requests.RequestException as error:
        raise _failed(server, type(error).__name__, str(error)) from error
    message, translated = reply.text, []
    with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
        if reply.status_code != 200:
            message = str(reply.json()["error"])
        else:
            # A signature with one output leaves its name out.
            found = [row.get(_NAME, row)["b64"] for row in reply.json()["predictions"]]
            translated = [base64.b64decode(text, validate=True) for text in found]
    if reply.status_code != 200:
        raise _failed(server, f"HTTP {reply.status_code}", message)
    return _checked(server, translated, pictures)


def _failed(server: str, status: str, message: str) -> UserError:
    """An error in one line, without TensorFlow's names of nodes."""
    found = re.search(r"assertion failed: \[(.*)\]", message)
    line = found[1] if found else " ".join(message.split())[:300]
    return UserError(f"{server} answered {status}: {line or 'no reason given'}")


def _checked(server: str, translated: list[bytes], pictures: list[bytes]):
    pngs = [p for p in translated if p.startswith(b"\x89PNG\r\n\x1a\n")]
    if len(pngs) != len(pictures):
        raise UserError(f"{server} replied without `{_NAME}` or with no PNG in it.")
    return pngs
