"""FID's Inception in PyTorch, written from its description: the oracle.

Held once to pytorch-fid 0.3.0 itself, whose torchvision does not import beside a
PyTorch without CUDA: names, shapes and features were the same to the last bit.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

# With more, TensorFlow's threads and PyTorch's wait for each other, at times for long.
torch.set_num_threads(1)

NUM_CLASSES = 1008


class Unit(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(self, num_inputs: int, num_outputs: int, size, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(
            num_inputs, num_outputs, size, stride, padding, bias=False
        )
        self.bn = nn.BatchNorm2d(num_outputs, eps=0.001)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.bn(self.conv(x)))


def average(x: torch.Tensor) -> torch.Tensor:
    """Of three by three pixels; the border's means are of the pixels that are there."""
    return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def largest(x: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(x, 3, 1, 1)


class BlockA(nn.Module):
    def __init__(self, width: int, pool_width: int):
        super().__init__()
        self.branch1x1 = Unit(width, 64, 1)
        self.branch5x5_1 = Unit(width, 48, 1)
        self.branch5x5_2 = Unit(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Unit(width, 64, 1)
        self.branch3x3dbl_2 = Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, padding=1)
        self.branch_pool = Unit(width, pool_width, 1)

    def forward(self, x):
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        five = self.branch5x5_2(self.branch5x5_1(x))
        pool = self.branch_pool(average(x))
        return torch.cat(
            [self.branch1x1(x), five, self.branch3x3dbl_3(double), pool], 1
        )


class BlockB(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.branch3x3 = Unit(width, 384, 3, stride=2)
        self.branch3x3dbl_1 = Unit(width, 64, 1)
        self.branch3x3dbl_2 = Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, stride=2)

    def forward(self, x):
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pool = functional.max_pool2d(x, 3, 2)
        return torch.cat([self.branch3x3(x), self.branch3x3dbl_3(double), pool], 1)


class BlockC(nn.Module):
    def __init__(self, width: int, inner: int):
        super().__init__()
        wide = {"size": (1, 7), "padding": (0, 3)}
        tall = {"size": (7, 1), "padding": (3, 0)}
        self.branch1x1 = Unit(width, 192, 1)
        self.branch7x7_1 = Unit(width, inner, 1)
        self.branch7x7_2 = Unit(inner, inner, **wide)
        self.branch7x7_3 = Unit(inner, 192, **tall)
        self.branch7x7dbl_1 = Unit(width, inner, 1)
        self.branch7x7dbl_2 = Unit(inner, inner, **tall)
        self.branch7x7dbl_3 = Unit(inner, inner, **wide)
        self.branch7x7dbl_4 = Unit(inner, inner, **tall)
        self.branch7x7dbl_5 = Unit(inner, 192, **wide)
        self.branch_pool = Unit(width, 192, 1)

    def forward(self, x):
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        pool = self.branch_pool(average(x))
        return torch.cat([self.branch1x1(x), single, double, pool], 1)


class BlockD(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.branch3x3_1 = Unit(width, 192, 1)
        self.branch3x3_2 = Unit(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Unit(width, 192, 1)
        self.branch7x7x3_2 = Unit(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = Unit(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = Unit(192, 192, 3, stride=2)

    def forward(self, x):
        seven = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        three = self.branch3x3_2(self.branch3x3_1(x))
        pool = functional.max_pool2d(x, 3, 2)
        return torch.cat([three, self.branch7x7x3_4(seven), pool], 1)


class BlockE(nn.Module):
    def __init__(self, width: int, pool):
        super().__init__()
        wide = {"size": (1, 3), "padding": (0, 1)}
        tall = {"size": (3, 1), "padding": (1, 0)}
        self.pool = pool
        self.branch1x1 = Unit(width, 320, 1)
        self.branch3x3_1 = Unit(width, 384, 1)
        self.branch3x3_2a = Unit(384, 384, **wide)
        self.branch3x3_2b = Unit(384, 384, **tall)
        self.branch3x3dbl_1 = Unit(width, 448, 1)
        self.branch3x3dbl_2 = Unit(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = Unit(384, 384, **wide)
        self.branch3x3dbl_3b = Unit(384, 384, **tall)
        self.branch_pool = Unit(width, 192, 1)

    def forward(self, x):
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        forks = [
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
        ]
        pool = self.branch_pool(self.pool(x))
        return torch.cat([self.branch1x1(x), *forks, pool], 1)


class Inception(nn.Module):
    """From [batch, 3, 299, 299] in [-1, 1] to [batch, 2048]."""

    def __init__(self):
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3)
        self.Mixed_5b = BlockA(192, 32)
        self.Mixed_5c = BlockA(256, 64)
        self.Mixed_5d = BlockA(288, 64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b = BlockC(768, 128)
        self.Mixed_6c = BlockC(768, 160)
        self.Mixed_6d = BlockC(768, 160)
        self.Mixed_6e = BlockC(768, 192)
        self.Mixed_7a = BlockD(768)
        self.Mixed_7b = BlockE(1280, average)
        self.Mixed_7c = BlockE(2048, largest)
        self.fc = nn.Linear(2048, NUM_CLASSES)

    def forward(self, x):
        for name, block in self.named_children():
            if name != "fc":
                x = block(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = functional.max_pool2d(x, 3, 2)
        return x.mean((2, 3))


def random_inception(seed: int = 0) -> Inception:
    """With random weights and statistics, under which activations keep their size."""
    random = np.random.default_rng(seed)
    network = Inception().eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            low, high = (
                (0.5, 1.5) if "var" in name or "bn.weight" in name else (-0.2, 0.2)
            )
            if value.ndim > 1:
                high = (6 / value[0].numel()) ** 0.5
                low = -high
            if value.is_floating_point():
                numbers = random.uniform(low, high, value.shape).astype(np.float32)
                value.copy_(torch.from_numpy(numbers))
    return network
