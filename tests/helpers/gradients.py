"""How far gradients lie apart."""

import numpy as np


def flat(tensors) -> np.ndarray:
    """All values of some tensors."""
    return np.concatenate([np.asarray(t).ravel() for t in tensors])


def relative_error(ours, theirs) -> float:
    """Length of the difference of two lists of tensors, over that of the second."""
    ours, theirs = flat(ours), flat(theirs)
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
