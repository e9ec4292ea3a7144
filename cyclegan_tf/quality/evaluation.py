"""Evaluation: all numbers of a direction, beside those of doing nothing and of reality.

Each domain's training pictures are cut into two halves. One half is the reference: the
probe learns from it, and distances are measured to it. The other half is *real against
real*: what a perfect translation would get, on as many pictures as are translated.
"""

import dataclasses

import numpy as np

from cyclegan_tf.data.datasets import Domain
from cyclegan_tf.learning import distances
from cyclegan_tf.messages import progress_bar
from cyclegan_tf.networks.features import digest
from cyclegan_tf.quality import detectors, likeness, metrics, probe
from cyclegan_tf.quality.features import Extractor, thumbnails
from cyclegan_tf.quality.pictures import Translations
from cyclegan_tf.validation import UserError

_MIN_PICTURES = 4
_MAX_SUBSET = 50
_MAX_REFERENCE = 2000
_MAX_LATEST = 6

# The probe gives log-odds of Y.
_SIGN = {"A2B": 1, "B2A": -1}


@dataclasses.dataclass(frozen=True)
class Reference:
    """Real pictures of one domain, as a target.

    Attributes:
      moments: Of the features of one half.
      features: Those features, for the kernel distance.
      others: The other half; None if all are the reference.
      checkerboard: Of some real pictures; see `detectors.checkerboard`.
    """

    moments: distances.Moments
    features: np.ndarray
    others: Domain | None
    checkerboard: float


def halves(domain: Domain) -> tuple[Domain, Domain]:
    """Every other picture, and the rest."""

    def part(start: int) -> Domain:
        places = range(start, len(domain), 2)
        return Domain(
            [domain.names[i] for i in places], lambda i: domain.read(places[i])
        )

    return part(0), part(1)


