"""Draws the built-in data sets: animals with two coats, brown and striped.

Only the coat differs between the domains, and the body determines the stripes. So the
true translation of a test picture is known: the same animal with the other coat. Other
data sets show the limits of CycleGAN: white bodies for brown ones, animals upside down.
"""

import dataclasses

import numpy as np

NUM_TRAIN = 400
NUM_TEST = 40

_WHITE = (238.0, 236.0, 230.0)
_BLACK = (28.0, 26.0, 32.0)
# Colours of plain coats; stripes are black and white.
COATS = {"brown": (125.0, 75.0, 40.0), "white": _WHITE}
# Places along the body, from rear to front. A stripe runs up from each foot, so that a
# plain body shows where its stripes belong.
_FEET = (-0.36, -0.12, 0.12, 0.36)
_STRIPE_PERIOD = 0.24
_HALF_STRIPE = 0.045
_OVERSAMPLING = 2


@dataclasses.dataclass(frozen=True)
class Look:
    """Differences between domains."""

    coat: str  # One of `COATS`, or striped.
    upside_down: bool = False
    anywhere: bool = False  # Stripes begin at a random place, not at the feet.


# X and Y of each data set.
DATASETS = {
    "shapes": (Look("brown"), Look("striped")),
    "shapes_anywhere": (Look("brown"), Look("striped", anywhere=True)),
    "shapes_colour": (Look("brown"), Look("white")),
    "shapes_upside_down": (Look("brown"), Look("brown", upside_down=True)),
}


def draw_pair(
    seed: tuple[int, ...], size: int, dataset: str = "shapes"
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one animal as X and as Y of one of `DATASETS`; see `draw`."""
    return tuple(draw(seed, size, DATASETS[dataset]))


def draw(seed: tuple[int, ...], size: int, looks: tuple[Look, ...]) -> list[np.ndarray]:
    """Draws one animal over one ground in several looks, uint8 [size, size, 3].

    The seed determines everything but the looks.
    """
    random = np.random.default_rng(seed)
    side = _OVERSAMPLING * size
    x, y = np.meshgrid((np.arange(side) + 0.5) / side, (np.arange(side) + 0.5) / side)
    ground = _ground(random, x, y)
    state = random.bit_generator.state
    pictures = []
    for look in looks:
        random.bit_generator.state = state
        body, along, shade = _animal(random, x, y, look.upside_down)
        moved = random.uniform(0, _STRIPE_PERIOD) if look.anywhere else 0.0
        coat = _coat(look.coat, along - moved) * shade[..., None]
        pictures.append(_shrink(np.where(body[..., None], coat, ground)))
    return pictures


def _coat(name: str, along) -> np.ndarray:
    if name in COATS:
        return np.array(COATS[name])
    period = _STRIPE_PERIOD
    from_stripe = np.abs(np.mod(along - _FEET[0] + 0.5 * period, period) - 0.5 * period)
    return np.where(from_stripe[..., None] < _HALF_STRIPE, _BLACK, _WHITE)


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


def _animal(random, x, y, upside_down: bool):
    """The animal's mask, the place along its body (-0.5 to 0.5), and its shading."""
    length = random.uniform(0.6, 0.76)
    height = length * random.uniform(0.46, 0.56)
    centre_x = 0.5 + random.uniform(-0.06, 0.06)
    centre_y = 0.5 + random.uniform(-0.06, 0.06)
    facing = random.choice([-1.0, 1.0])
    u = facing * (x - centre_x) / length
    v = (centre_y - y if upside_down else y - centre_y) / height
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
