"""The official image pool's rule in plain Python."""

import numpy as np


class PythonPool:
    """The official rule, one image at a time, with the draws given."""

    def __init__(self, size):
        self.size = size
        self.images = []

    def query(self, images, swaps, chosen):
        returned = []
        for image, swap, slot in zip(images, swaps, chosen, strict=True):
            if len(self.images) < self.size:
                self.images.append(image)
                returned.append(image)
            elif swap:
                returned.append(self.images[slot])
                self.images[slot] = image
            else:
                returned.append(image)
        return np.array(returned)
