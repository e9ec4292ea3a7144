"""Pictures to evaluate: test pictures or folders, and their translations."""

import collections
import dataclasses
import os
import pathlib
import weakref
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from cyclegan_tf.config import DIRECTIONS
from cyclegan_tf.core.cyclegan import CycleGAN
from cyclegan_tf.core.generators import translate
from cyclegan_tf.data import images
from cyclegan_tf.data.datasets import Domain, UnpairedData
from cyclegan_tf.data.folders import no_picture, pictures_below
from cyclegan_tf.messages import UserError, progress_bar

_BATCH = 8
_GRID_ROWS = 4
_MAX_SIDE = 256
_TRACED = weakref.WeakKeyDictionary()

# From uint8 [batch, height, width, 3] to the same shape.
Translator = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Translations:
    """Pictures of one direction, uint8 [number, height, width, 3]; None if unknown.

    Attributes:
      direction: `A2B` or `B2A`.
      inputs: Pictures of the source domain.
      outputs: Translations of the inputs.
      cycled: Outputs, rounded to 8 bits and translated back.
      cycled_blurred: Outputs, slightly blurred and translated back.
      targets: Test pictures of the target domain.
      same: Targets, translated by the same generator.
      truth: True translations of the inputs.
    """

    direction: str
    inputs: np.ndarray | None
    outputs: np.ndarray
    cycled: np.ndarray | None = None
    cycled_blurred: np.ndarray | None = None
    targets: np.ndarray | None = None
    same: np.ndarray | None = None
    truth: np.ndarray | None = None


# --- What generators do with pictures


def make_translators(model: CycleGAN) -> dict[str, Translator]:
    """Both generators of a model by direction, for uint8 pictures of any size."""

    def on_bytes(graph) -> Translator:
        return lambda p: images.to_uint8(graph(images.to_float(p))).numpy()

    return {direction: on_bytes(graph) for direction, graph in _graphs(model).items()}


def _graphs(model: CycleGAN) -> dict[str, Callable[[tf.Tensor], tf.Tensor]]:
    """Both directions on images in [-1, 1], traced once for a model and all sizes."""
    if model not in _TRACED:
        multiple = model.config.size_multiple
        signature = [tf.TensorSpec([None, None, None, 3], tf.float32)]

        def traced(generator):
            def whole(images):
                return translate(generator, images, multiple)

            def in_halves(images):
                # The halves run in parallel: see `share_cores`.
                middle = (tf.shape(images)[0] + 1) // 2
                halves = images[:middle], images[middle:]
                return tf.concat([whole(half) for half in halves], axis=0)

            def translated(images):
                several = tf.shape(images)[0] > 1
                return tf.cond(
                    several, lambda: in_halves(images), lambda: whole(images)
                )

            return tf.function(translated, input_signature=signature, autograph=False)

        generators = model.shown_generators
        _TRACED[model] = {k: traced(generators[n]) for k, n in DIRECTIONS.items()}
    return _TRACED[model]


def translate_test_pictures(
    data: UnpairedData,
    translators: Mapping[str, Translator],
    number: int = 0,
    directions: Sequence[str] = ("A2B", "B2A"),
    identity: bool = True,
) -> list[Translations]:
    """Translates the first `number` test pictures, or all, and translates them back.

    A cycle needs the translators of both directions. `identity` also translates
    pictures of the target.
    """
    x, y, true_y, true_x = (
        None if domain is None else first_pictures(domain, number or None)
        for domain in (data.test_x, data.test_y, data.true_y, data.true_x)
    )
    sides = {"A2B": (x, y, true_y, "B2A"), "B2A": (y, x, true_x, "A2B")}
    found = []
    for direction in directions:
        inputs, targets, truth, opposite = sides[direction]
        both = translators[direction], translators.get(opposite)
        targets = targets if identity else None
        found.append(translate_pictures(direction, inputs, *both, targets, truth))
    return found


def translate_pictures(
    direction: str,
    inputs: np.ndarray,
    forward: Translator,
    back: Translator | None = None,
    targets: np.ndarray | None = None,
    truth: np.ndarray | None = None,
) -> Translations:
    """Translates pictures, and translates them back if `back` is given.

    `targets` and `truth` are those of `Translations`.
    """
    passes = len(inputs) * (3 if back else 1) + (0 if targets is None else len(targets))
    name = f"Translating {direction}"
    bar = progress_bar(total=passes, desc=name, unit="picture", leave=False, delay=2)

    def run(translator: Translator, pictures: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(pictures), _BATCH):
            parts.append(translator(pictures[start : start + _BATCH]))
            bar.update(len(parts[-1]))
        return np.concatenate(parts)

    with bar:
        outputs = run(forward, inputs)
        cycled = cycled_blurred = None
        if back:
            cycled = run(back, outputs)
            cycled_blurred = run(back, slightly_blurred(outputs))
        same = None if targets is None else run(forward, targets)
    return Translations(
        direction, inputs, outputs, cycled, cycled_blurred, targets, same, truth
    )


