"""`evaluate`: measures a run, an exported model, or folders of pictures.

TensorFlow is imported where it is used, so that `--help` and a refused flag answer at
once.
"""

import dataclasses
import pathlib

from absl import flags

from cyclegan_tf.commands.program import CHECKPOINT, Command, Flag, path
from cyclegan_tf.config import (
    DIRECTIONS,
    EVALUATION_FEATURES,
    EVALUATION_NETWORKS,
    Config,
    check_features,
)
from cyclegan_tf.messages import UserError, check_choice, without_native_messages
from cyclegan_tf.training.run_directory import (
    LOG_FILE,
    check_run,
    load_config,
    read_checkpoint,
)


def _evaluate(values: flags.FlagValues) -> None:
    """Checks the flags, evaluates, prints a table and writes both files."""
    _check_flags(values)
    if values.run_dir:
        check_run(values.run_dir, values.checkpoint)
    with without_native_messages():
        from cyclegan_tf.evaluation import failure_modes, metrics, report
        from cyclegan_tf.training.reporting import read_log
    prepare = _prepare_run if values.run_dir else _prepare_folders
    evaluator, translated, about = prepare(values)
    numbers, problems = evaluator.evaluate(translated)
    log = []
    if values.run_dir and not values.model:
        log = read_log(pathlib.Path(values.run_dir) / LOG_FILE)
        loss = load_config(values.run_dir).adversarial_loss
        problems += failure_modes.discriminator_won(log, loss)
    about |= {name: values[name].value for name in ("seed", "checkpoint", "reference")}
    # Another model's numbers must not replace those of a training.
    place = values.output or ("." if values.model else values.run_dir) or "."
    folder = pathlib.Path(place)
    paths = report.write(folder, evaluator, translated, numbers, problems, about, log)
    for line in report.describe_features(evaluator):
        print(line)
    print(metrics.table(numbers))
    spread = metrics.spread_table(*metrics.last_five(log))
    if spread:
        print(f"Mean and deviation of the last five evaluations in training:\n{spread}")
    for problem in problems:
        print(problem)
    print(f"Numbers: {paths[0]}\nPictures: {paths[1]}")


def _check_flags(values: flags.FlagValues) -> None:
    """Refuses values out of range, and flags that do not go together."""
    check_choice("features", values.features, EVALUATION_FEATURES)
    check_choice("reference", values.reference, ("half", "train", "test"))
    check_choice("direction", values.direction, DIRECTIONS)
    minima = {"subset_size": 2, "num_pictures": 0, "size": 16, "seed": 0}
    for name, minimum in minima.items():
        value = values[name].value
        if value < 0 or 0 < value < minimum:
            rule = f"0 or at least {minimum}" if minimum else "at least 0"
            raise UserError(f"`{name}` must be {rule}. Received: {value}.")
    sources = ("run_dir", "model", "fake", "real", "input")
    given = {name for name in sources if values[name].value}
    allowed = (
        {"run_dir"},
        {"run_dir", "model"},
        {"model", "input", "real"},
        {"fake", "real"},
        {"fake", "real", "input"},
    )
    if given not in allowed:
        named = ", ".join(f"--{name}" for name in sorted(given)) or "nothing"
        raise UserError(
            "Give --run_dir, with or without --model; or --model with --input and "
            f"--real; or --fake with --real. Received: {named}. See --help."
        )
    if values.paired and given == {"fake", "real"}:
        raise UserError("`paired` needs --input.")


def _evaluator_options(values: flags.FlagValues) -> tuple:
    """Extractor, subset size, seed and reference.

    Missing weights are an error if a flag names the features; else they are a line.
    """
    from cyclegan_tf.evaluation import features

    needed = values["features"].present or bool(values.feature_weights)
    names = values.features, values.feature_weights
    extractor, line = features.find_extractor(*names, needed=needed)
    if line:
        print(line)
    return extractor, values.subset_size, values.seed, values.reference


