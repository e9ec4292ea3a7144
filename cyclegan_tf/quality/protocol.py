"""How a data set is evaluated: what is the reference, and which features."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence

from cyclegan_tf.config import EVALUATION_NETWORKS
from cyclegan_tf.data.datasets import Domain, UnpairedData, resized
from cyclegan_tf.quality import detectors, fid_inception, metrics, report
from cyclegan_tf.quality.evaluation import Evaluator, check_enough, halves
from cyclegan_tf.quality.features import Extractor, of_network
from cyclegan_tf.quality.pictures import Translations, first
from cyclegan_tf.validation import UserError

# What makes each kind of features, from the file of its weights; empty: no file.
EXTRACTORS: dict[str, Callable[[str], Extractor]] = {
    **{name: functools.partial(of_network, name) for name in EVALUATION_NETWORKS},
    "fid": functools.partial(fid_inception.load, mode="clean"),
    "fid_legacy": functools.partial(fid_inception.load, mode="legacy_pytorch"),
}


def find_extractor(
    name: str, weights: str, needed: bool, flag: str = "feature_weights"
) -> tuple[Extractor | None, str]:
    """Features, or a line that says why there are none.

    Args:
      name: Of `EXTRACTORS`.
      weights: File of its weights; empty: what is installed, or can be fetched.
      needed: Whether to fail without them.
      flag: What takes the file, for the message.

    Raises:
      UserError: they are needed, and can't be had.
    """
    try:
        return EXTRACTORS[name](weights), ""
    except UserError as error:
        told = str(error).replace("feature_weights", flag)
        if needed:
            raise UserError(told) from error
        return None, f"Distances and domain are not measured: {told}"


def of_data(
    data: UnpairedData,
    image_size: int,
    extractor: Extractor | None,
    subset_size: int = 0,
    seed: int = 0,
    reference: str = "half",
) -> tuple[Evaluator, dict]:
    """The evaluator of a data set, both directions.

    Args:
      data: Training pictures and test pictures.
      image_size: Side of the pictures that are evaluated.
      extractor: See `Evaluator`.
      subset_size: See `Evaluator`.
      seed: Of the subsets.
      reference: Distances are measured to one `half` of the training pictures, to all
        of them (`train`), or to all test pictures (`test`), as published FIDs are.

    Returns:
      The evaluator, and what is told of its probe (`report.describe_probe`).

    Raises:
      UserError: there are too few pictures.
    """
    if data.without_pictures:
        missing = " and ".join(data.without_pictures)
        raise UserError(f"An evaluation needs test pictures: {missing} has none.")
    train, test = (
        [resized(domain, image_size) for domain in domains]
        for domains in ((data.train_x, data.train_y), (data.test_x, data.test_y))
    )
    if reference == "half":
        x, y = map(halves, train)
    else:
        sides = (train, test) if reference == "train" else (test, train)
        x, y = zip(*sides, strict=True)
    evaluator = Evaluator(
        {"A2B": y, "B2A": x}, extractor, subset_size=subset_size, seed=seed
    )
    # The probe is tried on pictures that it has not learned from.
    return evaluator, _described(evaluator, *(train if reference == "test" else test))


def of_folders(
    inputs: Domain | None,
    real: Domain,
    size: int,
    extractor: Extractor | None,
    subset_size: int,
    seed: int,
    reference: str = "half",
) -> tuple[Evaluator, dict]:
    """The evaluator of one direction of folders, called A2B; see `of_data`.

    Args:
      inputs: Pictures of the source domain, half of which the probe learns from, and is
        tried on the rest; None for no probe.
      real: Pictures of the target.
      size: Side at which all are compared.
      extractor: See `Evaluator`.
      subset_size: See `Evaluator`.
      seed: Of the subsets.
      reference: As for `of_data`; `train` and `test` are all of `real`.
    """
    y, x = halves(resized(real, size)), (None, None)
    if inputs is not None:
        check_enough("`input`", "pictures", len(inputs))
        x = halves(resized(inputs, size))
    other = y[1]
    if reference != "half":
        y = resized(real, size), None
    evaluator = Evaluator({"A2B": y}, extractor, x[0], subset_size, seed)
    return evaluator, _described(evaluator, x[1], other)


def _described(evaluator: Evaluator, test_x: Domain | None, test_y: Domain) -> dict:
    """What is told of the probe, tried on pictures that it has not learned from."""
    if evaluator.probe is None:
        return {}
    return report.describe_probe(evaluator, {"x": first(test_x), "y": first(test_y)})


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
        "features": evaluator.extractor.name if evaluator.extractor else None,
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
