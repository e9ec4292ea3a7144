"""The built-in data set: plain brown bodies (X) and striped ones (Y), drawn by NumPy.

Each picture is an animal of ellipses and bars over a varied ground. Its coat is the
only thing that tells the domains apart, and where the stripes lie follows from the
body, so the true translation of a test picture is known: the same animal in the other
coat.
"""

import numpy as np

NUM_TRAIN = 400
NUM_TEST = 40

_BROWN = (125.0, 75.0, 40.0)
_WHITE = (238.0, 236.0, 230.0)
_BLACK = (28.0, 26.0, 32.0)
# Places along the body, from rear to front: a stripe runs up from each foot, so that
# where the stripes belong can be seen of a plain body too.
_FEET = (-0.36, -0.12, 0.12, 0.36)
_STRIPE_PERIOD = 0.24
_HALF_STRIPE = 0.045
_OVERSAMPLING = 2


def draw_pair(
    seed: tuple[int, ...], size: int, anywhere: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one animal in both coats.

    Args:
      seed: Decides everything about the picture.
      size: Side in pixels.
      anywhere: Whether the stripes begin at a random place, so that the plain picture
        does not tell where they are.

    Returns:
      The plain and the striped picture, uint8 [size, size, 3], equal off the body.
    """
    random = np.random.default_rng(seed)
    side = _OVERSAMPLING * size
    x, y = np.meshgrid((np.arange(side) + 0.5) / side, (np.arange(side) + 0.5) / side)
    ground = _ground(random, x, y)
    body, along, shade = _animal(random, x, y)
    period = _STRIPE_PERIOD
    first = _FEET[0] + (random.uniform(0, period) if anywhere else 0)
    from_stripe = np.abs(np.mod(along - first + 0.5 * period, period) - 0.5 * period)
    striped = from_stripe[..., None] < _HALF_STRIPE
    coats = np.array(_BROWN), np.where(striped, _BLACK, _WHITE)
    plain, stripes = (
        _shrink(np.where(body[..., None], coat * shade[..., None], ground))
        for coat in coats
    )
    return plain, stripes


def _ground(random, x, y) -> np.ndarray:
    """Sky over land, in random colours, with soft waves of light."""
    horizon = random.uniform(0.15, 0.5)
    sky = np.array([120, 160, 205]) + random.uniform(-12, 12, 3)
    land = np.array([105, 135, 80]) + random.uniform(-15, 15, 3)
    colour = np.where((y < horizon)[..., None], sky, land)
    light = np.zeros_like(x)
    for _ in range(4):
        angle, phase = random.uniform(0, 2 * np.pi, 2)
        frequency = random.uniform(3, 16)
        wave = np.cos(angle) * x + np.sin(angle) * y
        light += random.uniform(2, 9) * np.sin(frequency * wave + phase)
    return colour + light[..., None]


def _animal(random, x, y):
    """Where the animal is, the place along it (-0.5 to 0.5), and its shading."""
    length = random.uniform(0.6, 0.76)
    height = length * random.uniform(0.46, 0.56)
    centre_x = 0.5 + random.uniform(-0.06, 0.06)
    centre_y = 0.5 + random.uniform(-0.06, 0.06)
    facing = random.choice([-1.0, 1.0])
    u = facing * (x - centre_x) / length
    v = (y - centre_y) / height
    leg = random.uniform(0.04, 0.05)
    body = (u / 0.5) ** 2 + (v / 0.5) ** 2 < 1
    for foot in _FEET:
        body |= (np.abs(u - foot) < leg) & (v > 0) & (v < 1.0)
    neck = np.abs(u - 0.40 + 0.12 * (v + 0.4)) < 0.085
    body |= neck & (v < 0.1) & (v > -0.8)
    body |= ((u - 0.52) / 0.15) ** 2 + ((v + 0.78) / 0.19) ** 2 < 1
    body |= (np.abs(u + 0.5 - 0.05 * v) < 0.022) & (v > -0.1) & (v < 0.5)
    return body, u, 1.0 - 0.12 * np.clip(v, -1, 1)


def _shrink(image: np.ndarray) -> np.ndarray:
    size = image.shape[0] // _OVERSAMPLING
    blocks = image.reshape(size, _OVERSAMPLING, size, _OVERSAMPLING, 3)
    return np.clip(np.rint(blocks.mean(axis=(1, 3))), 0, 255).astype(np.uint8)