def _prepare_run(values: flags.FlagValues) -> tuple:
    """Evaluator of a run's data set, its translated test pictures, and JSON keys."""
    from cyclegan_tf.data import datasets
    from cyclegan_tf.deploy import load
    from cyclegan_tf.evaluation import translations
    from cyclegan_tf.evaluation.evaluator import make_evaluator
    from cyclegan_tf.training.checkpoints import networks_in

    config = load_config(values.run_dir)
    check_features(config, values.features)
    if values.data_dir:
        config = dataclasses.replace(config, data_dir=values.data_dir)

    def read(checkpoint: str) -> tuple[str, dict]:
        # An imported run may have one direction only.
        names = networks_in(checkpoint)
        return checkpoint, {
            direction: load.of_run(values.run_dir, name, checkpoint)
            for direction, name in DIRECTIONS.items()
            if name in names
        }

    checkpoint, generators = read_checkpoint(values.run_dir, read, values.checkpoint)
    directions = tuple(generators)
    about = {"run_dir": values.run_dir, "step": int(checkpoint.rsplit("-", 1)[1])}
    if values.model:
        generators[values.direction] = load.of_model(pathlib.Path(values.model))
        directions = (values.direction,)
        about["model"] = values.model
    data = datasets.load(config)
    if values.paired:
        data = translations.pair_test_pictures(data)
    evaluator = make_evaluator(data, config.picture_size, *_evaluator_options(values))
    translated = translations.translate_test_pictures(
        data, generators, values.num_pictures, directions
    )
    return evaluator, translated, about


def _prepare_folders(values: flags.FlagValues) -> tuple:
    """Evaluator of folders, the pictures in them, and JSON keys."""
    from cyclegan_tf.data.datasets import resized
    from cyclegan_tf.deploy import load
    from cyclegan_tf.evaluation import translations
    from cyclegan_tf.evaluation.evaluator import make_folder_evaluator

    real, inputs, fakes = (
        translations.read_folder(values[name].value, name)
        if values[name].value
        else None
        for name in ("real", "input", "fake")
    )
    sources, names = inputs, fakes or inputs
    size = values.size or translations.default_side(names)
    if inputs and fakes:
        sources = translations.match(fakes, inputs, "input")
    truth = translations.match(names, real, "real picture") if values.paired else None
    evaluator = make_folder_evaluator(inputs, real, size, *_evaluator_options(values))
    number = values.num_pictures or None
    sources, outputs, truth = (
        domain and translations.first_pictures(resized(domain, size), number)
        for domain in (sources, fakes, truth)
    )
    if values.model:
        model = load.of_model(pathlib.Path(values.model))
        translated = translations.translate_pictures("A2B", sources, model, truth=truth)
    else:
        translated = translations.Translations("A2B", sources, outputs, truth=truth)
    about = {n: values[n].value for n in ("model", "fake", "real", "input")}
    return evaluator, [translated], {**about, "size": size}


EVALUATE = Command(
    _evaluate,
    {
        "run_dir": path("a run of train.py: both directions, on its test pictures"),
        "checkpoint": CHECKPOINT,
        "model": path(
            "a SavedModel's folder, a .tflite or a .keras file: replaces one of the "
            "run's generators, or translates --input"
        ),
        "direction": Flag("A2B", "with --run_dir: direction of --model, A2B or B2A"),
        "fake": path("a folder of outputs of any program, named as `translate` does"),
        "real": path("a folder of real pictures of the target"),
        "input": path("a folder of inputs; names match those of --fake"),
        "paired": Flag(
            False,
            "test pictures of the same name in both domains, or in --input and --real, "
            "belong together: measures errors to the truth",
        ),
        "features": Flag(
            Config.evaluation_features,
            "network pretrained on ImageNet, for distances and the probe: "
            + ", ".join(EVALUATION_NETWORKS)
            + "; or the Inception of published FIDs, with its file in "
            "--feature_weights: fid (resizes like clean-fid) or fid_legacy (like "
            "pytorch-fid)",
        ),
        "feature_weights": path(
            "file of its weights; empty: from Keras, or from its package"
        ),
        "reference": Flag(
            "half",
            "real pictures to measure distances to: half (of the training pictures), "
            "train (all training pictures), or test (all test pictures, like published "
            "FIDs); with folders, train and test are all of --real",
        ),
        "subset_size": Flag(
            0,
            "pictures in a subset of the kernel distance; 0: half of them, at most 50",
        ),
        "num_pictures": Flag(0, "number of test pictures of each domain; 0: all"),
        "size": Flag(0, "side for pictures of folders; 0: their own, at most 256"),
        "seed": Flag(0, "seed of the subsets"),
        "data_dir": path("folder of tfds; empty: as in the run"),
        "output": path(
            "folder of evaluation.json and .png; empty: RUN_DIR, or . without a run or "
            "with --model"
        ),
    },
    "Measures translations: whether they change domain, look like the target and keep "
    "the picture, and what goes wrong. Each number stands beside that of doing nothing "
    "and of real pictures.",
    (
        "--run_dir RUN",
        "--run_dir RUN --model MODEL --direction A2B",
        "--model MODEL --input PICTURES --real PICTURES",
        "--fake PICTURES --real PICTURES [--input PICTURES]",
    ),
)
