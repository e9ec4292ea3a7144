"""The official networks in PyTorch, written from their description: the oracle.

The nesting of the modules and their places in each Sequential make the keys of the
official files. All normalise each image for itself.
"""

import numpy as np
import torch
from torch import nn

# With more, TensorFlow's threads and PyTorch's wait for each other, at times for long.
torch.set_num_threads(1)

# TensorFlow holds it as float32, in networks of double precision too.
SLOPE = float(np.float32(0.2))


class ResidualBlock(nn.Module):
    """Two reflect-padded 3x3 convolutions, added to what came in."""

    def __init__(self, num_filters: int, dropout: bool):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(num_filters, num_filters, 3),
            nn.InstanceNorm2d(num_filters),
            nn.ReLU(),
            *([nn.Dropout(0.5)] if dropout else []),
            nn.ReflectionPad2d(1),
            nn.Conv2d(num_filters, num_filters, 3),
            nn.InstanceNorm2d(num_filters),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv_block(x)


class Resnet(nn.Module):
    """The residual generator."""

    def __init__(
        self, num_filters: int = 64, num_blocks: int = 9, dropout: bool = False
    ):
        super().__init__()
        layers = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, num_filters, 7),
            nn.InstanceNorm2d(num_filters),
            nn.ReLU(),
        ]
        for width in (num_filters, 2 * num_filters):
            layers += [
                nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
                nn.InstanceNorm2d(2 * width),
                nn.ReLU(),
            ]
        layers += [ResidualBlock(4 * num_filters, dropout) for _ in range(num_blocks)]
        up = {"stride": 2, "padding": 1, "output_padding": 1}
        for width in (4 * num_filters, 2 * num_filters):
            layers += [
                nn.ConvTranspose2d(width, width // 2, 3, **up),
                nn.InstanceNorm2d(width // 2),
                nn.ReLU(),
            ]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(num_filters, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class UnetLevel(nn.Module):
    """Down, all that lies deeper, and up; joined to what came in, but at the top."""

    def __init__(self, layers: list[nn.Module], outermost: bool = False):
        super().__init__()
        self.model = nn.Sequential(*layers)
        self.outermost = outermost

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.model(x)
        return y if self.outermost else torch.cat([x, y], dim=1)


class Unet(nn.Module):
    """The U-Net generator, without dropout."""

    def __init__(self, num_filters: int = 64, num_downs: int = 8):
        super().__init__()
        widths = [num_filters * min(2**i, 8) for i in range(num_downs)]
        last = num_downs - 1
        strided = {"stride": 2, "padding": 1}

        def down(level: int) -> nn.Module:
            source = widths[level - 1] if level else 3
            return nn.Conv2d(source, widths[level], 4, **strided)

        def up(level: int) -> nn.Module:
            source = widths[level] if level == last else 2 * widths[level]
            target = widths[level - 1] if level else 3
            return nn.ConvTranspose2d(source, target, 4, **strided)

        def norm(level: int) -> nn.Module:
            return nn.InstanceNorm2d(widths[level])

        layers = [nn.LeakyReLU(SLOPE), down(last), nn.ReLU(), up(last), norm(last - 1)]
        block = UnetLevel(layers)
        for level in range(last - 1, 0, -1):
            layers = [nn.LeakyReLU(SLOPE), down(level), norm(level), block]
            block = UnetLevel([*layers, nn.ReLU(), up(level), norm(level - 1)])
        layers = [down(0), block, nn.ReLU(), up(0), nn.Tanh()]
        self.model = UnetLevel(layers, outermost=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class Patchgan(nn.Module):
    """The PatchGAN discriminator."""

    def __init__(self, num_filters: int = 64, num_layers: int = 3):
        super().__init__()
        layers = [nn.Conv2d(3, num_filters, 4, stride=2, padding=1)]
        layers.append(nn.LeakyReLU(SLOPE))
        width = num_filters
        for i in range(1, num_layers + 1):
            before, width = width, num_filters * min(2**i, 8)
            stride = 2 if i < num_layers else 1
            layers += [
                nn.Conv2d(before, width, 4, stride=stride, padding=1),
                nn.InstanceNorm2d(width),
                nn.LeakyReLU(SLOPE),
            ]
        layers.append(nn.Conv2d(width, 1, 4, stride=1, padding=1))
        self.model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x)


class Pixel(nn.Module):
    """The 1x1 discriminator."""

    def __init__(self, num_filters: int = 64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, num_filters, 1),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(num_filters, 2 * num_filters, 1),
            nn.InstanceNorm2d(2 * num_filters),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * num_filters, 1, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


def randomize(network: nn.Module, seed: int = 0) -> nn.Module:
    """Draws kernels from N(0, 0.02), and all else far enough from zero to be missed.

    Kernels of one pixel sum over few numbers, and are drawn ten times as large.
    """
    generator = torch.Generator().manual_seed(seed)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            spread = 0.1
            if tensor.ndim == 4:
                spread = 0.02 if tensor.shape[-1] > 1 else 0.2
            tensor.normal_(0, spread, generator=generator)
    return network


def norms(network: nn.Module) -> list[tuple[str, nn.Sequential, int]]:
    """The Sequential of each instance norm, by name, and the norm's place in it."""
    return [
        (name, sequential, i)
        for name, sequential in network.named_modules()
        if isinstance(sequential, nn.Sequential)
        for i, layer in enumerate(sequential)
        if isinstance(layer, nn.InstanceNorm2d)
    ]


def cancelled_biases(network: nn.Module) -> set[str]:
    """Names of the biases that change nothing, since a norm follows."""
    return {f"{name}.{i - 1}.bias" for name, _, i in norms(network)}


def apply(network: nn.Module, images):
    """What a network makes of NumPy images [batch, height, width, channels]."""
    with torch.inference_mode():
        y = network(torch.tensor(images).permute(0, 3, 1, 2).contiguous())
    return y.permute(0, 2, 3, 1).numpy()
