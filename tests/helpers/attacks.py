"""Noise that is made to mislead a classifier, within two levels of 255."""

import keras
import numpy as np
import tensorflow as tf

LEVELS = 2


def perturbed(network: keras.Model, pictures: np.ndarray) -> np.ndarray:
    """Pictures that a judge's network takes for Y as much as noise can make it.

    Projected gradient ascent (Madry et al., arXiv 1706.06083), 10 steps.
    """
    start = tf.constant(pictures, tf.float32)
    images = start
    for _ in range(10):
        with tf.GradientTape() as tape:
            tape.watch(images)
            log_odds = tf.reduce_sum(network(images / 127.5 - 1.0)[0])
        images += 0.5 * tf.sign(tape.gradient(log_odds, images))
        images = tf.clip_by_value(images, start - LEVELS, start + LEVELS)
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def plain_log_odds(network: keras.Model, pictures: np.ndarray) -> np.ndarray:
    """What a network says of the pictures as they are, [number]."""
    return network(tf.cast(pictures, tf.float32) / 127.5 - 1.0)[0].numpy()[:, 0]
