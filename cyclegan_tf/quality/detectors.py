"""What goes wrong most often with a CycleGAN, found by a number and said in words.

Each number has a limit, which was set between made cases that must be found and the
runs that are known to be sound; `README.md` beside this file has both.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cyclegan_tf.quality import likeness
from cyclegan_tf.quality.pictures import Translations, slightly_blurred

_MIN_SIDE = 16


@dataclasses.dataclass(frozen=True)
class Detector:
    """A number of a direction, the value at which it means something, and what.

    Attributes:
      fires: From the number to whether something is wrong.
      words: What is wrong; `{}` stands for the number.
    """

    fires: Callable[[float], bool]
    words: str


DETECTORS = {
    "changed": Detector(
        lambda levels: levels < 4,
        "did nothing: outputs differ from inputs by {:.1f} levels of 255. A smaller "
        "--lambda_identity or --lambda_cycle allows more change.",
    ),
    "diversity": Detector(
        lambda ratio: ratio < 0.5,
        "mode collapse: outputs are {:.2f} times as diverse as real pictures. See that "
        "--lambda_cycle is not 0.",
    ),
    "colour_correlation": Detector(
        lambda r: r < -0.2,
        "inverted colours: outputs correlate with their inputs by {:.2f}. This happens "
        "early and stays: start again with another --seed or a larger "
        "--lambda_identity.",
    ),
    "checkerboard": Detector(
        lambda ratio: ratio > 4,
        "checkerboard: {:.1f} times the energy of real pictures at the period of the "
        "upsampling. It often fades with more steps.",
    ),
    "hidden": Detector(
        lambda jump: jump > 2,
        "information hidden in the fake: slight blur of the fakes costs the cycle "
        "{:.1f} times what it costs a picture. A low cycle error means little here.",
    ),
}


def problems(numbers: Mapping[str, float | None], direction: str) -> list[str]:
    """What the numbers of a direction say is wrong, a sentence or two each.

    Args:
      numbers: By the names of `DETECTORS`, and others; None where not measured.
      direction: Such as `A2B`.
    """
    return [
        f"{direction} {detector.words.format(numbers[name])}"
        for name, detector in DETECTORS.items()
        if numbers.get(name) is not None and detector.fires(numbers[name])
    ]


# --- The numbers


def numbers(made: Translations, real_checkerboard: float) -> dict[str, float]:
    """The numbers of a direction that compare pictures, by the names of `DETECTORS`.

    Args:
      made: Its pictures; what it lacks is left out.
      real_checkerboard: `checkerboard` of real pictures of the target.
    """
    found = {}
    if made.inputs is not None:
        found["changed"] = likeness.error(made.outputs, made.inputs).mean()
        correlation = likeness.correlation(made.outputs, made.inputs)
        found["colour_correlation"] = correlation.mean()
    if min(made.outputs.shape[1:3]) >= _MIN_SIDE:
        ratio = checkerboard(made.outputs) / max(real_checkerboard, 1e-9)
        found["checkerboard"] = ratio
    if made.cycled_blurred is not None:
        found["hidden"] = hidden(made.inputs, made.cycled, made.cycled_blurred)
    return {name: float(number) for name, number in found.items()}


def hidden(real: np.ndarray, cycled: np.ndarray, cycled_blurred: np.ndarray) -> float:
    """By how much the cycle error jumps when the fake is slightly blurred.

    The unit is what the same blur costs the real picture itself: a cycle that keeps
    what it is shown jumps by 1 or less. One that reads its picture from the lowest bits
    of the fake, as CycleGANs can (Chu, Zhmoginov and Sandler, arXiv 1712.02950), jumps
    by more.

    Args:
      real: Inputs.
      cycled: Brought back from the fakes.
      cycled_blurred: Brought back from `slightly_blurred` fakes.
    """
    jump = likeness.error(cycled_blurred, real) - likeness.error(cycled, real)
    price = likeness.error(slightly_blurred(real), real).mean()
    return float(jump.mean() / max(price, 0.1))


def checkerboard(pictures: np.ndarray) -> float:
    """Energy at periods of 2 and 4 pixels, against that of frequencies around them.

    Of the mean power spectrum of the luminance, the largest of the peaks that two
    upsamplings by 2 leave.

    Args:
      pictures: uint8 [number, height, width, 3], sides of 16 or more.

    Returns:
      Ratio of powers; about 1 for pictures without a pattern.
    """
    height, width = (side - side % 4 for side in pictures.shape[1:3])
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.zeros((height, width))
    for picture in pictures:
        grey = likeness.luminance(picture[:height, :width])
        power += np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2 / len(pictures)
    halves = [(f * height // 4, g * width // 4) for f in range(3) for g in range(3)]
    return max(_peak(power, row, column) for row, column in halves[1:])


def _peak(power: np.ndarray, row: int, column: int) -> float:
    """Mean of 3x3 frequencies over the mean of those around them, 9x9 without 5x5."""

    def square(half: int) -> np.ndarray:
        rows, columns = (np.arange(-half, half + 1) + place for place in (row, column))
        return power[np.ix_(rows % power.shape[0], columns % power.shape[1])]

    peak, near, around = square(1), square(2), square(4)
    background = (around.sum() - near.sum()) / (around.size - near.size)
    return float(peak.mean() / max(background, 1e-9))


# --- The discriminators

# Losses at which a discriminator tells fakes from real pictures without doubt; where
# both do as well as the other, they are 0.25, 0.69 and 2. A critic can't win: the
# further it tells them apart, the more generators learn.
_WON = {"least_squares": 0.02, "binary_cross_entropy": 0.05, "hinge": 0.05}
_LONG = 10


def discriminator_won(
    records: Sequence[Mapping[str, float]], adversarial_loss: str
) -> list[str]:
    """Which discriminators have won for long, a sentence each.

    Args:
      records: Of the log, in order.
      adversarial_loss: The run's.
    """
    told = []
    for name in ("disc_x_loss", "disc_y_loss"):
        last = [r[name] for r in records if name in r][-_LONG:]
        if len(last) == _LONG and max(last) < _WON.get(adversarial_loss, -math.inf):
            told.append(
                f"discriminator_{name[5]} has won: its loss stayed below "
                f"{_WON[adversarial_loss]} in the last {_LONG} records, so its "
                "generator learns little from it. Try fewer --discriminator_filters "
                "or a smaller --learning_rate."
            )
    return told