def slightly_blurred(pictures: np.ndarray) -> np.ndarray:
    """Blurs pictures so slightly that an eye hardly sees it, and rounds to 8 bits.

    The Gaussian has 7x7 pixels and a deviation of 0.5. The border mirrors the picture,
    so sides have 4 pixels or more.
    """
    weights = np.exp(-2.0 * np.arange(-3, 4) ** 2).astype(np.float32)
    weights /= weights.sum()
    soft = np.pad(pictures, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect")
    for shape in ((7, 1, 1, 1), (1, 7, 1, 1)):
        kernel = np.tile(weights.reshape(shape), (1, 1, 3, 1))
        soft = tf.nn.depthwise_conv2d(
            tf.cast(soft, tf.float32), kernel, [1, 1, 1, 1], "VALID"
        )
    return np.rint(soft).astype(np.uint8)


def grid_pictures(model: CycleGAN, data: UnpairedData) -> dict[str, np.ndarray]:
    """Test pictures and their translations as columns of a grid.

    Returns:
      uint8 [rows, height, width, 3] by title, in the order real, fake, cycled, same for
      X, then for Y.
    """
    x_to_y, y_to_x = _graphs(model).values()
    columns = {}
    rows = min(_GRID_ROWS, len(data.test_x), len(data.test_y))
    for x, y, forward, back, domain in (
        ("x", "y", x_to_y, y_to_x, data.test_x),
        ("y", "x", y_to_x, x_to_y, data.test_y),
    ):
        real = images.to_float(first_pictures(domain, rows))
        fake = forward(real)
        column = {f"real_{x}": real, f"fake_{y}": fake}
        column |= {f"cycled_{x}": back(fake), f"same_{x}": back(real)}
        columns |= {t: images.to_uint8(image).numpy() for t, image in column.items()}
    return columns


def first_pictures(domain: Domain, number: int | None = None) -> np.ndarray:
    """The first pictures of a domain, or all, as uint8 [number, height, width, 3]."""
    number = len(domain) if number is None else min(number, len(domain))
    return np.stack([domain.read(i) for i in range(number)])


# --- Folders, and pairs by name


def read_folder(folder: str, flag: str) -> Domain:
    """Pictures below a folder, named by their path without suffix, in their own sizes.

    Raises:
      UserError: the folder is missing or empty, or two pictures have the same name.
    """
    root = pathlib.Path(os.path.expanduser(folder))
    if not root.is_dir():
        raise UserError(f"`{flag}`: no such folder: {root}.")
    paths = list(pictures_below(root, report=True).values())
    if not paths:
        raise no_picture(root)
    names = [str(path.relative_to(root).with_suffix("")) for path in paths]
    twice = sorted(n for n, count in collections.Counter(names).items() if count > 1)
    if twice:
        raise UserError(f"{root} has two pictures called {twice[0]}.")

    def read(i: int) -> np.ndarray:
        try:
            return images.decode(paths[i])
        except images.ImageError as error:
            raise UserError(f"{paths[i]} can't be read: {error}.") from error

    return Domain(names, read)


def match(domain: Domain, others: Domain, role: str) -> Domain:
    """Reorders `others` like the names of `domain`; messages call one of them `role`.

    Raises:
      UserError: a picture has no counterpart, or one of another size.
    """
    places = {name: i for i, name in enumerate(others.names)}
    missing = [name for name in domain.names if name not in places]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(domain)} pictures have no {role} of the same "
            f"name, such as {missing[0]}."
        )
    order = [places[name] for name in domain.names]
    for i, name in enumerate(domain.names):
        ours, theirs = domain.read(i).shape, others.read(order[i]).shape
        if ours != theirs:
            raise UserError(
                f"{name} has {ours[1]}x{ours[0]} pixels, its {role} "
                f"{theirs[1]}x{theirs[0]}: pairs must have the same size."
            )
    return Domain(domain.names, lambda i: others.read(order[i]))


def pair_test_pictures(data: UnpairedData) -> UnpairedData:
    """Makes test pictures of the same name each other's true translation.

    Raises:
      UserError: a test picture has no counterpart in the other domain.
    """
    x, y = (
        Domain([str(pathlib.PurePath(n).with_suffix("")) for n in d.names], d.read)
        for d in (data.test_x, data.test_y)
    )
    true_y = match(x, y, "test picture in domain Y")
    true_x = match(y, x, "test picture in domain X")
    return dataclasses.replace(data, true_y=true_y, true_x=true_x)


def default_side(domain: Domain) -> int:
    """Side at which to evaluate: the first picture's, up to 256, a multiple of 4."""
    side = min(*domain.read(0).shape[:2], _MAX_SIDE)
    return max(side - side % 4, 16)
