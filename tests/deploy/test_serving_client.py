"""The client, through real sockets, against a stand-in for TF Serving.

Where these are set, the tests speak to a real server instead; what the stand-in alone
can show is then skipped:
  TF_SERVING_ADDRESS       its gRPC address, HOST:PORT
  TF_SERVING_REST_URL      its REST address, http://HOST:PORT
  TF_SERVING_MODEL         name of an exported model that it serves
  TF_SERVING_SAVED_MODEL   that model's version folder, to compare with; optional
"""

import base64
import io
import os
import pathlib
from concurrent import futures

import numpy as np
import pytest
import requests
import tensorflow as tf
from absl import flags
from helpers.exporting_samples import assert_refused, file_names, program
from helpers.serving_cases import MODEL, ORIENTATION, SPEAK, Served, encoded, turned
from helpers.serving_stand_in import ServingStandIn
from PIL import Image

from cyclegan_tf.commands.program import define_flags
from cyclegan_tf.commands.translate import SERVING_CLIENT
from cyclegan_tf.core import generators
from cyclegan_tf.data import images
from cyclegan_tf.deploy import saved_model, serving_client
from cyclegan_tf.messages import UserError

GRPC, REST = (os.environ.get(f"TF_SERVING_{x}") for x in ("ADDRESS", "REST_URL"))
REAL = bool(GRPC or REST)
ECHO = 9  # The version of the stand-in's model that gives its input back.


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    if REAL:
        folder = os.environ.get("TF_SERVING_SAVED_MODEL")
        addresses = {"grpc": GRPC, "rest": REST}
        yield Served(addresses, os.environ["TF_SERVING_MODEL"], folder)
        return
    folder = tmp_path_factory.mktemp("models") / MODEL
    generator = generators.resnet(num_filters=4, num_blocks=1)
    saved_model.write(
        folder / "10", generator, saved_model.picture_signatures(generator, 4)
    )
    spec = tf.TensorSpec([None], tf.string, name="image_bytes")
    echo = tf.function(lambda x: {"image_bytes": tf.identity(x)}, [spec])
    signatures = {"serving_default": echo}
    tf.saved_model.save(tf.Module(), str(folder / str(ECHO)), signatures=signatures)
    with ServingStandIn({MODEL: folder}) as server:
        yield Served(server.addresses, MODEL, folder / "10")


@pytest.fixture(params=["grpc", "rest"])
def protocol(request) -> str:
    return request.param


