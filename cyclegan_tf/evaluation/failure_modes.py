"""The usual failures of a CycleGAN: numbers that reveal them, and messages.

Every number has a limit. It lies between artificial cases, which must be found, and
runs that are known to be sound; `README.md` in this folder has both.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from cyclegan_tf.core.cyclegan import CycleGAN
from cyclegan_tf.data.datasets import UnpairedData
from cyclegan_tf.evaluation import distances
from cyclegan_tf.evaluation.features import thumbnails
from cyclegan_tf.evaluation.translations import (
    Translations,
    first_pictures,
    make_translators,
    slightly_blurred,
    translate_test_pictures,
)

_NUM_PICTURES = 16
_MIN_SIDE = 16

# For each number, whether it reveals a failure, and the message.
FAILURE_MODES = {
    "changed": (
        lambda levels: levels < 4,
        "did nothing: outputs differ from inputs by {:.1f} levels of 255. A smaller "
        "--lambda_identity or --lambda_cycle allows more change.",
    ),
    "diversity": (
        lambda ratio: ratio < 0.5,
        "mode collapse: outputs are {:.2f} times as diverse as real pictures. Check "
        "that --lambda_cycle is not 0.",
    ),
    "colour_correlation": (
        lambda r: r < -0.2,
        "inverted colours: outputs correlate with their inputs by {:.2f}. This happens "
        "early and stays: start again with another --seed or a larger "
        "--lambda_identity.",
    ),
    "checkerboard": (
        lambda ratio: ratio > 4,
        "checkerboard: {:.1f} times the energy of real pictures at the period of the "
        "upsampling. It often fades with more steps.",
    ),
    "hidden": (
        lambda ratio: ratio > 2,
        "information hidden in the fake: a slight blur of the fakes adds {:.1f} times "
        "as much to the cycle error as to a picture's own. A low cycle error means "
        "little here.",
    ),
}


def problems(numbers: Mapping[str, float | None], direction: str) -> list[str]:
    """Describes the failures that the numbers of a direction reveal; None: unknown."""
    return [
        f"{direction} {message.format(numbers[name])}"
        for name, (is_failure, message) in FAILURE_MODES.items()
        if numbers.get(name) is not None and is_failure(numbers[name])
    ]


def check_model(model: CycleGAN, data: UnpairedData) -> list[str]:
    """Describes the failures that a few test pictures reveal, after each epoch.

    The diversity is that of thumbnails; an evaluation takes a network's features.
    """
    found, translators = [], make_translators(model)
    targets = {"A2B": data.test_y, "B2A": data.test_x}
    for translated in translate_test_pictures(
        data, translators, _NUM_PICTURES, identity=False
    ):
        real = first_pictures(targets[translated.direction], _NUM_PICTURES)
        numbers = measure(translated, checkerboard(real))
        both = translated.outputs, real
        if min(map(len, both)) > 3:
            ours, theirs = (distances.diversity(thumbnails(p)) for p in both)
            numbers["diversity"] = ours / max(theirs, 1e-9)
        found += problems(numbers, translated.direction)
    return found


def measure(
    translated: Translations, real_checkerboard: float
) -> dict[str, float | None]:
    """The numbers that need no features, by the names of `FAILURE_MODES`.

    A number is left out if it needs missing pictures. `real_checkerboard` is the
    `checkerboard` of real pictures of the target.
    """
    found, inputs, outputs = {}, translated.inputs, translated.outputs
    if inputs is not None:
        found["changed"] = distances.error(outputs, inputs).mean()
        found["colour_correlation"] = distances.correlation(outputs, inputs).mean()
    if min(outputs.shape[1:3]) >= _MIN_SIDE:
        found["checkerboard"] = checkerboard(outputs) / max(real_checkerboard, 1e-9)
    if translated.cycled_blurred is not None:
        found["hidden"] = hidden(inputs, translated.cycled, translated.cycled_blurred)
    return {name: float(number) for name, number in found.items()}


def hidden(real: np.ndarray, cycled: np.ndarray, cycled_blurred: np.ndarray) -> float:
    """How much a slight blur of the fake adds to the cycle error.

    The unit is the error of the same blur on the real picture. A cycle that uses only
    visible content gets 1 or less. A cycle that reads its picture from the lowest bits
    of the fake, as CycleGANs can (Chu, Zhmoginov and Sandler, arXiv 1712.02950), gets
    more.
    """
    added = distances.error(cycled_blurred, real) - distances.error(cycled, real)
    unit = distances.error(slightly_blurred(real), real).mean()
    return float(added.mean() / max(unit, 0.1))


def checkerboard(pictures: np.ndarray) -> float:
    """Energy at periods of 2 and 4 pixels, relative to the frequencies around them.

    Two upsamplings by 2 leave peaks there in the mean power spectrum of the luminance.
    The result is the largest ratio of powers, about 1 for pictures without a pattern.
    Sides have 16 pixels or more.
    """
    height, width = (side - side % 4 for side in pictures.shape[1:3])
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.zeros((height, width))
    for picture in pictures:
        grey = distances.luminance(picture[:height, :width])
        power += np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2 / len(pictures)
    places = [(f * height // 4, g * width // 4) for f in range(3) for g in range(3)]
    return max(_peak(power, row, column) for row, column in places[1:])


def _peak(power: np.ndarray, row: int, column: int) -> float:
    """Mean of 3x3 frequencies over the mean of those around them, 9x9 without 5x5."""

    def square(half: int) -> np.ndarray:
        rows, columns = (np.arange(-half, half + 1) + place for place in (row, column))
        return power[np.ix_(rows % power.shape[0], columns % power.shape[1])]

    peak, near, around = square(1), square(2), square(4)
    background = (around.sum() - near.sum()) / (around.size - near.size)
    return float(peak.mean() / max(background, 1e-9))


# With a loss below these, a discriminator knows fakes from real pictures for sure. An
# even game has 0.25, 0.69 and 2. A critic of `wgan_gp` can't win: the better it knows
# them, the more the generators learn.
_WON = {"least_squares": 0.02, "binary_cross_entropy": 0.05, "hinge": 0.05}
_NUM_RECORDS = 10


def discriminator_won(
    records: Sequence[Mapping[str, float]], adversarial_loss: str
) -> list[str]:
    """Names the discriminators that won the last records of a log, a sentence each."""
    limit, found = _WON.get(adversarial_loss, -math.inf), []
    for name in ("disc_x_loss", "disc_y_loss"):
        last = [r[name] for r in records if name in r][-_NUM_RECORDS:]
        if len(last) == _NUM_RECORDS and max(last) < limit:
            found.append(
                f"discriminator_{name[5]} has won: its loss stayed below {limit} in "
                f"the last {_NUM_RECORDS} records, so its generator learns little from "
                "it. Try fewer --discriminator_filters or a smaller --learning_rate."
            )
    return found
