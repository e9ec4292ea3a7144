"""The official PyTorch networks: their tensors' names and shapes, and ours for them.

Both sides hold the same numbers. A kernel is (out, in, height, width) in PyTorch, of a
transposed convolution (in, out, height, width), and ours is the same with the axes
moved to (2, 3, 1, 0). A convolution before an instance norm has a bias there, which
the norm cancels; ours has none.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from cyclegan_tf.config import Config

# Of the official code's file names: its D_A judges what G_A makes, which is domain B.
NETWORKS = {
    "G_A": "generator_g",
    "G_B": "generator_f",
    "D_A": "discriminator_y",
    "D_B": "discriminator_x",
}


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What the builder of a network needs.

    Attributes:
      kind: `resnet`, `unet`, `patchgan` or `pixel`.
      num_filters: Of the first convolution.
      depth: Residual blocks, halvings or stride-2 convolutions; 0 for `pixel`.
      channels: Of the images.
      dropout: Whether the names are those of a ResNet with dropout, which it uses in
        training only.
    """

    kind: str
    num_filters: int
    depth: int
    channels: int = 3
    dropout: bool = False

    def fields(self) -> dict:
        """The fields of a `Config` that say the same."""
        if self.kind in ("resnet", "unet"):
            depth = {"resnet": "num_blocks", "unet": "num_downs"}[self.kind]
            kind, filters = "generator", "num_filters"
        else:
            depth, kind, filters = (
                "discriminator_layers",
                "discriminator",
                "discriminator_filters",
            )
        fields = {kind: self.kind, filters: self.num_filters}
        return fields if self.kind == "pixel" else {**fields, depth: self.depth}

    def told(self) -> str:
        """The architecture in words: `resnet of 64 filters and 9 blocks`."""
        units = {"resnet": "block", "unet": "halving", "patchgan": "stride-2 layer"}
        text = f"{self.kind} of {self.num_filters} filters"
        if self.kind not in units:
            return text
        return f"{text} and {self.depth} {units[self.kind]}{'s' * (self.depth != 1)}"


def of_config(config: Config, name: str) -> Architecture:
    """The architecture of one of a run's four networks."""
    if name.startswith("discriminator"):
        depth = config.discriminator_layers if config.discriminator == "patchgan" else 0
        return Architecture(config.discriminator, config.discriminator_filters, depth)
    depth = config.num_blocks if config.generator == "resnet" else config.num_downs
    return Architecture(config.generator, config.num_filters, depth)


# --- Names and shapes


@dataclasses.dataclass(frozen=True)
class _Convolution:
    ours: str
    theirs: str
    kernel: tuple[int, int, int, int]
    bias_cancelled: bool = True
    transposed: bool = False

    @property
    def num_biases(self) -> int:
        return self.kernel[1 if self.transposed else 0]


