"""Controllable generation: latents of a trained generator move to a requested digit.

A classifier scores a generated digit. The gradient of the score, through the generator,
moves the latent until the digit is the requested one. The generator does not change.
Other features are entangled with the digit and change too, unless a loss holds them
(Nguyen et al., arXiv 1605.09304).
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.core.trainer import Trainer
from cyclegan_tf.family.shared import digits, networks
from cyclegan_tf.family.shared.options import Controllable

# Paths in a picture, and digits along each.
_NUM_PATHS, _PATH_LENGTH = 10, 9


class ControllableGAN:
    """Latents of a trained generator, and the step that moves them.

    Attributes:
      generator: Gets the weights of `options.generator_run`; never trained.
    """

    curves = {"Losses": ("asked_loss", "features_loss")}

    def __init__(
        self, options: Controllable, strategy: tf.distribute.Strategy | None = None
    ):
        self.options = options
        strategy = strategy or tf.distribute.get_strategy()
        with strategy.scope():
            self.generator = networks.generator(
                options.latent_size, options.num_filters, "batch"
            )
            self._start = self._latents("start")
        saved = {"generator": self.generator, "start": self._start}
        self.trainer = Trainer(options, strategy, self._build, self.step, also=saved)
        (self.latents,) = self.trainer.networks.values()

    def _build(self) -> dict:
        latents = self._latents("latents")
        latents.set_weights(self._start.get_weights())
        return {"latents": latents}

    def _latents(self, name: str) -> keras.Model:
        """A model from indices to latents, which are its weights."""
        which = keras.Input((), dtype="int32")
        table = keras.layers.Embedding(
            self.options.batch_size,
            self.options.latent_size,
            embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="table",
        )
        return keras.Model(which, table(which), name=name)

    def prepare(self) -> None:
        """Trains the judges, whose gradients the first step needs."""
        self.judge, self.second_judge  # noqa: B018

    @functools.cached_property
    def judge(self) -> digits.Judge:
        """The judge whose gradients move the latents."""
        return digits.judge_of(self.options.run_dir)

    @functools.cached_property
    def second_judge(self) -> digits.Judge:
        """The judge that measures the result; it gives no gradients."""
        return digits.judge_of(self.options.run_dir, seed=1)

    def step(self) -> dict[str, tf.Tensor]:
        """Updates the latents of this replica."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        which = tf.range(self.trainer.batch) + replica * self.trainer.batch
        losses, gradients = self.gradients(which)
        self.trainer.apply("latents", gradients, losses)
        return losses

    def gradients(self, which: tf.Tensor):
        """The losses for some latents, and the gradients of all latents.

        Latent i must show digit i modulo 10. `asked_loss` is -log p(digit), and
        `features_loss` the mean squared change of the judge's other features.

        Args:
          which: Indices of latents [number].
        """
        with tf.GradientTape() as tape:
            logits, features = self._judged(self.latents(which))
            asked = tf.nn.sparse_softmax_cross_entropy_with_logits(
                which % digits.NUM_CLASSES, logits
            )
            before = tf.stop_gradient(self._judged(self._start(which))[1])
            losses = {
                "asked_loss": tf.reduce_mean(asked),
                "features_loss": tf.reduce_mean(tf.square(features - before)),
            }
            weight = self.options.lambda_features
            loss = losses["asked_loss"] + weight * losses["features_loss"]
        gradients = tape.gradient(loss, self.latents.trainable_variables)
        return losses, [tf.convert_to_tensor(gradient) for gradient in gradients]

    def _judged(self, latent):
        """The judge's logits and other features for the digits of latents."""
        generated = self.generator(latent, training=False)
        logits, features, _ = self.judge.network(generated, training=False)
        return logits, features

    def numbers(self) -> tuple[dict[str, float], list[str]]:
        """The share of digits that became the requested one, and other changes.

        Only digits count that showed another digit before. The second judge measures
        digits and features, the `digits.FACTORS`, each from -1 to 1.
        """
        which = np.arange(self.options.batch_size)
        requested, judge = which % digits.NUM_CLASSES, self.second_judge
        before, after = (
            judge.examine(self.generator(latents(which), training=False).numpy())
            for latents in (self._start, self.latents)
        )
        others = before[0] != requested
        number = max(1, others.sum())
        changed = float(((after[0] == requested) & others).sum() / number)
        moved = np.abs(after[1] - before[1])[others].sum(axis=0) / number
        line = (
            f"{changed:.1%} of {number} digits became the requested one, other "
            f"features moved by {moved.mean():.2f} (a judge with "
            f"{judge.accuracy:.1%} accuracy)"
        )
        names = [f"moved_{name}" for name in digits.FACTORS]
        return {
            "changed": changed,
            "moved": float(moved.mean()),
            **dict(zip(names, map(float, moved), strict=True)),
            "judge_accuracy": judge.accuracy,
        }, [line]

    def pictures(self) -> dict[str, np.ndarray]:
        """A row per requested digit, 0 to 9, from the first latent to the last."""
        which = np.arange(min(_NUM_PATHS, self.options.batch_size))
        ends = self._start(which).numpy(), self.latents(which).numpy()
        return {"paths": digits.paths(self.generator, *ends, _PATH_LENGTH)}
