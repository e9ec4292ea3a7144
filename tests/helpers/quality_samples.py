"""Pictures to judge."""

import functools

import numpy as np

from cyclegan_tf.data import shapes
from cyclegan_tf.data.datasets import Domain


@functools.cache
def drawn(part: int, which: int, number: int = 24, side: int = 32) -> Domain:
    """Pictures of `shapes`: `which` is 0 for plain ones, 1 for striped ones."""
    pictures = [shapes.draw_pair((part, i), side)[which] for i in range(number)]
    return Domain([f"{part} {i}" for i in range(number)], pictures.__getitem__)


def array(domain: Domain) -> np.ndarray:
    """All pictures of a domain."""
    return np.stack([domain.read(i) for i in range(len(domain))])
