"""What a CycleGAN makes of test pictures: a grid to look at, and errors."""

import keras
import numpy as np

from cyclegan_tf.data import images
from cyclegan_tf.data.datasets import Domain, UnpairedData
from cyclegan_tf.models.cyclegan import CycleGAN
from cyclegan_tf.networks.generators import translate


def translate_pictures(
    generator: keras.Model, pictures: np.ndarray, multiple: int
) -> np.ndarray:
    """Translates uint8 pictures, one at a time to keep memory low.

    Args:
      generator: A generator.
      pictures: uint8 [number, height, width, 3].
      multiple: What the generator's sides must be a multiple of.

    Returns:
      uint8 of the same shape.
    """
    return np.concatenate(
        [
            images.to_uint8(
                translate(generator, images.to_float(picture[None]), multiple)
            )
            for picture in pictures
        ]
    )


def paired_errors(model: CycleGAN, data: UnpairedData) -> dict[str, float] | None:
    """Errors against the true translations, where these are known.

    Args:
      model: Its two generators are measured.
      data: Test pictures and truth.

    Returns:
      Mean absolute errors in levels of [0, 255]: `x_to_y` and `y_to_x` of the
      generators, and `doing_nothing_x_to_y` and `doing_nothing_y_to_x` of returning
      the picture as it is. None where no truth is known.
    """
    if data.true_y is None or data.true_x is None:
        return None
    errors = {}
    for name, generator, source, truth in (
        ("x_to_y", model.generator_g, data.test_x, data.true_y),
        ("y_to_x", model.generator_f, data.test_y, data.true_x),
    ):
        pictures, true = first(source), first(truth)
        translated = translate_pictures(generator, pictures, model.config.size_multiple)
        errors[name] = _mean_absolute_error(translated, true)
        errors[f"doing_nothing_{name}"] = _mean_absolute_error(pictures, true)
    return errors


def told(errors: dict[str, float]) -> str:
    """What `paired_errors` found, in a line."""
    return (
        "mean absolute error to the true translation in levels of 255: "
        f"X to Y {errors['x_to_y']:.1f} "
        f"(doing nothing: {errors['doing_nothing_x_to_y']:.1f}), "
        f"Y to X {errors['y_to_x']:.1f} ({errors['doing_nothing_y_to_x']:.1f})"
    )


def grid_pictures(model: CycleGAN, data: UnpairedData) -> dict:
    """Test pictures with what the generators make of them, as columns of a grid.

    Returns:
      uint8 [rows, height, width, 3] by title, in the order real, fake, cycled, same of
      X, then of Y.
    """
    multiple = model.config.size_multiple
    columns = {}
    rows = min(model.config.num_grid_images, len(data.test_x), len(data.test_y))
    for x, y, forward, back, domain in (
        ("x", "y", model.generator_g, model.generator_f, data.test_x),
        ("y", "x", model.generator_f, model.generator_g, data.test_y),
    ):
        made = {f"real_{x}": [], f"fake_{y}": [], f"cycled_{x}": [], f"same_{x}": []}
        for picture in first(domain, rows):
            real = images.to_float(picture[None])
            fake = translate(forward, real, multiple)
            cycled = translate(back, fake, multiple)
            same = translate(back, real, multiple)
            for column, image in zip(
                made.values(), (real, fake, cycled, same), strict=True
            ):
                column.append(images.to_uint8(image)[0].numpy())
        columns.update(made)
    return columns


def first(domain: Domain, number: int | None = None) -> np.ndarray:
    """The first pictures of a domain, or all, as uint8 [number, height, width, 3]."""
    number = len(domain) if number is None else min(number, len(domain))
    return np.stack([domain.read(i) for i in range(number)])


def _mean_absolute_error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b).mean())
