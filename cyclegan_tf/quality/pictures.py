"""Test pictures and what generators make of them."""

import dataclasses
import weakref
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from cyclegan_tf.config import DIRECTIONS
from cyclegan_tf.data import images
from cyclegan_tf.data.datasets import Domain, UnpairedData
from cyclegan_tf.messages import progress_bar
from cyclegan_tf.models.cyclegan import CycleGAN
from cyclegan_tf.networks.generators import translate

_BATCH = 8
_ROWS = 4  # Of a grid.
_TRACED = weakref.WeakKeyDictionary()

# From uint8 [batch, height, width, 3] to the same shape.
Translator = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Translations:
    """Pictures of a direction; uint8 [number, height, width, 3], None where there are
    none.

    Attributes:
      direction: `A2B` or `B2A`.
      inputs: What was translated.
      outputs: What became of it.
      cycled: Outputs, as the 8 bit pictures that they are, translated back.
      cycled_blurred: The same after a slight blur.
      targets: Test pictures of the target.
      same: These, translated by the same generator.
      truth: What the outputs ought to be.
    """

    direction: str
    inputs: np.ndarray | None
    outputs: np.ndarray
    cycled: np.ndarray | None = None
    cycled_blurred: np.ndarray | None = None
    targets: np.ndarray | None = None
    same: np.ndarray | None = None
    truth: np.ndarray | None = None


def translators_of(model: CycleGAN) -> dict[str, Translator]:
    """Both generators of a model by direction, on uint8 pictures of any size."""

    def on_bytes(translated):
        return lambda pictures: images.to_uint8(
            translated(images.to_float(pictures))
        ).numpy()

    return {name: on_bytes(translated) for name, translated in _graphs(model).items()}


def _graphs(model: CycleGAN) -> dict[str, Callable[[tf.Tensor], tf.Tensor]]:
    """Both directions on images in [-1, 1], traced once for a model and all sizes."""
    if model not in _TRACED:
        multiple = model.config.size_multiple
        signature = [tf.TensorSpec([None, None, None, 3], tf.float32)]

        def traced(generator):
            def whole(images):
                return translate(generator, images, multiple)

            def in_halves(images):
                # Beside one another: see `share_cores`.
                middle = (tf.shape(images)[0] + 1) // 2
                halves = images[:middle], images[middle:]
                return tf.concat([whole(half) for half in halves], axis=0)

            def translated(images):
                several = tf.shape(images)[0] > 1
                return tf.cond(
                    several, lambda: in_halves(images), lambda: whole(images)
                )

            return tf.function(translated, input_signature=signature, autograph=False)

        shown = model.shown_generators
        _TRACED[model] = {k: traced(shown[name]) for k, name in DIRECTIONS.items()}
    return _TRACED[model]


def of_test_pictures(
    data: UnpairedData,
    translators: Mapping[str, Translator],
    number: int = 0,
    directions: Sequence[str] = ("A2B", "B2A"),
) -> list[Translations]:
    """What generators make of test pictures.

    Args:
      data: Test pictures, and truth where that is known.
      translators: By direction, one or both; a cycle needs both.
      number: The first so many of each domain; 0 for all.
      directions: Which to translate.
    """

    def some(domain: Domain | None) -> np.ndarray | None:
        return None if domain is None else first(domain, number or None)

    x, y = some(data.test_x), some(data.test_y)
    sides = {"A2B": (x, y, data.true_y, "B2A"), "B2A": (y, x, data.true_x, "A2B")}
    return [
        translations(
            direction,
            inputs,
            translators[direction],
            back=translators.get(opposite),
            targets=targets,
            truth=some(truth),
        )
        for direction, (inputs, targets, truth, opposite) in sides.items()
        if direction in directions
    ]


def translations(
    direction: str,
    inputs: np.ndarray,
    forward: Translator,
    back: Translator | None = None,
    targets: np.ndarray | None = None,
    truth: np.ndarray | None = None,
) -> Translations:
    """Translates pictures there and back.

    Args:
      direction: `A2B` or `B2A`.
      inputs: uint8 [number, height, width, 3].
      forward: Translates them.
      back: The other direction; None if there is no such generator.
      targets: Pictures of the target, for the identity error.
      truth: What the outputs ought to be.
    """
    passes = len(inputs) * (3 if back else 1) + (0 if targets is None else len(targets))
    bar = progress_bar(
        total=passes,
        desc=f"Translating {direction}",
        unit="picture",
        leave=False,
        delay=2,
    )

    def run(translator: Translator, pictures: np.ndarray) -> np.ndarray:
        made = []
        for start in range(0, len(pictures), _BATCH):
            made.append(translator(pictures[start : start + _BATCH]))
            bar.update(len(made[-1]))
        return np.concatenate(made)

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
    """Pictures after a blur that an eye hardly sees, and 8 bits.

    The Gaussian has 7x7 pixels and a deviation of 0.5; what lies outside mirrors the
    inside.

    Args:
      pictures: uint8 [number, height, width, 3], sides of 4 or more.

    Returns:
      uint8 of the same shape.
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


def grid_pictures(model: CycleGAN, data: UnpairedData) -> dict:
    """Test pictures with what the generators make of them, as columns of a grid.

    Returns:
      uint8 [rows, height, width, 3] by title, in the order real, fake, cycled, same of
      X, then of Y.
    """
    x_to_y, y_to_x = _graphs(model).values()
    columns = {}
    rows = min(_ROWS, len(data.test_x), len(data.test_y))
    for x, y, forward, back, domain in (
        ("x", "y", x_to_y, y_to_x, data.test_x),
        ("y", "x", y_to_x, x_to_y, data.test_y),
    ):
        made = {f"real_{x}": [], f"fake_{y}": [], f"cycled_{x}": [], f"same_{x}": []}
        pictures = first(domain, rows)
        for start in range(0, rows, _BATCH):
            real = images.to_float(pictures[start : start + _BATCH])
            fake = forward(real)
            cycled, same = back(fake), back(real)
            for column, image in zip(
                made.values(), (real, fake, cycled, same), strict=True
            ):
                column.append(images.to_uint8(image).numpy())
        columns |= {name: np.concatenate(parts) for name, parts in made.items()}
    return columns


def first(domain: Domain, number: int | None = None) -> np.ndarray:
    """The first pictures of a domain, or all, as uint8 [number, height, width, 3]."""
    number = len(domain) if number is None else min(number, len(domain))
    return np.stack([domain.read(i) for i in range(number)])
