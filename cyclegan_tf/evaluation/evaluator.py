"""Evaluation: measures a model, a model that does nothing, and real pictures.

The training pictures of each domain are split into two halves. One half is the
reference: the probe is trained on it, and distances are measured to it. The other half
gives the numbers of real pictures: the result of a perfect translation.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from cyclegan_tf.core.cyclegan import CycleGAN
from cyclegan_tf.core.features import digest
from cyclegan_tf.data.datasets import Domain, UnpairedData, resized
from cyclegan_tf.evaluation import distances, failure_modes, metrics
from cyclegan_tf.evaluation.features import Extractor, fit_probe, thumbnails
from cyclegan_tf.evaluation.translations import (
    Translations,
    first_pictures,
    make_translators,
    translate_pictures,
)
from cyclegan_tf.messages import UserError, progress_bar

_MIN_PICTURES = 4
_MAX_SUBSET = 50
_MAX_REFERENCE = 2000
_CACHE_SIZE = 6

# The probe gives log-odds of Y.
_SIGN = {"A2B": 1, "B2A": -1}


@dataclasses.dataclass(frozen=True)
class _Reference:
    """Measurements of the real pictures of a target, and other real pictures."""

    moments: distances.Moments
    features: np.ndarray
    others: Domain | None
    checkerboard: float
    diversity: float


def halves(domain: Domain) -> tuple[Domain, Domain]:
    """Every other picture, and the rest."""
    return (
        Domain(domain.names[::2], lambda i: domain.read(2 * i)),
        Domain(domain.names[1::2], lambda i: domain.read(2 * i + 1)),
    )


class Evaluator:
    """Measures translations into one or two domains, all by the same protocol.

    Args:
      targets: By direction, real pictures of one size: the reference, and others; None
        leaves out the numbers of real pictures.
      extractor: None leaves out distances and the probe; diversity uses thumbnails.
      source: With A2B as the only direction, real pictures of X, for the probe; None:
        no probe.
      subset_size: Pictures of each side in a subset of the kernel distance; 0: half of
        the smaller side, at most 50.
      seed: Seed of the subsets.

    Attributes:
      probe: Tells Y from X; None without an extractor, or without both domains.
      probe_accuracy: By domain, `accuracy` in [0, 1] and number of `pictures`; empty
        before `check_probe`.

    Raises:
      UserError: there are too few pictures.
    """

    def __init__(
        self,
        targets: dict[str, tuple[Domain, Domain | None]],
        extractor: Extractor | None,
        source: Domain | None = None,
        subset_size: int = 0,
        seed: int = 0,
    ):
        self.extractor, self.probe, self.probe_accuracy = extractor, None, {}
        self._extract = extractor or Extractor("thumbnails", thumbnails)
        self._subset_size, self._seed = subset_size, seed
        self._columns, self._features, self._references = {}, {}, {}
        for direction, pair in targets.items():
            smallest = min(len(domain) for domain in pair if domain)
            found = f"The target of {direction} has {smallest} pictures in a half"
            _check_enough(found, smallest, subset_size)
        for direction, (half, others) in targets.items():
            self._references[direction] = self._reference(direction, half, others)
        real = {d: reference.features for d, reference in self._references.items()}
        if source is not None:
            real["B2A"] = self._read_features(source, "Real pictures, source")
        if extractor and len(real) == 2:
            self.probe = fit_probe(real["B2A"], real["A2B"])
            self._probe_name = f"probe-{len(real['B2A'])}-{len(real['A2B'])}"

    def _reference(
        self, direction: str, half: Domain, others: Domain | None
    ) -> _Reference:
        features = self._read_features(half, f"Real pictures, {direction}")
        moments = distances.Moments()
        moments.add(features)
        some = first_pictures(half if others is None else others, 64)
        checkerboard = failure_modes.checkerboard(some)
        diversity = max(distances.diversity(features), 1e-9)
        return _Reference(moments, features, others, checkerboard, diversity)

    def _read_features(self, domain: Domain, description: str) -> np.ndarray:
        """Features of the first 2,000 pictures of a domain."""
        places = range(min(len(domain), _MAX_REFERENCE))
        batches = [places[start : start + 64] for start in places[::64]]
        bar = progress_bar(
            batches, desc=description, unit="batch", leave=False, delay=1
        )
        return np.concatenate(
            [self._extract(np.stack([domain.read(i) for i in b])) for b in bar]
        )

    def _features_of(self, pictures: np.ndarray) -> np.ndarray:
        """Features; cached, since the page of pictures uses them again."""
        key = digest([pictures])
        if key not in self._features:
            self._features[key] = self._extract(pictures)
            if len(self._features) > _CACHE_SIZE:
                del self._features[next(iter(self._features))]
        return self._features[key]

    def check_probe(self, test_x: Domain, test_y: Domain) -> None:
        """Measures the accuracy of the probe on real pictures that are new to it."""
        if self.probe is None:
            return
        x = self.log_odds("B2A", first_pictures(test_x))
        y = self.log_odds("A2B", first_pictures(test_y))
        self.probe_accuracy = {
            "accuracy": {"x": float((x > 0).mean()), "y": float((y > 0).mean())},
            "pictures": {"x": len(x), "y": len(y)},
        }

    def log_odds(self, direction: str, pictures: np.ndarray) -> np.ndarray:
        """The probe's log-odds of the target, float64 [number]."""
        return _SIGN[direction] * self.probe.log_odds(self._features_of(pictures))

    def distances_to_mean(self, translated: Translations) -> np.ndarray:
        """Distances of the outputs' features to the mean of real ones, [number]."""
        mean = self._references[translated.direction].moments.mean
        return np.linalg.norm(self._features_of(translated.outputs) - mean, axis=1)

    def evaluate(
        self, translated: Sequence[Translations]
    ) -> tuple[dict[str, dict], list[str]]:
        """`numbers` of one or two directions, and a line for each failure."""
        numbers, problems = {}, []
        for pictures in translated:
            found = self.numbers(pictures)
            numbers |= found
            short = {name.split("/")[1]: row["model"] for name, row in found.items()}
            problems += failure_modes.problems(short, pictures.direction)
        return numbers, problems

    def numbers(self, translated: Translations) -> dict[str, dict[str, float | None]]:
        """All numbers of a direction.

        Returns:
          By full name (`metrics.full_name`), then by `metrics.MODELS`; None where a
          number has no meaning or was not measured.
        """
        direction, number = translated.direction, len(translated.outputs)
        _check_enough(f"{direction} has {number} outputs", number, self._subset_size)
        others = translated.inputs, translated.targets, translated.truth
        known = [pictures for pictures in others if pictures is not None]
        key = direction, number, len(known), digest(known)
        if key not in self._columns:
            # They are the same in all evaluations of a training.
            self._columns[key] = self._other_columns(translated)
        columns = {"model": self._measure(translated), **self._columns[key]}
        protocols, against = {"": ""}, self._references[direction].moments.count
        if self.extractor:
            protocols["features"] = f"{self.extractor.name}/{number}-vs-{against}"
        if self.probe:
            protocols["probe"] = f"{self.extractor.name}/{self._probe_name}"
        before = columns["doing_nothing"].get("log_odds")
        for found in columns.values():
            if before is not None and "log_odds" in found:
                found["log_odds_moved"] = found["log_odds"] - before
        return {
            metrics.full_name(direction, name, protocols[metric.protocol]): {
                model: found.get(name) for model, found in columns.items()
            }
            for name, metric in metrics.METRICS.items()
            if columns["model"].get(name) is not None
        }

    def _other_columns(self, translated: Translations) -> dict[str, dict[str, float]]:
        """The numbers of doing nothing, and of real pictures of the target."""
        columns, inputs = {"doing_nothing": {}, "real": {}}, translated.inputs
        if inputs is not None:
            nothing = dataclasses.replace(
                translated,
                outputs=inputs,
                cycled=inputs,
                cycled_blurred=None,
                same=translated.targets,
            )
            columns["doing_nothing"] = self._measure(nothing)
        others = self._references[translated.direction].others
        if others is not None:
            number = min(len(others), len(translated.outputs))
            places = np.linspace(0, len(others) - 1, number).round().astype(int)
            truth = translated.truth
            real = Translations(
                translated.direction,
                inputs=None if inputs is None else inputs[:number],
                outputs=np.stack([others.read(int(i)) for i in places]),
                truth=None if truth is None else truth[:number],
            )
            columns["real"] = self._measure(real)
        return columns

    def _measure(self, translated: Translations) -> dict[str, float]:
        """All possible numbers, by short name."""
        reference = self._references[translated.direction]
        features, found = self._features_of(translated.outputs), {}
        if self.probe:
            log_odds = self.log_odds(translated.direction, translated.outputs)
            found["taken_for_target"] = float((log_odds > 0).mean())
            found["log_odds"] = float(log_odds.mean())
        if self.extractor:
            smaller = min(len(features), len(reference.features))
            size = self._subset_size or min(_MAX_SUBSET, smaller // 2)
            mean, deviation = distances.kernel_distance(
                features, reference.features, size, seed=self._seed
            )
            moments = distances.Moments()
            moments.add(features)
            found["kernel_distance"] = mean
            found["kernel_distance_deviation"] = deviation
            found["frechet_distance"] = distances.frechet_distance(
                moments, reference.moments
            )
        found |= _differences(translated)
        found["diversity"] = distances.diversity(features) / reference.diversity
        return found | failure_modes.measure(translated, reference.checkerboard)


def _differences(translated: Translations) -> dict[str, float]:
    """Differences of pictures in pairs, by short name."""
    found, inputs, outputs = {}, translated.inputs, translated.outputs
    for name, ours, theirs in (
        ("paired", outputs, translated.truth),
        ("cycle", translated.cycled, inputs),
    ):
        if ours is not None and theirs is not None:
            found[f"{name}_error"] = distances.error(ours, theirs).mean()
            found[f"{name}_psnr"] = distances.psnr(ours, theirs).mean()
            found[f"{name}_ssim"] = distances.ssim(ours, theirs).mean()
    if translated.same is not None:
        errors = distances.error(translated.same, translated.targets)
        found["identity_error"] = errors.mean()
    if translated.truth is not None:
        errors = distances.errors_inside_outside(outputs, inputs, translated.truth).T
        for name, values in zip(("error_inside", "error_outside"), errors, strict=True):
            if not np.isnan(values).all():
                found[name] = np.nanmean(values)
    if inputs is not None:
        found["structure"] = distances.structure(inputs, outputs).mean()
    return {name: float(number) for name, number in found.items()}


def _check_enough(found: str, number: int, subset_size: int = 0) -> None:
    if number < subset_size:
        raise UserError(
            f"{found}, fewer than the subset size {subset_size}. Give a smaller "
            "--subset_size."
        )
    if number < _MIN_PICTURES:
        raise UserError(f"{found}; an evaluation needs {_MIN_PICTURES} or more.")


# --- Evaluators of a data set and of folders


def make_evaluator(
    data: UnpairedData,
    image_size: int,
    extractor: Extractor | None,
    subset_size: int = 0,
    seed: int = 0,
    reference: str = "half",
) -> Evaluator:
    """An evaluator of both directions of a data set, with a tested probe.

    The reference is one `half` of the training pictures, all of them (`train`), or all
    test pictures (`test`), like published FIDs. `Evaluator` describes the others.
    """
    if data.without_pictures:
        missing = " and ".join(data.without_pictures)
        raise UserError(f"An evaluation needs test pictures: {missing} has none.")
    domains = data.train_x, data.train_y, data.test_x, data.test_y
    train_x, train_y, test_x, test_y = (resized(d, image_size) for d in domains)
    x, y, new_x, new_y = (train_x, test_x), (train_y, test_y), test_x, test_y
    if reference == "half":
        x, y = halves(train_x), halves(train_y)
    elif reference == "test":
        x, y, new_x, new_y = x[::-1], y[::-1], train_x, train_y
    evaluator = Evaluator({"A2B": y, "B2A": x}, extractor, None, subset_size, seed)
    evaluator.check_probe(new_x, new_y)
    return evaluator


def make_folder_evaluator(
    inputs: Domain | None,
    real: Domain,
    size: int,
    extractor: Extractor | None,
    subset_size: int,
    seed: int,
    reference: str = "half",
) -> Evaluator:
    """An evaluator of one direction between folders, called A2B; see `make_evaluator`.

    The probe is trained on half of the inputs and tested on the rest; without inputs
    there is no probe. The references `train` and `test` are all real pictures.
    """
    y, x = halves(resized(real, size)), (None, None)
    if inputs is not None:
        _check_enough(f"`input` has {len(inputs)} pictures", len(inputs))
        x = halves(resized(inputs, size))
    target = y if reference == "half" else (resized(real, size), None)
    evaluator = Evaluator({"A2B": target}, extractor, x[0], subset_size, seed)
    evaluator.check_probe(x[1], y[1])
    return evaluator


def paired_errors(model: CycleGAN, data: UnpairedData) -> dict[str, float] | None:
    """Mean absolute errors of all test pictures in levels of 255, after each epoch.

    Returns:
      `x_to_y` and `y_to_x` for the generators, `doing_nothing_x_to_y` and
      `doing_nothing_y_to_x` for the inputs; None if the truth is unknown.
    """
    if data.true_y is None or data.true_x is None:
        return None
    translators, errors = make_translators(model), {}
    for name, direction, source, truth in (
        ("x_to_y", "A2B", data.test_x, data.true_y),
        ("y_to_x", "B2A", data.test_y, data.true_x),
    ):
        inputs, true = first_pictures(source), first_pictures(truth)
        outputs = translate_pictures(direction, inputs, translators[direction]).outputs
        errors[name] = float(distances.error(outputs, true).mean())
        errors[f"doing_nothing_{name}"] = float(distances.error(inputs, true).mean())
    return errors


def describe_errors(errors: dict[str, float]) -> str:
    """The result of `paired_errors` in a line."""
    return (
        "mean absolute error to the true translation in levels of 255: "
        f"X to Y {errors['x_to_y']:.1f} "
        f"(doing nothing: {errors['doing_nothing_x_to_y']:.1f}), "
        f"Y to X {errors['y_to_x']:.1f} ({errors['doing_nothing_y_to_x']:.1f})"
    )
