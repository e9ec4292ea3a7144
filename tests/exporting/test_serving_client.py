"""The client, through real sockets, against a stand-in for TF Serving.

Where these are set, the tests speak to a real server instead; what the stand-in alone
can show is then skipped:
  TF_SERVING_ADDRESS       its gRPC address, HOST:PORT
  TF_SERVING_REST_URL      its REST address, http://HOST:PORT
  TF_SERVING_MODEL         name of an exported model that it serves
  TF_SERVING_SAVED_MODEL   that model's version folder, to compare with; optional
"""

import io

import numpy as np
import pytest
from helpers.serving_cases import ORIENTATION, REAL, encoded, turned
from PIL import Image

from cyclegan_tf.data import images
from cyclegan_tf.exporting import serving_client

stand_in_only = pytest.mark.skipif(REAL, reason="a real server is spoken to")


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


@pytest.mark.parametrize(
    "kind, mode", [("WEBP", "RGB"), ("TIFF", "L"), ("TIFF", "CMYK")]
)
def test_formats_that_servers_do_not_know_are_sent_as_png(tmp_path, kind, mode):
    path = tmp_path / "picture"
    path.write_bytes(encoded(mode=mode, kind=kind))
    sent = serving_client.read_picture(path)
    assert sent.startswith(b"\x89PNG")
    np.testing.assert_array_equal(images.decode(sent), images.decode(path))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_turned_picture_comes_back_upright(served, tmp_path, mode):
    source, target = tmp_path / "phone.jpg", tmp_path / "zebra.png"
    source.write_bytes(turned(6, mode=mode))
    serving_client.translate_file(served.address("rest"), served.model, source, target)
    assert size_of(target.read_bytes()) == (20, 40)
