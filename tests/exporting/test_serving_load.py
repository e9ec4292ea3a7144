"""A thousand requests, some damaged: each is answered, and memory stays flat."""

import io
import pathlib
from concurrent import futures

import numpy as np
import pytest
from helpers.serving_cases import MODEL, SPEAK, encoded
from helpers.serving_stand_in import ServingStandIn
from PIL import Image

from cyclegan_tf.exporting import saved_model
from cyclegan_tf.networks import generators
from cyclegan_tf.validation import UserError

KINDS = [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "RGBA")]
KINDS += [("PNG", "P"), ("BMP", "RGB"), ("GIF", "RGB")]
# Measured on two cores: 15 to 22 MB, and none after 3,000 requests: so much is the
# allocators' warming up. A leak of 100 kB a request would go beyond the limit.
MAX_GROWTH_MB = 50
STATUS = pathlib.Path("/proc/self/status")


def damaged_pictures() -> list[tuple[bytes, str]]:
    """Damaged pictures with what the server tells of each."""
    whole = [encoded(40, 40, kind) for kind in ("JPEG", "PNG", "BMP", "GIF")]
    cut = [(picture[: len(picture) // 2], "cut off") for picture in whole]
    others = [b"no picture" * 50, b"", encoded(40, 40, "TIFF")]
    large = encoded(200, 100), "200x100 pixels; the limit is 10000"
    return [*cut, *((picture, "BMP nor GIF") for picture in others), large]


def resident_mb() -> float:
    (line,) = [x for x in STATUS.read_text().splitlines() if x.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


@pytest.mark.slow
def test_thousand_mixed_requests_are_answered_in_flat_memory(tmp_path):
    generator = generators.resnet(num_filters=4, num_blocks=1)
    folder = tmp_path / MODEL
    saved_model.write_saved_model(generator, 4, folder / "1", max_pixels=100 * 100)
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
            assert [Image.open(io.BytesIO(png)).size for png in made] == sizes
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
