"""`evaluate`: its flags, and what they put beside one another.

TensorFlow is imported where it is used, so that `--help` and a refused flag answer at
once.
"""

import dataclasses
import os
import pathlib

from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.config import (
    DIRECTIONS,
    EVALUATION_FEATURES,
    EVALUATION_NETWORKS,
    Config,
)
from cyclegan_tf.process import without_native_messages
from cyclegan_tf.run_directory import LOG_FILE, check_run, load_config, read_checkpoint
from cyclegan_tf.validation import UserError, check_choice, check_features

SUMMARY = (
    "Says how good translations are: whether they change domain, look like the target, "
    "keep the picture, and what goes wrong; each number beside that of doing nothing "
    "and of real pictures."
)

FLAGS = {
    "run_dir": ("", "a run of train.py: both directions, on its test pictures"),
    "checkpoint": ("latest", "of the run: latest, best (see --keep_best) or a step"),
    "model": (
        "",
        "a SavedModel's folder, a .tflite or a .keras file: in place of one of the "
        "run's generators, or on --input and --real",
    ),
    "direction": ("A2B", "with --run_dir, what --model translates: A2B or B2A"),
    "fake": ("", "a folder of outputs, of whatever program, as `translate` writes it"),
    "real": ("", "a folder of real pictures of the target"),
    "input": ("", "a folder of what was translated; names match those of --fake"),
    "paired": (
        False,
        "test pictures of the same name in both domains, or in --input and --real, "
        "belong together: errors to the truth",
    ),
    "features": (
        Config.evaluation_features,
        "network that ImageNet taught, whose features tell domains and distances: "
        + ", ".join(EVALUATION_NETWORKS)
        + "; or the Inception of published FIDs, whose file must be given: fid "
        "(resized as clean-fid does) or fid_legacy (as pytorch-fid does)",
    ),
    "feature_weights": (
        "",
        "file of its weights; empty: from Keras, or from its package",
    ),
    "reference": (
        "half",
        "real pictures that distances are measured to: half (of the training "
        "pictures), train (all of these), or test (all test pictures, as published "
        "FIDs have it); of folders, train and test are all of --real",
    ),
    "subset_size": (
        0,
        "pictures in a subset of the kernel distance; 0: half of them, at most 50",
    ),
    "num_pictures": (0, "the first so many test pictures of a domain; 0: all"),
    "size": (0, "side that pictures of folders are resized to; 0: their own, to 256"),
    "seed": (0, "of the subsets"),
    "data_dir": ("", "where tfds keeps its data sets; empty: as in the run"),
    "output": (
        "",
        "folder of evaluation.json and .png; empty: RUN_DIR, or . with the others",
    ),
}


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Makes the flags."""
    program.define_flags(FLAGS, values)


def help_text(called: str) -> str:
    """What `--help` prints."""
    usage = f"""{called} --run_dir RUN
       {called} --run_dir RUN --model MODEL --direction A2B
       {called} --model MODEL --input PICTURES --real PICTURES
       {called} --fake PICTURES --real PICTURES [--input PICTURES]"""
    return program.help_of_flags(usage, SUMMARY, FLAGS)


def main(arguments: list[str]) -> None:
    """Evaluates what the flags name."""
    program.no_arguments(arguments)
    run(flags.FLAGS)


def run(values: flags.FlagValues) -> None:
    """Checks the flags, evaluates, prints a table and writes both files.

    Raises:
      UserError: the flags do not go together, or something they name can't be used.
    """
    check_flags(values)
    if values.run_dir:
        check_run(values.run_dir, values.checkpoint)
    with without_native_messages():
        from cyclegan_tf.quality import detectors, metrics, protocol, report
        from cyclegan_tf.training.reporting import read_log
    if values.run_dir:
        evaluator, probe, made, about = _of_run(values)
    else:
        evaluator, probe, made, about = _of_folders(values)
    numbers, problems = protocol.evaluate(evaluator, made)
    log = []
    if values.run_dir and not values.model:
        log = read_log(pathlib.Path(values.run_dir) / LOG_FILE)
        loss = load_config(values.run_dir).adversarial_loss
        problems += detectors.discriminator_won(log, loss)
    about |= {"probe": probe, "seed": values.seed, "checkpoint": values.checkpoint}
    about["reference"] = values.reference
    # What a training wrote there is not replaced by numbers of another model.
    place = values.output or ("." if values.model else values.run_dir) or "."
    folder = pathlib.Path(os.path.expanduser(place))
    paths = protocol.write(folder, evaluator, made, numbers, problems, about, log)
    for line in report.features_lines(evaluator, probe):
        print(line)
    print(metrics.table(numbers))
    told = metrics.spread_table(*metrics.last_five(log))
    if told:
        print(f"Mean and deviation of the last five evaluations in training:\n{told}")
    for problem in problems:
        print(problem)
    print(f"Numbers: {paths[0]}\nPictures: {paths[1]}")


def check_flags(values: flags.FlagValues) -> None:
    """Refuses values out of range, and flags that do not go together."""
    check_choice("features", values.features, EVALUATION_FEATURES)
    check_choice("reference", values.reference, ("half", "train", "test"))
    check_choice("direction", values.direction, DIRECTIONS)
    for name in ("subset_size", "num_pictures", "size", "seed"):
        if values[name].value < 0:
            raise UserError(
                f"`{name}` must be at least 0. Received: {values[name].value}."
            )
    if values.subset_size == 1:
        raise UserError("`subset_size` must be 0 or at least 2. Received: 1.")
    if 0 < values.size < 16:
        raise UserError(f"`size` must be 0 or at least 16. Received: {values.size}.")
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


def _extractor(values: flags.FlagValues):
    """The features that the flags name; none, and a line, where nobody asked for them.

    Raises:
      UserError: a flag asks for them, and they can't be had.
    """
    from cyclegan_tf.quality import protocol

    asked = values["features"].present or bool(values.feature_weights)
    wanted = values.features, values.feature_weights
    found, line = protocol.find_extractor(*wanted, needed=asked)
    if line:
        print(line)
    return found


def _of_run(values: flags.FlagValues) -> tuple:
    """The evaluator of a run's data set, and what its generators make of it."""
    from cyclegan_tf.data import datasets
    from cyclegan_tf.exporting import load
    from cyclegan_tf.quality import folders, pictures, protocol
    from cyclegan_tf.training.checkpoint_files import networks_in

    config = load_config(values.run_dir)
    check_features(config, values.features)
    if values.data_dir:
        config = dataclasses.replace(config, data_dir=values.data_dir)

    def read(checkpoint: str) -> tuple[str, dict]:
        # An imported run may have one direction only.
        held = networks_in(checkpoint)
        return checkpoint, {
            direction: load.of_run(values.run_dir, name, checkpoint)
            for direction, name in DIRECTIONS.items()
            if name in held
        }

    checkpoint, generators = read_checkpoint(values.run_dir, read, values.checkpoint)
    directions = tuple(generators)
    about = {"run_dir": values.run_dir, "step": int(checkpoint.rsplit("-", 1)[1])}
    if values.model:
        path = pathlib.Path(os.path.expanduser(values.model))
        generators[values.direction] = load.of_model(path)
        directions = (values.direction,)
        about["model"] = values.model
    data = datasets.load(config)
    if values.paired:
        true_y, true_x = folders.paired(data)
        data = dataclasses.replace(data, true_y=true_y, true_x=true_x)
    evaluator, probe = protocol.of_data(
        data,
        config.picture_size,
        _extractor(values),
        values.subset_size,
        values.seed,
        values.reference,
    )
    made = pictures.of_test_pictures(
        data, generators, values.num_pictures, directions=directions
    )
    return evaluator, probe, made, about