class Evaluator:
    """Measures translations into one or two domains, all by the same protocol.

    Args:
      targets: Real pictures by direction, all of one size: the reference, and others
        (None: nothing is said of real pictures).
      extractor: Of features; None leaves out distances and the domain, and diversity is
        that of thumbnails.
      source: Half of the real pictures of X, where A2B is the only direction: the probe
        learns from them. None: there is no probe with one direction.
      subset_size: Pictures of each side in a subset of the kernel distance; 0: half of
        the smaller side, at most 50.
      seed: Of the subsets.

    Attributes:
      extractor: As given.
      probe: Tells Y from X; None without an extractor, or without both domains.

    Raises:
      UserError: there are too few pictures for the distances.
    """

    def __init__(
        self,
        targets: dict[str, tuple[Domain, Domain]],
        extractor: Extractor | None,
        source: Domain | None = None,
        subset_size: int = 0,
        seed: int = 0,
    ):
        self.extractor, self.probe = extractor, None
        self._features = extractor or Extractor("thumbnails", thumbnails)
        self._subset_size, self._seed = subset_size, seed
        for direction, pair in targets.items():
            where = f"The target of {direction}"
            number = min(len(domain) for domain in pair if domain is not None)
            check_enough(where, "pictures in a half", number, subset_size)
        self._references = {
            direction: self._reference(direction, *domains)
            for direction, domains in targets.items()
        }
        real = {name: held.features for name, held in self._references.items()}
        if source is not None:
            real["B2A"] = self._features_of(source, "Real pictures, source")
        if extractor and len(real) == 2:
            self.probe = probe.fit(real["B2A"], real["A2B"])
            self._learned = f"probe-{len(real['B2A'])}-{len(real['A2B'])}"
        self._constant, self._latest = {}, {}

    def _reference(
        self, direction: str, half: Domain, other: Domain | None
    ) -> Reference:
        features = self._features_of(half, f"Real pictures, {direction}")
        moments = distances.Moments()
        moments.add(features)
        shown = half if other is None else other
        some = np.stack([shown.read(i) for i in range(min(len(shown), 64))])
        return Reference(moments, features, other, detectors.checkerboard(some))

    def _features_of(self, domain: Domain, what: str) -> np.ndarray:
        """Features of the pictures of a domain, of very many the first 2,000."""
        number, found = min(len(domain), _MAX_REFERENCE), []
        bar = progress_bar(
            total=number, desc=what, unit="picture", leave=False, delay=1
        )
        with bar:
            for start in range(0, number, 64):
                places = range(start, min(start + 64, number))
                found.append(self._features(np.stack([domain.read(i) for i in places])))
                bar.update(len(places))
        return np.concatenate(found)

    def numbers(self, made: Translations) -> dict[str, dict[str, float | None]]:
        """All numbers of a direction.

        Returns:
          By full name (`metrics.full_name`), then by `metrics.MODELS`; None where a
          number has no meaning or was not measured.

        Raises:
          UserError: there are too few pictures, or features that are not finite.
        """
        number = len(made.outputs)
        check_enough(made.direction, "outputs", number, self._subset_size)
        held = [p for p in (made.inputs, made.targets, made.truth) if p is not None]
        key = made.direction, number, len(held), digest(held)
        if key not in self._constant:
            # The same however often a training is evaluated.
            self._constant[key] = self._of_others(made)
        columns = {"model": self._measured(made), **self._constant[key]}
        features = self.extractor.name if self.extractor else ""
        against = f"{number}-vs-{self._references[made.direction].moments.count}"
        protocols = {
            "probe": f"{features}/{self._learned}" if self.probe else "",
            "features": f"{features}/{against}",
            "": "",
        }
        before = columns["doing_nothing"].get("log_odds")
        for found in columns.values():
            if before is not None and "log_odds" in found:
                found["log_odds_moved"] = found["log_odds"] - before
        return {
            metrics.full_name(made.direction, name, protocols[metric.protocol]): {
                model: found.get(name) for model, found in columns.items()
            }
            for name, metric in metrics.METRICS.items()
            if columns["model"].get(name) is not None
        }

    def _of_others(self, made: Translations) -> dict[str, dict[str, float]]:
        """The numbers of doing nothing, and of real pictures of the target."""
        columns = {"doing_nothing": {}, "real": {}}
        if made.inputs is not None:
            nothing = dataclasses.replace(
                made,
                outputs=made.inputs,
                cycled=made.inputs,
                cycled_blurred=None,
                same=made.targets,
            )
            columns["doing_nothing"] = self._measured(nothing)
        others = self._references[made.direction].others
        if others is None:
            return columns
        number = min(len(others), len(made.outputs))
        chosen = np.linspace(0, len(others) - 1, number).round().astype(int)
        real = Translations(
            made.direction,
            inputs=None if made.inputs is None else made.inputs[:number],
            outputs=np.stack([others.read(int(i)) for i in chosen]),
            truth=None if made.truth is None else made.truth[:number],
        )
        columns["real"] = self._measured(real)
        return columns

    def log_odds(self, direction: str, pictures: np.ndarray) -> np.ndarray:
        """Log-odds of the target that the probe gives, float64 [number]."""
        return _SIGN[direction] * self.probe.log_odds(self._of_pictures(pictures))

    def distances_to_mean(self, made: Translations) -> np.ndarray:
        """How far each output's features are from the mean of real ones."""
        mean = self._references[made.direction].moments.mean
        return np.linalg.norm(self._of_pictures(made.outputs) - mean, axis=1)

    def _of_pictures(self, pictures: np.ndarray) -> np.ndarray:
        """Features; the last few are kept, since the page asks again."""
        key = digest([pictures])
        if key not in self._latest:
            self._latest[key] = self._features(pictures)
            for old in [*self._latest][:-_MAX_LATEST]:
                del self._latest[old]
        return self._latest[key]

    def _measured(self, made: Translations) -> dict[str, float]:
        """Numbers by short name, those that can be measured."""
        reference = self._references[made.direction]
        features, found = self._of_pictures(made.outputs), {}
        if self.probe:
            log_odds = self.log_odds(made.direction, made.outputs)
            found["taken_for_target"] = float((log_odds > 0).mean())
            found["log_odds"] = float(log_odds.mean())
        if self.extractor:
            found |= self._distances(features, reference)
        found |= _likeness(made)
        found["diversity"] = distances.diversity(features) / max(
            distances.diversity(reference.features), 1e-9
        )
        found |= detectors.numbers(made, reference.checkerboard)
        return found

    def _distances(self, features: np.ndarray, reference: Reference) -> dict:
        smaller = min(len(features), len(reference.features))
        size = self._subset_size or min(_MAX_SUBSET, smaller // 2)
        mean, deviation = distances.kernel_distance(
            features, reference.features, size, seed=self._seed
        )
        moments = distances.Moments()
        moments.add(features)
        return {
            "kernel_distance": mean,
            "kernel_distance_deviation": deviation,
            "frechet_distance": distances.frechet_distance(moments, reference.moments),
        }


def _likeness(made: Translations) -> dict[str, float]:
    """Numbers that compare pictures with pictures."""
    found, inputs, outputs = {}, made.inputs, made.outputs
    if made.same is not None:
        found["identity_error"] = likeness.error(made.same, made.targets).mean()
    if made.truth is not None:
        errors = likeness.errors_inside_outside(outputs, inputs, made.truth)
        inside, outside = errors.T
        found |= {
            "paired_error": likeness.error(outputs, made.truth).mean(),
            "paired_psnr": likeness.psnr(outputs, made.truth).mean(),
            "paired_ssim": likeness.ssim(outputs, made.truth).mean(),
            "error_inside": _mean_of_some(inside),
            "error_outside": _mean_of_some(outside),
        }
    if inputs is not None:
        found["structure"] = likeness.structure(inputs, outputs).mean()
    if made.cycled is not None:
        found |= {
            "cycle_error": likeness.error(made.cycled, inputs).mean(),
            "cycle_psnr": likeness.psnr(made.cycled, inputs).mean(),
            "cycle_ssim": likeness.ssim(made.cycled, inputs).mean(),
        }
    return {name: None if x is None else float(x) for name, x in found.items()}


def _mean_of_some(values: np.ndarray) -> float | None:
    """Mean of those that are numbers, if any is."""
    return None if np.isnan(values).all() else np.nanmean(values)


def check_enough(where: str, what: str, number: int, subset_size: int = 0) -> None:
    """Refuses too few pictures of something, with a `UserError`."""
    if subset_size and number < subset_size:
        raise UserError(
            f"{where} has {number} {what}, fewer than the subset size "
            f"{subset_size}. Give a smaller --subset_size."
        )
    if number < _MIN_PICTURES:
        raise UserError(
            f"{where} has {number} {what}; an evaluation needs {_MIN_PICTURES} or more."
        )
