"""Pictures to measure, and features of them that need no weights."""

import functools

import numpy as np

from cyclegan_tf.data import shapes
from cyclegan_tf.data.datasets import Domain
from cyclegan_tf.evaluation.features import Extractor

# Pixels of a picture of 32 px.
PIXELS = Extractor("pixels", lambda p: p[:, ::8, ::8].reshape(len(p), -1) / 255.0)


def colours(pictures: np.ndarray) -> np.ndarray:
    """How far the middle, where the animal stands, is brown; and how far it varies."""
    middle = slice(pictures.shape[1] * 3 // 8, pictures.shape[1] * 5 // 8)
    animals = pictures[:, middle, middle].astype(np.float64)
    brown = animals[..., 0].mean(axis=(1, 2)) - animals[..., 2].mean(axis=(1, 2))
    return np.stack([brown, animals.std(axis=(1, 2, 3))], axis=1) / 32


# Enough to tell plain animals from striped ones.
COLOURS = Extractor("colours-1a2b3c4d-8px", colours)


@functools.cache
def drawn(part: int, which: int, number: int = 24, side: int = 32) -> Domain:
    """Pictures of `shapes`: `which` is 0 for plain ones, 1 for striped ones."""
    pictures = [shapes.draw_pair((part, i), side)[which] for i in range(number)]
    return Domain([f"{part} {i}" for i in range(number)], pictures.__getitem__)


def array(domain: Domain) -> np.ndarray:
    """All pictures of a domain."""
    return np.stack([domain.read(i) for i in range(len(domain))])


class TwoGenerators:
    """Two generators, in place of a CycleGAN."""

    def __init__(self, config, generator_g, generator_f):
        self.config = config
        self.shown_generators = {"generator_g": generator_g, "generator_f": generator_f}
