"""Measures one configuration: its step, plainer steps, and what the machine can do."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf
from helpers import plain_step

from benchmarks import tutorial_step
from benchmarks.operations import count_flops, count_operations
from cyclegan_tf.config import Config
from cyclegan_tf.core.cyclegan import CycleGAN
from cyclegan_tf.training.devices import make_strategy
from cyclegan_tf.training.loop import peak_gigabytes

STEP, MATRIX_PRODUCT = "step", "matrix product"
WITHOUT_IDENTITY = "step without identity"


def take_turns(
    functions: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, list[float]]:
    """Calls functions one after another, so that a busy machine slows all alike.

    Args:
      functions: By name. Each waits until its result is there.
      rounds: Timed rounds, after two that trace and warm up.

    Returns:
      The seconds of each round, by name.
    """
    seconds = {name: [] for name in functions}
    for number in range(-2, rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if number >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


@dataclasses.dataclass(frozen=True)
class Measured:
    """Measurements of a configuration.

    Attributes:
      config: The configuration.
      seconds: What each function took in each round, by name.
      flops: Floating point operations of each.
      operations: Nodes of the step's optimized graph.
      tracing_seconds: How much longer the first step took than the second.
      peak_gigabytes: Peak memory of the GPUs in two steps; without a GPU, of the
        process so far.
    """

    config: Config
    seconds: dict[str, list[float]]
    flops: dict[str, int]
    operations: int
    tracing_seconds: float
    peak_gigabytes: float

    def median(self, name: str) -> float:
        """Median seconds of a function."""
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, of: str) -> float:
        """Seconds of a function over those of another: the median of all rounds."""
        pairs = zip(self.seconds[name], self.seconds[of], strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    def share(self, name: str) -> float:
        """FLOP/s of a function, as a share of the matrix product's."""
        work = self.flops[name] / self.flops[MATRIX_PRODUCT]
        return work * self.ratio(MATRIX_PRODUCT, of=name)

    @property
    def mean_step(self) -> float:
        """Seconds of a step, averaged over steps with and without identity loss."""
        every, step = self.config.identity_every_steps, self.median(STEP)
        if every == 1:
            return step
        return (step + (every - 1) * self.median(WITHOUT_IDENTITY)) / every


def measure(config: Config, rounds: int, beside: Sequence[str] = ()) -> Measured:
    """Times a training step and other functions, which take turns.

    Args:
      config: Of the step. Its pictures are random; its data set is not read.
      rounds: Timed rounds.
      beside: Any of `plain`, `tutorial` and `generator`. The tutorial's step is left
        out if it does not do what the configuration says.
    """
    make_strategy(config.strategy)  # Before anything uses a device.
    gpus = [gpu.name for gpu in tf.config.list_logical_devices("GPU")]
    for gpu in gpus:
        tf.config.experimental.reset_memory_stats(gpu)
    model = CycleGAN(config, 1000)
    shape = config.batch_size, config.image_size, config.image_size, 3
    pictures = [tf.random.uniform(shape, -1, 1, seed=seed) for seed in (0, 1)]

    def step(*identity) -> float:
        return float(model.train_step(*pictures, *identity)["disc_x_loss"])

    start = time.perf_counter()
    operations = count_operations(step)
    first = time.perf_counter() - start
    start = time.perf_counter()
    step()
    tracing = first - (time.perf_counter() - start)
    infos = [tf.config.experimental.get_memory_info(gpu) for gpu in gpus]
    peak = sum(info["peak"] for info in infos) / 1e9 if gpus else peak_gigabytes()

    functions, flops = {STEP: step}, {STEP: _flops_of_step(model, pictures, True)}
    if config.identity_every_steps > 1:
        functions[WITHOUT_IDENTITY] = lambda: step(False)
        flops[WITHOUT_IDENTITY] = _flops_of_step(model, pictures, False)
    calls = _beside(model, pictures, beside)
    for name, (function, arguments, concrete) in (calls | _machine(config)).items():
        functions[name] = lambda call=function, x=arguments: call(*x).numpy()
        flops[name] = count_flops(concrete)
    seconds = take_turns(functions, rounds)
    return Measured(config, seconds, flops, operations, tracing, peak)


def _flops_of_step(model: CycleGAN, pictures: list[tf.Tensor], identity: bool) -> int:
    compute = tf.function(model.compute_gradients, autograph=False)
    return count_flops(compute.get_concrete_function(*pictures, identity=identity))


def _beside(model: CycleGAN, pictures: list, beside: Sequence[str]) -> dict[str, tuple]:
    """The other steps and a generator: what `_traced` returns, by name."""
    functions, config = {}, model.config
    if "plain" in beside:
        functions["plain step"] = _traced(
            lambda x, y: plain_step.train_step(model, x, y)["disc_x_loss"], *pictures
        )
    if "tutorial" in beside and tutorial_step.does_all_of(config):
        tutorial = tutorial_step.TutorialCycleGAN(config)
        functions["tutorial's step, Keras' layers"] = _traced(
            lambda x, y: tutorial.train_step(x, y)["disc_x_loss"], *pictures
        )
    if "generator" in beside:
        generator = model.shown_generators["generator_g"]
        functions["generator, forward"] = _traced(
            lambda x: generator(x, training=False)[0, 0, 0, 0], pictures[0][:1]
        )
    return functions


def _machine(config: Config) -> dict[str, tuple]:
    """The machine's best: two products at a time, as a step has two directions.

    Matrices of 2048 x 2048, and 3x3 convolutions of 64 x 64 pixels with 256 channels,
    as in the residual blocks at 256 px.
    """

    def random(*shape: int) -> tf.Tensor:
        return tf.cast(tf.random.uniform(shape, -1, 1), config.precision)

    def products(a, b, c, d):
        return tf.matmul(a, b)[0, 0] + tf.matmul(c, d)[0, 0]

    def convolutions(x, y, kernel):
        maps = [tf.nn.conv2d(images, kernel, 1, "VALID") for images in (x, y)]
        return maps[0][0, 0, 0, 0] + maps[1][0, 0, 0, 0]

    images = [random(1, 66, 66, 256) for _ in range(2)]
    return {
        MATRIX_PRODUCT: _traced(products, *(random(2048, 2048) for _ in range(4))),
        "3x3 convolution": _traced(convolutions, *images, random(3, 3, 256, 256)),
    }


def _traced(function: Callable, *arguments: tf.Tensor) -> tuple:
    """A tf.function, its arguments, and its trace for them."""
    function = tf.function(function, autograph=False)
    return function, arguments, function.get_concrete_function(*arguments)
