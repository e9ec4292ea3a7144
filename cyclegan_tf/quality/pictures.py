"""Test pictures and what generators make of them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from cyclegan_tf.data import images
from cyclegan_tf.data.datasets import Domain, UnpairedData
from cyclegan_tf.models.cyclegan import CycleGAN
from cyclegan_tf.networks.generators import translate
from cyclegan_tf.process import progress_bar
from cyclegan_tf.quality.corruptions import slightly_blurred

_BATCH = 8

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


def translator_of(generator: keras.Model, multiple: int) -> Translator:
    """A generator as a function on uint8 pictures of any size."""
    return lambda pictures: images.to_uint8(
        translate(generator, images.to_float(pictures), multiple)
    ).numpy()


def translators_of(model: CycleGAN) -> dict[str, Translator]:
    """Both generators of a model by direction."""
    multiple = model.config.size_multiple
    shown = model.shown_generators
    return {
        "A2B": translator_of(shown["generator_g"], multiple),
        "B2A": translator_of(shown["generator_f"], multiple),
    }


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


def grid_pictures(model: CycleGAN, data: UnpairedData) -> dict:
    """Test pictures with what the generators make of them, as columns of a grid.

    Returns:
      uint8 [rows, height, width, 3] by title, in the order real, fake, cycled, same of
      X, then of Y.
    """
    multiple = model.config.size_multiple
    shown = model.shown_generators
    generator_g, generator_f = shown["generator_g"], shown["generator_f"]
    columns = {}
    rows = min(model.config.num_grid_images, len(data.test_x), len(data.test_y))
    for x, y, forward, back, domain in (
        ("x", "y", generator_g, generator_f, data.test_x),
        ("y", "x", generator_f, generator_g, data.test_y),
    ):
        made = {f"real_{x}": [], f"fake_{y}": [], f"cycled_{x}": [], f"same_{x}": []}
        pictures = first(domain, rows)
        for start in range(0, rows, _BATCH):
            real = images.to_float(pictures[start : start + _BATCH])
            fake = translate(forward, real, multiple)
            cycled = translate(back, fake, multiple)
            same = translate(back, real, multiple)
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
