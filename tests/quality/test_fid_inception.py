"""FID's Inception: held to PyTorch and Pillow, and files that do not fit."""

import re

import numpy as np
import pytest
import torch
from helpers.config_values import refused
from helpers.torch_inception import random_inception
from torch.nn import functional

from cyclegan_tf.quality import fid_inception


def pictures(height=299, width=299):
    """Noise, and stripes."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    stripes = np.zeros_like(noise)
    stripes[::7, :, 0] = 255
    return np.stack([noise, stripes])


def in_torch(network, inputs):
    with torch.no_grad():
        return network(torch.from_numpy(np.moveaxis(inputs, -1, 1).copy())).numpy()


@pytest.fixture(scope="module")
def oracle():
    return random_inception()


@pytest.fixture(scope="module")
def file(oracle, tmp_path_factory):
    """As `torch.save` writes it; 90 MB."""
    path = tmp_path_factory.mktemp("fid") / "inception.pth"
    torch.save(oracle.state_dict(), path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def extractor(file):
    return fid_inception.load(file, "legacy_pytorch")


@pytest.fixture
def one_network(monkeypatch):
    """Builds it once for several files."""
    network = fid_inception.network()
    monkeypatch.setattr(fid_inception, "network", lambda: network)


@pytest.mark.stack
def test_features_are_those_of_pytorch(oracle, extractor):
    assert re.fullmatch(r"fid-[0-9a-f]{8}-legacy_pytorch", extractor.name)
    found = extractor.of(pictures())
    expected = in_torch(oracle, 2 * (pictures() / np.float32(255)) - 1)
    assert found.shape == (2, 2048) and found.dtype == np.float32
    apart = np.abs(expected[0] - expected[1]).max()
    assert np.abs(found - expected).max() < 1e-5 * min(apart, np.abs(expected).max())


@pytest.mark.parametrize("size", [(37, 50), (299, 299), (400, 333)])
def test_pictures_are_scaled_as_in_both_codes(size):
    floats = torch.from_numpy(np.moveaxis(pictures(*size), -1, 1).astype(np.float32))

    def by_torch(mode, **options):
        sides = (299, 299)
        resized = functional.interpolate(
            floats, sides, mode=mode, align_corners=False, **options
        )
        return np.moveaxis(resized.clip(0, 255).numpy(), 1, -1)

    # PyTorch's bicubic filter with antialias is Pillow's.
    cleaned = by_torch("bicubic", antialias=True)
    found = fid_inception.clean(pictures(*size))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found * 128 + 128, cleaned, atol=1e-4 * 255)
    legacy = by_torch("bilinear")
    found = fid_inception.legacy_pytorch(pictures(*size))
    np.testing.assert_allclose(found, legacy / 255 * 2 - 1, atol=2e-5)


def test_modes_differ_in_name_and_features(extractor, file, one_network):
    other = fid_inception.load(file)
    assert other.name == extractor.name.replace("legacy_pytorch", "clean")
    apart = np.abs(other.of(pictures()) - extractor.of(pictures())).max()
    assert apart > 1e-3
    with refused("`mode` must be one of clean, legacy_pytorch."):
        fid_inception.load(file, "cubic")


def test_a_file_that_does_not_fit_is_refused_in_a_line(oracle, one_network, tmp_path):
    whole = oracle.state_dict()
    lacking = {n: v for n, v in whole.items() if "Mixed_6e.branch7x7_2.bn" not in n}
    nameless = {
        f"other.{name}": value[:1] for name, value in whole.items() if value.ndim
    }
    wide = whole | {"Mixed_5b.branch1x1.conv.weight": torch.zeros(64, 192, 3, 3)}
    negative = whole | {"Conv2d_1a_3x3.bn.running_var": -torch.ones(32)}
    cases = {
        "lacking": (lacking, "missing: Mixed_6e.branch7x7_2.bn.bias"),
        "nameless": (nameless, "missing: Conv2d_1a_3x3.bn.bias"),
        "wide": (wide, "misshapen: Mixed_5b.branch1x1.conv.weight (64, 192, 3, 3)"),
        "torchvision": (
            whole | {"fc.weight": torch.zeros(1000, 2048)},
            "misshapen: fc.weight (1000, 2048) instead of (1008, 2048)",
        ),
        "negative": (negative, "Conv2d_1a_3x3.bn.running_var has impossible values"),
    }
    for name, (state_dict, text) in cases.items():
        path = tmp_path / f"{name}.pth"
        torch.save(state_dict, path)
        check_refused(path, text)
        path.unlink()


def test_a_file_of_something_else_is_refused_in_a_line(one_network, tmp_path):
    (tmp_path / "text.pth").write_text("No network at all.")
    for name, text in (
        ("no.pth", "No such file"),
        ("text.pth", "neither a PyTorch nor a safetensors file"),
    ):
        check_refused(tmp_path / name, text)


def check_refused(path, text):
    with refused(text) as caught:
        fid_inception.load(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 1500
