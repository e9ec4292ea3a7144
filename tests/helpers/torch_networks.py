"""The official networks in PyTorch, written from their description: the oracle.

The nesting of the modules and their places in each Sequential make the keys of the
official files. All normalise each image for itself, unless asked otherwise.
"""

import functools

import numpy as np
import torch
from torch import nn

# With more, TensorFlow's threads and PyTorch's wait for each other, at times for long.
torch.set_num_threads(1)

# TensorFlow holds it as float32, in networks of double precision too.
SLOPE = float(np.float32(0.2))

NORMS = {
    "instance": nn.InstanceNorm2d,
    # Files of PyTorch 0.3 carry statistics, which training mode does not use.
    "tracked": functools.partial(nn.InstanceNorm2d, track_running_stats=True),
    "batch": nn.BatchNorm2d,
}


def _with_bias(norm: str) -> bool:
    """Whether convolutions before the norm have a bias: batch norm has its own."""
    return norm != "batch"


class ResidualBlock(nn.Module):
    """Two reflect-padded 3x3 convolutions, added to what came in."""

    def __init__(self, num_filters: int, norm: str, dropout: bool):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(num_filters, num_filters, 3, bias=_with_bias(norm)),
            NORMS[norm](num_filters),
            nn.ReLU(),
            *([nn.Dropout(0.5)] if dropout else []),
            nn.ReflectionPad2d(1),
            nn.Conv2d(num_filters, num_filters, 3, bias=_with_bias(norm)),
            NORMS[norm](num_filters),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


class Resnet(nn.Module):
    """The residual generator."""

    def __init__(
        self,
        num_filters: int = 64,
        num_blocks: int = 9,
        channels: int = 3,
        norm: str = "instance",
        dropout: bool = False,
    ):
        super().__init__()
        bias = _with_bias(norm)
        layers = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(channels, num_filters, 7, bias=bias),
            NORMS[norm](num_filters),
            nn.ReLU(),
        ]
        for width in (num_filters, 2 * num_filters):
            layers += [
                nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=bias),
                NORMS[norm](2 * width),
                nn.ReLU(),
            ]
        for _ in range(num_blocks):
            layers.append(ResidualBlock(4 * num_filters, norm, dropout))
        for width in (4 * num_filters, 2 * num_filters):
            layers += [
                nn.ConvTranspose2d(
                    width,
                    width // 2,
                    3,
                    stride=2,
                    padding=1,
                    output_padding=1,
                    bias=bias,
                ),
                NORMS[norm](width // 2),
                nn.ReLU(),
            ]
        layers += [
            nn.ReflectionPad2d(3),
            nn.Conv2d(num_filters, channels, 7),
            nn.Tanh(),
        ]
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class UnetLevel(nn.Module):
    """Down, all that lies deeper, and up; joined to what came in, but at the top."""

    def __init__(self, layers: list[nn.Module], outermost: bool):
        super().__init__()
        self.model = nn.Sequential(*layers)
        self.outermost = outermost

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.model(x)
        return y if self.outermost else torch.cat([x, y], dim=1)


class Unet(nn.Module):
    """The U-Net generator, without dropout."""

    def __init__(
        self,
        num_filters: int = 64,
        num_downs: int = 8,
        channels: int = 3,
        norm: str = "instance",
    ):
        super().__init__()
        bias = _with_bias(norm)
        widths = [num_filters * min(2**i, 8) for i in range(num_downs)]

        def down(level: int) -> nn.Module:
            source = widths[level - 1] if level else channels
            return nn.Conv2d(source, widths[level], 4, stride=2, padding=1, bias=bias)

        def up(level: int) -> nn.Module:
            joined = 1 if level == num_downs - 1 else 2
            target = widths[level - 1] if level else channels
            return nn.ConvTranspose2d(
                joined * widths[level],
                target,
                4,
                stride=2,
                padding=1,
                bias=bias or level == 0,
            )

        def norm_at(level: int) -> nn.Module:
            return NORMS[norm](widths[level])

        last = num_downs - 1
        block = UnetLevel(
            [nn.LeakyReLU(SLOPE), down(last), nn.ReLU(), up(last), norm_at(last - 1)],
            outermost=False,
        )
        for level in range(last - 1, 0, -1):
            layers = [nn.LeakyReLU(SLOPE), down(level), norm_at(level), block]
            layers += [nn.ReLU(), up(level), norm_at(level - 1)]
            block = UnetLevel(layers, outermost=False)
        layers = [down(0), block, nn.ReLU(), up(0), nn.Tanh()]
        self.model = UnetLevel(layers, outermost=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class Patchgan(nn.Module):
    """The PatchGAN discriminator."""

    def __init__(
        self,
        num_filters: int = 64,
        num_layers: int = 3,
        channels: int = 3,
        norm: str = "instance",
    ):
        super().__init__()
        layers = [
            nn.Conv2d(channels, num_filters, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE),
        ]
        width = num_filters
        for i in range(1, num_layers + 1):
            before, width = width, num_filters * min(2**i, 8)
            stride = 2 if i < num_layers else 1
            bias = _with_bias(norm)
            layers += [
                nn.Conv2d(before, width, 4, stride=stride, padding=1, bias=bias),
                NORMS[norm](width),
                nn.LeakyReLU(SLOPE),
            ]
        layers.append(nn.Conv2d(width, 1, 4, stride=1, padding=1))
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class Pixel(nn.Module):
    """The 1x1 discriminator."""

    def __init__(
        self, num_filters: int = 64, channels: int = 3, norm: str = "instance"
    ):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, num_filters, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(num_filters, 2 * num_filters, 1, bias=_with_bias(norm)),
            NORMS[norm](2 * num_filters),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * num_filters, 1, 1, bias=_with_bias(norm)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def randomize(network: nn.Module, seed: int = 0) -> nn.Module:
    """Kernels from N(0, 0.02), and all else far enough from zero to be missed.

    Kernels of one pixel sum over few numbers, and are drawn ten times as large.

    Args:
      network: Its weights and statistics are replaced.
      seed: Of the draws.

    Returns:
      The network.
    """
    generator = torch.Generator().manual_seed(seed)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            spread = 0.1
            if tensor.ndim == 4:
                spread = 0.02 if tensor.shape[-1] > 1 else 0.2
            tensor.normal_(0, spread, generator=generator)
    return network


def cancelled_biases(network: nn.Module) -> set[str]:
    """Names of the biases that change nothing, since a norm follows."""
    names = set()
    for prefix, sequential in network.named_modules():
        if isinstance(sequential, nn.Sequential):
            for i, layer in enumerate(list(sequential)[1:]):
                if isinstance(layer, nn.modules.instancenorm._InstanceNorm):
                    names.add(f"{prefix}.{i}.bias")
    return names


def apply(network: nn.Module, images):
    """What a network makes of NumPy images [batch, height, width, channels]."""
    with torch.inference_mode():
        y = network(torch.tensor(images).permute(0, 3, 1, 2).contiguous())
    return y.permute(0, 2, 3, 1).numpy()
