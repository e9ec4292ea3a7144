"""Times of a configuration's steps beside plainer steps and what the machine can do."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from cyclegan_tf.config import Config
from cyclegan_tf.exporting import load
from cyclegan_tf.models.cyclegan import CycleGAN
from cyclegan_tf.speed import machine, plain_step, tutorial_step
from cyclegan_tf.speed.operations import count_flops, count_operations
from cyclegan_tf.speed.timing import Call, Times, take_turns
from cyclegan_tf.training.devices import make_strategy

STEP, MATRIX_PRODUCT = "step", "matrix product"
WITHOUT_IDENTITY = "step without identity"


@dataclasses.dataclass(frozen=True)
class Measured:
    """What came out for a configuration.

    Attributes:
      config: What was measured.
      calls: What took turns, by name.
      times: The seconds that each took.
      operations: Of the step's graph, after TensorFlow has optimised it.
      tracing_seconds: What the first step took more than the second.
      peak_gigabytes: Largest memory of the GPUs in two steps; without any, of this
        process so far.
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
    others: Sequence[str] = (),
    models: Sequence[str] = (),
    told: Callable[[], object] = lambda: None,
) -> Measured:
    """Times a training step and others, taking turns.

    Args:
      config: Of the step; its data set is not read: pictures are random.
      rounds: Rounds that are timed.
      others: Of `plain`, `tutorial` and `generator`, on one device. Steps that do not
        do what the configuration says are left out.
      models: Exported models to time on a picture, by path.
      told: Called after each call.

    Raises:
      UserError: a model can't be loaded, or the strategy made.
    """
    strategy = make_strategy(config.strategy)  # Before anything asks for devices.
    machine.forget_peak()
    model = CycleGAN(config, 1000, strategy)
    pictures = _pictures(config)
    batch = _distributed(pictures, strategy)

    def step(*identity):
        return float(model.train_step(*batch, *identity)["disc_x_loss"])

    start = time.perf_counter()
    operations = count_operations(step)
    first = time.perf_counter() - start
    start = time.perf_counter()
    step()
    second = time.perf_counter() - start
    peak = machine.peak_of_devices()
    # One device with the whole batch does what the replicas do together.
    one = model if model.trainer.num_replicas == 1 else CycleGAN(config, 1000)
    calls = {STEP: Call(step, _flops_of_step(one, pictures, True))}
    if config.identity_every_steps > 1:
        flops = _flops_of_step(one, pictures, False)
        calls[WITHOUT_IDENTITY] = Call(lambda: step(False), flops)
    calls |= _beside(one, pictures, others)
    calls |= {path: _of_exported(path, config.picture_size) for path in models}
    calls[MATRIX_PRODUCT] = machine.matrix_product(config.precision)
    calls["3x3 convolution"] = machine.convolution(config.precision)
    times = take_turns(calls, rounds, told)
    return Measured(config, calls, times, operations, first - second, peak)


def mean_step(measured: Measured) -> float:
    """Seconds of a step, over steps with and without an identity loss."""
    step = measured.times[STEP].median
    every = measured.config.identity_every_steps
    if every == 1:
        return step
    return (step + (every - 1) * measured.times[WITHOUT_IDENTITY].median) / every


def _pictures(config: Config) -> list[tf.Tensor]:
    size = config.image_size, config.image_size, 3
    shape = (config.batch_size, *size)
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


def _flops_of_step(model: CycleGAN, pictures: list[tf.Tensor], identity: bool) -> int:
    compute = tf.function(model.compute_gradients, autograph=False)
    return count_flops(compute.get_concrete_function(*pictures, identity=identity))


def _beside(
    model: CycleGAN, pictures: list[tf.Tensor], others: Sequence[str]
) -> dict[str, Call]:
    """The other steps, where they do the same, and a generator's call."""
    calls = {}
    if "plain" in others:
        step = tf.function(
            lambda x, y: plain_step.train_step(model, x, y), autograph=False
        )
        calls["plain step"] = _call_of_step(step, pictures)
    if "tutorial" in others and tutorial_step.does_all_of(model.config):
        tutorial = tutorial_step.TutorialCycleGAN(model.config)
        calls["tutorial's step, Keras' layers"] = _call_of_step(
            tutorial.train_step, pictures
        )
    if "generator" in others:
        shown = model.shown_generators["generator_g"]
        picture = pictures[0][:1]
        translated = tf.function(
            lambda images: shown(images, training=False), autograph=False
        )
        calls["generator, forward"] = Call(
            lambda: translated(picture)[0, 0, 0, 0].numpy(),
            count_flops(translated.get_concrete_function(picture)),
        )
    return calls


def _call_of_step(step: Callable, pictures: list[tf.Tensor]) -> Call:
    return Call(
        lambda: float(step(*pictures)["disc_x_loss"]),
        count_flops(step.get_concrete_function(*pictures)),
    )


def _of_exported(path: str, size: int) -> Call:
    translator = load.of_model(pathlib.Path(path))
    picture = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    return Call(lambda: translator(picture))
