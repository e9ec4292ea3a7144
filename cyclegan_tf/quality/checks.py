"""What is looked at after each epoch: the truth, and what goes wrong.

A few test pictures are enough for these; `evaluation.py` has the numbers that one
quotes.
"""

from cyclegan_tf.data.datasets import UnpairedData
from cyclegan_tf.learning import distances
from cyclegan_tf.models.cyclegan import CycleGAN
from cyclegan_tf.quality import detectors, likeness
from cyclegan_tf.quality.features import thumbnails
from cyclegan_tf.quality.pictures import first, translations, translators_of

NUM_PICTURES = 16


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
    translators, errors = translators_of(model), {}
    for name, direction, source, truth in (
        ("x_to_y", "A2B", data.test_x, data.true_y),
        ("y_to_x", "B2A", data.test_y, data.true_x),
    ):
        pictures, true = first(source), first(truth)
        made = translations(direction, pictures, translators[direction])
        errors[name] = float(likeness.error(made.outputs, true).mean())
        nothing = likeness.error(pictures, true)
        errors[f"doing_nothing_{name}"] = float(nothing.mean())
    return errors


def told(errors: dict[str, float]) -> str:
    """What `paired_errors` found, in a line."""
    return (
        "mean absolute error to the true translation in levels of 255: "
        f"X to Y {errors['x_to_y']:.1f} "
        f"(doing nothing: {errors['doing_nothing_x_to_y']:.1f}), "
        f"Y to X {errors['y_to_x']:.1f} ({errors['doing_nothing_y_to_x']:.1f})"
    )


def problems(model: CycleGAN, data: UnpairedData) -> list[str]:
    """What goes wrong, in words, by the limits of `detectors.DETECTORS`.

    Diversity is that of thumbnails here, and of a network's features in an evaluation.

    Args:
      model: Its two generators are asked for a few test pictures.
      data: Its test pictures are the real ones.
    """
    found, translators = [], translators_of(model)
    sides = {"A2B": (data.test_x, data.test_y), "B2A": (data.test_y, data.test_x)}
    for direction, back in (("A2B", "B2A"), ("B2A", "A2B")):
        inputs, real = (first(domain, NUM_PICTURES) for domain in sides[direction])
        made = translations(
            direction, inputs, translators[direction], translators[back]
        )
        numbers = detectors.numbers(made, detectors.checkerboard(real))
        if min(len(real), len(inputs)) > 3:
            of_made, of_real = (
                distances.diversity(thumbnails(p)) for p in (made.outputs, real)
            )
            numbers["diversity"] = of_made / max(of_real, 1e-9)
        found += detectors.problems(numbers, direction)
    return found