def size_of(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        return image.size


def mixed() -> list[bytes]:
    return [
        encoded(20, 30, "JPEG"),
        encoded(33, 17, "PNG", "RGBA"),
        encoded(8, 9, "BMP"),
        encoded(1, 50, "PNG", "L"),
    ]


# --- Pictures come back translated


@pytest.mark.stack
def test_pngs_of_mixed_sizes_are_those_of_the_saved_model(served, protocol):
    translated = served.translate(protocol, mixed())
    sizes = [(20, 30), (33, 17), (8, 9), (1, 50)]
    assert [size_of(png) for png in translated] == sizes
    for picture, png in zip(mixed(), translated, strict=True):
        assert served.translate(protocol, [picture]) == [png]
    assert translated == served.run(mixed())


def test_pictures_above_4_mb_pass_both_ways(served, protocol):
    picture = encoded(1500, 1400)
    (translated,) = served.translate(
        protocol, [picture], version=None if REAL else ECHO
    )
    assert min(len(picture), len(translated)) > 4 * 1024 * 1024
    assert size_of(translated) == (1500, 1400)


@pytest.mark.skipif(REAL, reason="a real server serves other versions")
def test_newest_version_answers_unless_another_is_named(served, protocol):
    pictures = [encoded()]
    newest = served.translate(protocol, pictures)
    assert newest == served.translate(protocol, pictures, version=10) != pictures
    assert served.translate(protocol, pictures, version=ECHO) == pictures


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_file_is_translated_upright(served, protocol, tmp_path, mode):
    source, target = tmp_path / "phone.jpg", tmp_path / "zebra.png"
    source.write_bytes(turned(6, mode=mode))
    target.write_bytes(b"of an earlier run")
    serving_client.translate_file(
        served.address(protocol), served.model, source, target
    )
    sent = serving_client.read_picture(source)
    assert [target.read_bytes()] == served.translate(protocol, [sent])
    assert size_of(target.read_bytes()) == (20, 40)
    assert file_names(tmp_path) == {"phone.jpg", "zebra.png"}


def test_documented_json_is_answered(served):
    url = f"{served.address('rest')}/v1/models/{served.model}:predict"
    (expected,) = served.translate("rest", [encoded()])
    row = [{"b64": base64.b64encode(expected).decode()}]
    answers = {
        '{"instances":[{"b64":"%s"}]}': {"predictions": row},
        '{"instances":[{"image_bytes":{"b64":"%s"}}]}': {"predictions": row},
        '{"inputs":[{"b64":"%s"}]}': {"outputs": row},
        '{"inputs":{"image_bytes":[{"b64":"%s"}]}}': {"outputs": row},
    }
    for body, answer in answers.items():
        body %= base64.b64encode(encoded()).decode()
        reply = requests.post(url, data=body, timeout=60)
        assert (reply.status_code, reply.json()) == (200, answer)


# --- What the server refuses


def test_unknown_model_and_version_are_told(served, protocol):
    with pytest.raises(UserError, match=r"not found .*no_such[^\n]*$"):
        served.translate(protocol, [encoded()], model="no_such")
    with pytest.raises(UserError, match=r"not found .*77[^\n]*$"):
        served.translate(protocol, [encoded()], version=77)


def test_server_names_the_picture_that_it_refuses(served, protocol):
    neither, cut = "neither JPEG, PNG nor BMP of 24 or 32 bits", "damaged or cut off"
    code = {"grpc": "INVALID_ARGUMENT", "rest": "HTTP 400"}[protocol]
    for picture, told in ((b"", neither), (b"hello", neither), (encoded()[:200], cut)):
        with pytest.raises(UserError) as caught:
            served.translate(protocol, [encoded(), picture, encoded()])
        line = str(caught.value)
        start = f"{served.address(protocol)} answered {code}: image_bytes[1] "
        assert line.startswith(start) and line.endswith(told)
        assert not set(line) & set("\n\\{")


def test_failed_write_leaves_nothing_behind(served, tmp_path):
    (tmp_path / "horse.png").write_bytes(encoded())
    (tmp_path / "zebra.png").mkdir()
    with pytest.raises(IsADirectoryError):
        serving_client.translate_file(
            served.address("rest"),
            served.model,
            tmp_path / "horse.png",
            tmp_path / "zebra.png",
        )
    assert {p.name for p in tmp_path.iterdir()} == {"horse.png", "zebra.png"}


# --- What is sent


@pytest.mark.parametrize("orientation", range(2, 9))
def test_turned_picture_is_sent_as_training_reads_it(tmp_path, orientation):
    path = tmp_path / "phone.jpg"
    path.write_bytes(turned(orientation))
    sent = io.BytesIO(serving_client.read_picture(path))
    with Image.open(sent, formats=["PNG"]) as image:
        assert image.getexif().get(ORIENTATION, 1) == 1
        np.testing.assert_array_equal(np.asarray(image), images.decode(path))


def test_other_pictures_are_sent_byte_for_byte(tmp_path):
    upright = [turned(orientation) for orientation in (0, 1, 9)]
    pngs = [encoded(mode=mode) for mode in ("RGBA", "L", "P")]
    for picture in (*upright, *pngs, encoded(mode="CMYK", kind="JPEG")):
        (tmp_path / "picture").write_bytes(picture)
        assert serving_client.read_picture(tmp_path / "picture") == picture


def test_formats_that_servers_do_not_know_are_sent_as_png(tmp_path):
    path = tmp_path / "picture"
    for kind, mode in (
        ("WEBP", "RGB"),
        ("TIFF", "L"),
        ("TIFF", "CMYK"),
        ("GIF", "P"),
        ("BMP", "P"),
    ):
        path.write_bytes(encoded(mode=mode, kind=kind))
        sent = serving_client.read_picture(path)
        assert sent.startswith(b"\x89PNG")
        np.testing.assert_array_equal(images.decode(sent), images.decode(path))


def test_further_frames_are_reported_and_the_first_is_sent(tmp_path, capsys):
    first, second = (Image.new("RGB", (8, 8), color) for color in ("red", "blue"))
    for kind in ("GIF", "TIFF", "WEBP", "PNG", "MPO"):
        path = tmp_path / f"picture.{kind}"
        first.save(path, kind, save_all=True, append_images=[second])
        sent = images.decode(serving_client.read_picture(path))
        assert np.abs(sent.astype(int) - (255, 0, 0)).max() < 9
        line = capsys.readouterr().err
        assert (str(path) in line and "frames" in line) == (kind != "MPO")
    first.save(tmp_path / "one.gif")
    serving_client.read_picture(tmp_path / "one.gif")
    assert capsys.readouterr().err == ""


# --- As a program

COMMAND = "-m", "cyclegan_tf", "serving_client"
WITHOUT = {"rest": ["tensorflow", "tensorflow_serving", "keras", "grpc"], "grpc": []}


@pytest.mark.parametrize("by", ["rest", pytest.param("grpc", marks=pytest.mark.slow)])
def test_program_translates_or_tells_the_refused_picture(served, tmp_path, by):
    (tmp_path / "horse.jpg").write_bytes(encoded(kind="JPEG"))
    (tmp_path / "cut.jpg").write_bytes(encoded(kind="JPEG")[:-100])
    of_server = "--server", served.address(by), f"--model={served.model}"
    for picture in ("cut.jpg", "horse.jpg"):
        arguments = *COMMAND, *of_server, picture, "zebra.png"
        result = program(tmp_path, *arguments, without=WITHOUT[by])
        if picture == "cut.jpg":
            assert_refused(result, "image_bytes[0] ")
            assert file_names(tmp_path) == {"horse.jpg", "cut.jpg"}
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    (expected,) = served.translate(by, [encoded(kind="JPEG")])
    assert (tmp_path / "zebra.png").read_bytes() == expected


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--server=localhost:8500", "horse.png"], "--server"),
        (["horse.png", "zebra.png"], "--server"),
        (["--server=x:1", "--timeout_seconds=0", "a", "b"], "1, 86400"),
        (["--server=x:1", "--version=-1", "a", "b"], "--version=-1"),
        (["--server=x:1", f"--version={2**63}", "a", "b"], f"--version={2**63}"),
        (["--server=x:1", "--model=\udcff", "a", "b.png"], r"`model`.*\\udcff"),
        (["--server=x:1", "missing.png", "b.png"], "missing.png"),
    ],
)
def test_mistake_is_told(arguments, told):
    values = flags.FlagValues()
    define_flags(SERVING_CLIENT.flags, values)
    with pytest.raises((UserError, OSError, flags.Error), match=told):
        SERVING_CLIENT(values, *values(["serving_client", *arguments])[1:])


