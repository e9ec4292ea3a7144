"""What this machine can do: its rates, its memory, and what it is."""

import importlib.metadata
import pathlib
import platform

import tensorflow as tf

from cyclegan_tf.compat import num_cores
from cyclegan_tf.speed.timing import Call
from cyclegan_tf.training.devices import describe_devices
from cyclegan_tf.training.loop import peak_gigabytes

_SIDE = 2048
_IMAGE, _CHANNELS = 64, 256


def matrix_product(precision: str) -> Call:
    """Two products of matrices of 2048 x 2048, beside one another as a step's halves.

    Args:
      precision: Their type.
    """
    shape = (_SIDE, _SIDE)
    a, b, c, d = (_random(shape, precision) for _ in range(4))

    @tf.function(autograph=False)
    def products():
        return tf.matmul(a, b)[0, 0] + tf.matmul(c, d)[0, 0]

    return Call(lambda: products().numpy(), 2 * 2 * _SIDE**3)


def convolution(precision: str) -> Call:
    """Two 3x3 convolutions of the 256 px generator's residual blocks, likewise.

    Args:
      precision: Type of images and kernel.
    """
    shape = (1, _IMAGE + 2, _IMAGE + 2, _CHANNELS)
    x, y = (_random(shape, precision) for _ in range(2))
    kernel = _random((3, 3, _CHANNELS, _CHANNELS), precision)

    @tf.function(autograph=False)
    def convolved():
        maps = [tf.nn.conv2d(images, kernel, 1, "VALID") for images in (x, y)]
        return maps[0][0, 0, 0, 0] + maps[1][0, 0, 0, 0]

    return Call(lambda: convolved().numpy(), 2 * 2 * _IMAGE**2 * 9 * _CHANNELS**2)


def _random(shape: tuple[int, ...], precision: str) -> tf.Tensor:
    return tf.cast(tf.random.uniform(shape, -1, 1), precision)


def forget_peak() -> None:
    """Has the GPUs forget their largest memory; a process can't."""
    for gpu in tf.config.list_logical_devices("GPU"):
        tf.config.experimental.reset_memory_stats(gpu.name)


def peak_of_devices() -> float:
    """Largest memory in use so far, gigabytes: of the GPUs, or of the process."""
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        return peak_gigabytes()
    infos = [tf.config.experimental.get_memory_info(gpu.name) for gpu in gpus]
    return sum(info["peak"] for info in infos) / 1e9


def described() -> dict[str, str]:
    """The devices, the processor, and the versions that matter."""
    packages = ("tensorflow", "keras")
    return {
        "devices": describe_devices(),
        "processor": f"{num_cores()} x {_processor()}",
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def _processor() -> str:
    path = pathlib.Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