def _of_folders(values: flags.FlagValues) -> tuple:
    """The evaluator of some folders, and the pictures that lie there."""
    from cyclegan_tf.data import datasets
    from cyclegan_tf.exporting import load
    from cyclegan_tf.quality import folders, pictures, protocol

    real = folders.of_folder(values.real, "real")
    inputs = folders.of_folder(values.input, "input") if values.input else None
    fakes = folders.of_folder(values.fake, "fake") if values.fake else inputs
    all_inputs, size = inputs, values.size or folders.common_size(fakes)
    truth = None
    if inputs and values.fake:
        inputs = folders.matched(fakes, inputs, "input")
    if values.paired:
        truth = folders.matched(fakes, real, "real picture")
    evaluator, probe = protocol.of_folders(
        all_inputs,
        real,
        size,
        _extractor(values),
        values.subset_size,
        values.seed,
        values.reference,
    )

    def some(domain):
        if domain is None:
            return None
        number = values.num_pictures or None
        return pictures.first(datasets.resized(domain, size), number)

    if values.model:
        path = pathlib.Path(os.path.expanduser(values.model))
        made = pictures.translations(
            "A2B", some(inputs), load.of_model(path), truth=some(truth)
        )
    else:
        made = pictures.Translations(
            "A2B", some(inputs), some(fakes), truth=some(truth)
        )
    about = {n: values[n].value for n in ("model", "fake", "real", "input")}
    return evaluator, probe, [made], {**about, "size": size}