def test_program_needs_no_tensorflow_to_tell_a_mistake_or_its_help(tmp_path):
    (tmp_path / "horse.png").write_bytes(encoded())
    without = "tensorflow", "keras"
    arguments = "--server=http://127.0.0.1:0", "horse.png", "b.png"
    result = program(tmp_path, *COMMAND, *arguments, without=without)
    assert_refused(result, "http://127.0.0.1:0 ")
    assert file_names(tmp_path) == {"horse.png"}
    without = *without, "grpc", "requests"
    result = program(tmp_path, *COMMAND, "--help", without=without)
    assert (result.returncode, result.stderr) == (0, "")
    for flag in ("--server", "--model", "--version", "--timeout_seconds"):
        assert f"  {flag} " in result.stdout


# --- A thousand requests, some damaged: each is answered, and memory stays flat

KINDS = [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "RGBA")]
KINDS += [("PNG", "P"), ("BMP", "RGB")]
# Measured on two cores: 15 to 22 MB, and none after 3,000 requests: so much is the
# allocators' warming up. A leak of 100 kB a request would go beyond the limit.
MAX_GROWTH_MB = 50
STATUS = pathlib.Path("/proc/self/status")


def damaged_pictures() -> list[tuple[bytes, str]]:
    """Damaged pictures, and a part of the server's message on each."""
    whole = [encoded(40, 40, kind) for kind in ("JPEG", "PNG", "BMP")]
    cut = [(picture[: len(picture) // 2], "cut off") for picture in whole]
    others = [b"no picture" * 50, b"", encoded(40, 40, "TIFF"), encoded(40, 40, "GIF")]
    large = encoded(200, 100), "200x100 pixels; the limit is 10000"
    return [*cut, *((picture, "nor BMP") for picture in others), large]


def resident_mb() -> float:
    (line,) = [x for x in STATUS.read_text().splitlines() if x.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


@pytest.mark.slow
def test_thousand_mixed_requests_are_answered_in_flat_memory(tmp_path):
    generator = generators.resnet(num_filters=4, num_blocks=1)
    folder = tmp_path / MODEL
    signatures = saved_model.picture_signatures(generator, 4, max_pixels=100 * 100)
    saved_model.write(folder / "1", generator, signatures)
    damaged = damaged_pictures()

    def ask(number):
        random = np.random.default_rng(number)
        protocol, count = ("grpc", "rest")[random.integers(2)], random.integers(1, 4)
        sizes = [tuple(size) for size in random.integers(8, 81, (count, 2)).tolist()]
        pictures = [encoded(*size, *random.choice(KINDS)) for size in sizes]
        if number % 20 == 0:
            place = random.integers(count)
            pictures[place], told = damaged[number // 20 % len(damaged)]
        try:
            made = SPEAK[protocol](server.addresses[protocol], MODEL, pictures)
            assert number % 20
            assert [size_of(png) for png in made] == sizes
        except UserError as error:
            code = {"grpc": "INVALID_ARGUMENT", "rest": "HTTP 400"}[protocol]
            assert number % 20 == 0
            assert f" answered {code}: image_bytes[{place}] " in str(error)
            assert told in str(error)
        return True

    resident = []
    with ServingStandIn({MODEL: folder}) as server:
        with futures.ThreadPoolExecutor(8) as threads:
            for half in (range(500), range(500, 1000)):
                assert sum(threads.map(ask, half)) == 500
                if STATUS.exists():
                    resident.append(resident_mb())
    if resident:
        assert resident[1] - resident[0] < MAX_GROWTH_MB
