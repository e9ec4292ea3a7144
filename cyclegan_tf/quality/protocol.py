"""How a data set is evaluated: what is the reference, which judge, which features."""

import pathlib
from collections.abc import Mapping, Sequence

from cyclegan_tf.data.datasets import Domain, UnpairedData, resized
from cyclegan_tf.quality import detectors, features, judge, metrics, report
from cyclegan_tf.quality.evaluation import Evaluator, check_targets, halves
from cyclegan_tf.quality.pictures import Translations, first
from cyclegan_tf.validation import UserError


def of_data(
    data: UnpairedData,
    image_size: int,
    kind: str = "judge",
    feature_weights: str = "",
    subset_size: int = 0,
    seed: int = 0,
) -> tuple[Evaluator, dict]:
    """The evaluator of a data set, both directions, its judge trained if need be.

    Args:
      data: Training pictures, of which one half is the reference, and test pictures.
      image_size: Side of the pictures that are evaluated.
      kind: Of `metrics.FEATURES`.
      feature_weights: See `features.inception`.
      subset_size: See `Evaluator`.
      seed: Of the judge and of the subsets.

    Returns:
      The evaluator, and what is told of its judge (`report.describe_judge`).

    Raises:
      UserError: there are too few pictures, or no weights.
    """
    if data.without_pictures:
        missing = " and ".join(data.without_pictures)
        raise UserError(f"An evaluation needs test pictures: {missing} has none.")
    sides = [halves(resized(d, image_size)) for d in (data.train_x, data.train_y)]
    targets = {"A2B": sides[1], "B2A": sides[0]}
    check_targets(targets, subset_size)
    extractor = _extractor(kind, feature_weights)
    trained = judge.prepare(
        halves(data.train_x)[0], halves(data.train_y)[0], image_size, seed
    )
    evaluator = Evaluator(targets, trained, extractor, subset_size, seed)
    return evaluator, _described(trained, data.test_x, data.test_y)


def of_folders(
    inputs: Domain | None,
    real: Domain,
    size: int,
    kind: str,
    feature_weights: str,
    subset_size: int,
    seed: int,
) -> tuple[Evaluator, dict]:
    """The evaluator of one direction of folders, called A2B; see `of_data`.

    Args:
      inputs: Pictures of the source domain, half of which the judge learns from; None
        for no judge.
      real: Pictures of the target.
      size: Side at which all are compared.
      kind: Of `metrics.FEATURES`.
      feature_weights: See `features.inception`.
      subset_size: See `Evaluator`.
      seed: Of the judge and of the subsets.
    """
    y = halves(resized(real, size))
    check_targets({"A2B": y}, subset_size)
    extractor = _extractor(kind, feature_weights)
    if inputs is None:
        return Evaluator({"A2B": y}, None, extractor, subset_size, seed), {}
    x = halves(resized(inputs, size))
    trained = judge.prepare(x[0], y[0], size, seed)
    evaluator = Evaluator({"A2B": y}, trained, extractor, subset_size, seed)
    return evaluator, _described(trained, x[1], y[1])


def _described(trained: judge.Judge, test_x: Domain, test_y: Domain) -> dict:
    """What is told of a judge, tried on pictures that it has not seen."""
    return report.describe_judge(trained, {"x": first(test_x), "y": first(test_y)})


def _extractor(kind: str, feature_weights: str) -> features.Extractor | None:
    """The features asked for; None for the judge's."""
    return features.inception(feature_weights) if kind == "inception" else None


def evaluate(
    evaluator: Evaluator, all_made: Sequence[Translations]
) -> tuple[dict[str, dict], list[str]]:
    """All numbers of some directions, and what they say is wrong.

    Returns:
      Numbers by full name and by `metrics.MODELS`, and sentences.
    """
    numbers, problems = {}, []
    for made in all_made:
        found = evaluator.numbers(made)
        numbers |= found
        short = {name.split("/")[1]: row["model"] for name, row in found.items()}
        problems += detectors.problems(short, made.direction)
    return numbers, problems


def write(
    folder: pathlib.Path,
    evaluator: Evaluator,
    all_made: Sequence[Translations],
    numbers: Mapping[str, Mapping],
    problems: Sequence[str],
    about: Mapping,
    records: Sequence[Mapping] = (),
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes `evaluation.json` and `evaluation.png`.

    Args:
      folder: Where to.
      evaluator: That measured.
      all_made: What it measured.
      numbers: What it found.
      problems: What that says is wrong.
      about: What was measured, and how.
      records: Of the log of a training, for the mean and the deviation of its last five
        evaluations.

    Returns:
      Paths of both.
    """
    spread, best = metrics.last_five(records)
    record = {
        **about,
        "pictures": {made.direction: len(made.outputs) for made in all_made},
        "features": evaluator.extractor.name,
        "numbers": dict(numbers),
        "problems": list(problems),
        "versions": report.versions(),
    }
    if spread:
        record["last_five_evaluations"] = spread
        record["best_not_the_result"] = best
    folder.mkdir(parents=True, exist_ok=True)
    page = report.write_page(evaluator, all_made, folder)
    return report.write_json(record, folder), page
