"""FID's Inception: held to PyTorch and Pillow, and files that do not fit."""

import re

import numpy as np
import pytest
import tensorflow as tf
import torch
from helpers.config_values import refused
from helpers.torch_inception import random_inception
from torch.nn import functional

from cyclegan_tf.evaluation import fid_inception
from cyclegan_tf.evaluation.features import Extractor
from cyclegan_tf.messages import UserError

# What torch-fidelity's conversion calls the layers of Google's graph.
GRAPH_STEM = {
    "Conv2d_1a_3x3": "conv",
    "Conv2d_2a_3x3": "conv_1",
    "Conv2d_2b_3x3": "conv_2",
    "Conv2d_3b_1x1": "conv_3",
    "Conv2d_4a_3x3": "conv_4",
}
GRAPH_BLOCKS = {
    "Mixed_5b": "mixed",
    "Mixed_5c": "mixed_1",
    "Mixed_5d": "mixed_2",
    "Mixed_6a": "mixed_3",
    "Mixed_6b": "mixed_4",
    "Mixed_6c": "mixed_5",
    "Mixed_6d": "mixed_6",
    "Mixed_6e": "mixed_7",
    "Mixed_7a": "mixed_8",
    "Mixed_7b": "mixed_9",
    "Mixed_7c": "mixed_10",
}
GRAPH_BRANCHES = {
    "branch1x1": "conv",
    "branch5x5_1": "tower/conv",
    "branch5x5_2": "tower/conv_1",
    "branch3x3dbl_1": "tower_1/conv",
    "branch3x3dbl_2": "tower_1/conv_1",
    "branch3x3dbl_3": "tower_1/conv_2",
    "branch3x3dbl_3a": "tower_1/mixed/conv",
    "branch3x3dbl_3b": "tower_1/mixed/conv_1",
    "branch7x7_1": "tower/conv",
    "branch7x7_2": "tower/conv_1",
    "branch7x7_3": "tower/conv_2",
    "branch7x7dbl_1": "tower_1/conv",
    "branch7x7dbl_2": "tower_1/conv_1",
    "branch7x7dbl_3": "tower_1/conv_2",
    "branch7x7dbl_4": "tower_1/conv_3",
    "branch7x7dbl_5": "tower_1/conv_4",
    "branch3x3_1": "tower/conv",
    "branch3x3_2": "tower/conv_1",
    "branch3x3_2a": "tower/mixed/conv",
    "branch3x3_2b": "tower/mixed/conv_1",
    "branch7x7x3_1": "tower_1/conv",
    "branch7x7x3_2": "tower_1/conv_1",
    "branch7x7x3_3": "tower_1/conv_2",
    "branch7x7x3_4": "tower_1/conv_3",
    "branch_pool": "tower_2/conv",
}
GRAPH_6A = {
    "branch3x3": "conv",
    "branch3x3dbl_1": "tower/conv",
    "branch3x3dbl_2": "tower/conv_1",
    "branch3x3dbl_3": "tower/conv_2",
}
GRAPH_PARTS = {
    "conv.weight": "conv2d_params",
    "bn.weight": "batchnorm/gamma",
    "bn.bias": "batchnorm/beta",
    "bn.running_mean": "batchnorm/moving_mean",
    "bn.running_var": "batchnorm/moving_variance",
}


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
    return Extractor(*fid_inception.load(file, "legacy_pytorch"))


@pytest.fixture
def one_network(monkeypatch):
    """Builds it once for several files."""
    network = fid_inception.network()
    monkeypatch.setattr(fid_inception, "network", lambda: network)


@pytest.mark.stack
def test_features_are_those_of_pytorch(oracle, extractor):
    assert re.fullmatch(r"fid-[0-9a-f]{8}-legacy_pytorch", extractor.name)
    found = extractor.compute(pictures())
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


def name_in_graph(layer):
    if layer in GRAPH_STEM:
        return GRAPH_STEM[layer]
    block, branch = layer.split(".")
    branches = GRAPH_6A if block == "Mixed_6a" else GRAPH_BRANCHES
    return f"{GRAPH_BLOCKS[block]}/{branches[branch]}"


def add(graph, name, array):
    node = graph.node.add(op="Const", name=name)
    node.attr["dtype"].type = tf.float32.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(array))


def graph_of(network):
    """A graph with Google's constants."""
    graph = tf.compat.v1.GraphDef()
    for name, value in network.state_dict().items():
        layer, kind, part = name.rsplit(".", 2) if "fc" not in name else ("", "fc", "")
        if kind != "fc" and part != "num_batches_tracked":
            array = value.numpy()
            array = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
            part = GRAPH_PARTS[f"{kind}.{part}"]
            add(graph, f"{name_in_graph(layer)}/{part}", array)
    add(graph, "softmax/weights", network.fc.weight.detach().numpy().T)
    return graph


def test_a_graph_with_the_names_of_google_gives_the_same(
    oracle, extractor, one_network, tmp_path
):
    path = tmp_path / "classify_image_graph_def.pb"
    graph = graph_of(oracle)
    path.write_bytes(graph.SerializeToString())
    found = Extractor(*fid_inception.load(path, "legacy_pytorch"))
    path.unlink()
    assert found.name == extractor.name
    np.testing.assert_array_equal(
        found.compute(pictures()), extractor.compute(pictures())
    )
    graph.node[3].attr["value"].tensor.tensor_content = b"four"
    path.write_bytes(graph.SerializeToString())
    check_refused(path, "is damaged")
    path.unlink()


def test_modes_differ_in_name_and_features(extractor, file, one_network):
    other = Extractor(*fid_inception.load(file))
    assert other.name == extractor.name.replace("legacy_pytorch", "clean")
    apart = np.abs(other.compute(pictures()) - extractor.compute(pictures())).max()
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
    for name in ("text.pth", "text.pb"):
        (tmp_path / name).write_text("No network at all.")
    graph = tf.compat.v1.GraphDef()
    add(graph, "conv/conv2d_params", np.zeros((3, 3, 3, 8), np.float32))
    (tmp_path / "other.pb").write_bytes(graph.SerializeToString())
    for name, text in (
        ("no.pth", "No such file"),
        ("no.pb", "No such file"),
        ("text.pth", "neither a PyTorch nor a safetensors file"),
        ("text.pb", "no TensorFlow graph"),
        ("other.pb", "misshapen: Conv2d_1a_3x3.conv.weight (8, 3, 3, 3)"),
    ):
        check_refused(tmp_path / name, text)


def check_refused(path, text):
    with refused(text) as caught:
        fid_inception.load(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message and len(message) < 1500


def test_without_a_file_a_line_says_which_to_fetch():
    with pytest.raises(UserError, match="`feature_weights`.*pt_inception-2015-12-05"):
        fid_inception.load("")
