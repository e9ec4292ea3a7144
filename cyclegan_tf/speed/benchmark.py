"""Times of a configuration's steps beside plainer steps and what the machine can do."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.exporting import translators
from cyclegan_tf.models.cyclegan import CycleGAN
from cyclegan_tf.speed import machine
from cyclegan_tf.speed.operations import count_flops, count_operations
from cyclegan_tf.speed.plain_step import plain_gradients
from cyclegan_tf.speed.timing import Call, Times, take_turns
from cyclegan_tf.speed.tutorial_step import TutorialCycleGAN
from cyclegan_tf.training.strategies import make_strategy

STEP, MATRIX_PRODUCT = "step", "matrix product"

# What can be timed beside the step.
OTHERS = ("plain", "tutorial", "generator")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What came out for a configuration.

    Attributes:
      config: What was measured.
      calls: What took turns, by name.
      times: The seconds that each took.
      operations: Of the step's graph, after TensorFlow has optimised it.
      tracing_seconds: What the first step took more than the later ones.
      peak_gigabytes: Largest memory so far, of the GPUs or of this process.
    """

    config: Config
    calls: dict[str, Call]
    times: dict[str, Times]
    operations: int
    tracing_seconds: float
    peak_gigabytes: float

    def rate(self, name: str) -> float:
        """Floating point operations a second of a call; 0 if they are not counted."""
        return self.calls[name].flops / self.times[name].median

    def share(self, name: str) -> float:
        """That rate as a share of the matrix product's, in the same rounds."""
        product = self.calls[MATRIX_PRODUCT].flops
        ratio = self.times[MATRIX_PRODUCT].ratio(self.times[name])
        return self.calls[name].flops / product / ratio


def measure(
    config: Config,
    rounds: int,
    others: Sequence[str] = OTHERS,
    models: Sequence[str] = (),
    told: Callable[[], object] = lambda: None,
) -> Measured:
    """Times a training step and others, taking turns.

    Args:
      config: Of the step; its data set is not read: pictures are random.
      rounds: Rounds that are timed.
      others: Of `OTHERS`.
      models: Exported models to time on a picture, by path.
      told: Called after each call.

    Raises:
      UserError: a model can't be loaded, or the strategy made.
    """
    strategy = make_strategy(config.strategy)
    model = CycleGAN(config, 1000, strategy)
    pictures = _pictures(config)
    batch = _distributed(pictures, strategy)

    def step():
        return float(model.train_step(*batch)["disc_x_loss"])

    start = time.perf_counter()
    operations = count_operations(step)
    first = time.perf_counter() - start
    start = time.perf_counter()
    step()
    second = time.perf_counter() - start
    # The graph of one replica, for the replicas' whole batch.
    flops = _flops(tf.function(model.compute_gradients, autograph=False), *pictures)
    calls = {STEP: Call(step, flops)}
    if config.identity_every_steps > 1:
        without = tf.function(
            lambda x, y: model.compute_gradients(x, y, identity=False), autograph=False
        )
        calls["step without identity"] = Call(
            lambda: float(model.train_step(*batch, False)["disc_x_loss"]),
            _flops(without, *pictures),
        )
    calls |= _beside(model, pictures, others)
    calls |= {path: _of_exported(path, config.picture_size) for path in models}
    precision = config.precision
    calls[MATRIX_PRODUCT] = machine.matrix_product(precision)
    calls["3x3 convolution"] = machine.convolution(precision)
    times = take_turns(calls, rounds, told)
    return Measured(
        config, calls, times, operations, first - second, machine.peak_of_devices()
    )


def mean_step(measured: Measured) -> float:
    """Seconds of a step, over steps with and without an identity loss."""
    step = measured.times[STEP].median
    every = measured.config.identity_every_steps
    if every == 1:
        return step
    return (step + (every - 1) * measured.times["step without identity"].median) / every


def _pictures(config: Config) -> list[tf.Tensor]:
    size = config.image_size, config.image_size, 3
    shape = (config.pictures_per_step, *size)
    return [tf.random.uniform(shape, -1, 1, seed=seed) for seed in (0, 1)]


def _distributed(pictures: list[tf.Tensor], strategy: tf.distribute.Strategy) -> list:
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return pictures

    def distributed(images):
        parts = tf.split(images, replicas)
        return strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group]
        )

    return [distributed(images) for images in pictures]


def _flops(function, *arguments) -> int:
    return count_flops(function.get_concrete_function(*arguments))


def _beside(
    model: CycleGAN, pictures: list[tf.Tensor], others: Sequence[str]
) -> dict[str, Call]:
    """The other steps, and a generator's call, on the same pictures."""
    config, calls = model.config, {}
    batch = [images[: config.batch_size] for images in pictures]
    if "plain" in others:

        @tf.function(autograph=False)
        def plain_step(real_x, real_y):
            pools = {"x": model.pools_x, "y": model.pools_y}

            def from_pool(domain, fakes):
                return pools[domain][0].query(fakes, model._seed("xy".index(domain)))

            losses, gradients = plain_gradients(
                model, real_x, real_y, from_pool if config.pool_size else None
            )
            for name, of_network in gradients.items():
                model.optimizers[name].apply(of_network)
            return losses["disc_x_loss"]

        calls["plain step"] = Call(
            lambda: float(plain_step(*batch)), _flops(plain_step, *batch)
        )
    if "tutorial" in others:
        tutorial = TutorialCycleGAN(config)
        calls["tutorial's step, Keras' layers"] = Call(
            lambda: float(tutorial.train_step(*batch)["disc_x_loss"]),
            _flops(tutorial.train_step, *batch),
        )
    if "generator" in others:
        shown = model.shown_generators["generator_g"]
        translated = tf.function(
            lambda images: shown(images, training=False), autograph=False
        )
        calls["generator, forward"] = Call(
            lambda: translated(batch[0])[0, 0, 0, 0].numpy(),
            _flops(translated, batch[0]),
        )
    return calls


def _of_exported(path: str, size: int) -> Call:
    translator = translators.of_model(pathlib.Path(path))
    picture = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    return Call(lambda: translator(picture))