def _resnet(a: Architecture) -> Iterator[_Convolution]:
    f, n = a.num_filters, a.depth
    yield _Convolution("first_conv", "model.1", (f, a.channels, 7, 7))
    yield _Convolution("down_1_conv", "model.4", (2 * f, f, 3, 3))
    yield _Convolution("down_2_conv", "model.7", (4 * f, 2 * f, 3, 3))
    for i in range(1, n + 1):
        for k, place in ((1, 1), (2, 6 if a.dropout else 5)):
            theirs = f"model.{9 + i}.conv_block.{place}"
            yield _Convolution(f"block_{i}_conv_{k}", theirs, (4 * f, 4 * f, 3, 3))
    for i, width in ((1, 4 * f), (2, 2 * f)):
        yield _Convolution(
            f"up_{i}_conv",
            f"model.{7 + n + 3 * i}",
            (width, width // 2, 3, 3),
            transposed=True,
        )
    yield _Convolution("last_conv", f"model.{17 + n}", (a.channels, f, 7, 7), False)


def _unet(a: Architecture) -> Iterator[_Convolution]:
    widths = [a.num_filters * min(2**i, 8) for i in range(a.depth)]
    first = (widths[0], a.channels, 4, 4)
    yield _Convolution("down_1_conv", "model.model.0", first, False)
    ups = []
    # Each block is a Sequential inside the one that halves less.
    block = "model.model.1.model"
    for i in range(2, a.depth + 1):
        outer, inner, innermost = widths[i - 2], widths[i - 1], i == a.depth
        down = (inner, outer, 4, 4)
        yield _Convolution(f"down_{i}_conv", f"{block}.1", down, not innermost)
        theirs = f"{block}.{3 if innermost else 5}"
        up = (inner if innermost else 2 * inner, outer, 4, 4)
        ours = f"up_{a.depth + 1 - i}_conv"
        ups.append(_Convolution(ours, theirs, up, transposed=True))
        block += ".3.model"
    yield from reversed(ups)
    last = (2 * widths[0], a.channels, 4, 4)
    yield _Convolution("last_conv", "model.model.3", last, False, transposed=True)


def _patchgan(a: Architecture) -> Iterator[_Convolution]:
    widths = [a.num_filters * min(2**i, 8) for i in range(a.depth + 1)]
    yield _Convolution("conv_1", "model.0", (widths[0], a.channels, 4, 4), False)
    for i in range(2, a.depth + 2):
        kernel = (widths[i - 1], widths[i - 2], 4, 4)
        yield _Convolution(f"conv_{i}", f"model.{3 * i - 4}", kernel)
    last = (1, widths[-1], 4, 4)
    yield _Convolution("logits", f"model.{3 * a.depth + 2}", last, False)


def _pixel(a: Architecture) -> Iterator[_Convolution]:
    f = a.num_filters
    yield _Convolution("conv_1", "net.0", (f, a.channels, 1, 1), False)
    yield _Convolution("conv_2", "net.2", (2 * f, f, 1, 1))
    yield _Convolution("logits", "net.5", (1, 2 * f, 1, 1), False)


_CONVOLUTIONS = {
    "resnet": _resnet,
    "unet": _unet,
    "patchgan": _patchgan,
    "pixel": _pixel,
}


def state_dict_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the official network's state dict."""
    shapes = {}
    for c in _CONVOLUTIONS[architecture.kind](architecture):
        shapes[f"{c.theirs}.weight"] = c.kernel
        shapes[f"{c.theirs}.bias"] = (c.num_biases,)
    return shapes


# --- Weights


def to_ours(
    architecture: Architecture, state_dict: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Our weights of a state dict; biases that a norm cancels are left out.

    Args:
      architecture: Of the state dict, which matches it.
      state_dict: Arrays by the official names.

    Returns:
      float32 arrays by our names, such as `first_conv_kernel`.
    """
    weights = {}
    for c in _CONVOLUTIONS[architecture.kind](architecture):
        kernel = np.asarray(state_dict[f"{c.theirs}.weight"], np.float32)
        weights[f"{c.ours}_kernel"] = kernel.transpose(2, 3, 1, 0)
        if not c.bias_cancelled:
            bias = np.asarray(state_dict[f"{c.theirs}.bias"], np.float32)
            weights[f"{c.ours}_bias"] = bias
    return weights


def to_theirs(
    architecture: Architecture, weights: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The official state dict of our weights; biases that a norm cancels are zeros.

    Args:
      architecture: Of the weights.
      weights: Arrays by our names.

    Returns:
      float32 arrays by the official names, in the official order.
    """
    state_dict = {}
    for c in _CONVOLUTIONS[architecture.kind](architecture):
        kernel = np.asarray(weights[f"{c.ours}_kernel"], np.float32)
        state_dict[f"{c.theirs}.weight"] = kernel.transpose(3, 2, 0, 1)
        state_dict[f"{c.theirs}.bias"] = (
            np.zeros(c.num_biases, np.float32)
            if c.bias_cancelled
            else np.asarray(weights[f"{c.ours}_bias"], np.float32)
        )
    return state_dict
