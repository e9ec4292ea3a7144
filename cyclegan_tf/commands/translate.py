"""`translate`: its flags, and the translation of picture files.

TensorFlow is imported where it is used, so that `--help` and a wrong flag answer at
once.
"""

import functools
import os
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.config import DIRECTIONS
from cyclegan_tf.messages import (
    UserError,
    check_choice,
    progress_bar,
    without_native_messages,
)
from cyclegan_tf.training.run_directory import check_run, read_checkpoint

SUMMARY = (
    "Translates a picture, or all below a folder (JPEG, PNG, BMP, GIF, WebP, TIFF), of "
    "any size. PICTURES/sub/a.jpg becomes FOLDER/sub/a.png; where two would become "
    "one, they keep their endings, as in a.jpg.png. No input is ever overwritten."
)

FLAGS = {
    "run_dir": ("", "a run of train.py"),
    "checkpoint": ("latest", "of the run: latest, best (see --keep_best) or a step"),
    "model": (
        "",
        "instead of a run: a .tflite or .keras file, or the folder of a SavedModel",
    ),
    "direction": (
        "",
        "of a run: A2B (X to Y) or B2A; empty: A2B, or the only one of a pix2pix run",
    ),
    "input": ("", "a picture, or a folder of pictures and folders"),
    "output": ("", "a folder to write to; below --input it is left out"),
    "max_side": (0, "pictures with a longer side are shrunk to it; 0: none are"),
    "batch_size": (4, "pictures of one size translated at once; 1 takes least memory"),
    "compare": (False, "write each picture beside its translation"),
}


def help_text(called: str) -> str:
    """The text of `--help`."""
    usage = f"""{called} --run_dir RUN --input PICTURES --output FOLDER
       {called} --model MODEL --input PICTURES --output FOLDER"""
    return program.help_of_flags(usage, SUMMARY, FLAGS)


def main(arguments: list[str]) -> None:
    """Translates what the flags name."""
    program.no_arguments(arguments)
    run(flags.FLAGS)


def run(values: flags.FlagValues) -> None:
    """Checks flags, paths and model, translates, and prints a summary."""
    check_flags(values)
    source, output, run_dir, model = (
        pathlib.Path(os.path.expanduser(values[name].value))
        for name in ("input", "output", "run_dir", "model")
    )
    if values["run_dir"].value:
        check_run(run_dir, values["checkpoint"].value)
    with without_native_messages():
        from cyclegan_tf.data import folders
        from cyclegan_tf.deploy import load
    files = folders.find(source, output)
    with without_native_messages():
        if values["model"].value:
            translator = load.of_model(model)
        else:
            names = load.translator_names(run_dir)
            direction = values["direction"].value or next(iter(names))
            check_choice("direction", direction, names)
            read = functools.partial(load.of_run, run_dir, names[direction])
            translator = read_checkpoint(run_dir, read, values["checkpoint"].value)
    reasons = translate_files(
        files,
        translator,
        batch_size=values["batch_size"].value,
        max_side=values["max_side"].value,
        compare=values["compare"].value,
    )
    _report(len(files), reasons, output)


def check_flags(values: flags.FlagValues) -> None:
    """Refuses values out of range, and flags that do not fit together."""
    for name in ("input", "output"):
        if not values[name].value:
            raise UserError(f"--{name} must be given. See --help.")
    if bool(values["run_dir"].value) == bool(values["model"].value):
        raise UserError("Either --run_dir or --model must be given. See --help.")
    if values["model"].value and values["direction"].value:
        raise UserError("--direction is for --run_dir; a model has one direction.")
    if values["direction"].value:
        check_choice("direction", values["direction"].value, DIRECTIONS)
    for name, minimum in (("max_side", 0), ("batch_size", 1)):
        value = values[name].value
        if value < minimum:
            raise UserError(f"`{name}` must be at least {minimum}. Received: {value}.")


def translate_files(
    files: list, translator, batch_size: int, max_side: int = 0, compare: bool = False
) -> dict[str, str]:
    """Reads, translates and writes pictures, a batch at a time.

    Args:
      files: `PictureFile`s.
      translator: A `Translator`.
      batch_size: The most pictures, all of one size, in a batch.
      max_side: Pictures with a longer side are shrunk to it; 0: none are.
      compare: Write each picture beside its translation.

    Returns:
      Reasons why pictures can't be read, by the pictures' names.

    Raises:
      UserError: the model fails on a picture, or a PNG can't be written.
    """
    from cyclegan_tf.data import folders, images
    from cyclegan_tf.deploy.load import shrunk

    reasons = {}
    bar = progress_bar(total=len(files), unit="picture", delay=1, leave=False)

    def read() -> Iterator:
        for file in files:
            try:
                picture = images.decode(file.source)
            except images.ImageError as error:
                reasons[file.name] = str(error)
                bar.update()
            else:
                yield file, shrunk(picture, max_side)

    with bar:
        for batch in in_batches(read(), batch_size):
            results = _translated(translator, batch)
            for (file, picture), result in zip(batch, results, strict=True):
                if compare:
                    result = images.tile([picture[np.newaxis], result[np.newaxis]])
                folders.write_png(result, file.target)
                bar.update()
    return reasons


def in_batches(pictures: Iterable, batch_size: int) -> Iterator[list]:
    """Gathers pairs of anything and a picture into lists with pictures of one size.

    At most four times `batch_size` wait in memory.
    """
    waiting = {}
    for thing, picture in pictures:
        group = waiting.setdefault(picture.shape, [])
        group.append((thing, picture))
        if len(group) == batch_size:
            yield waiting.pop(picture.shape)
        elif sum(map(len, waiting.values())) == 4 * batch_size:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


def _translated(translator, batch: list) -> np.ndarray:
    import tensorflow as tf

    pictures = np.stack([picture for _, picture in batch])
    name, (height, width) = batch[0][0].name, pictures.shape[1:3]
    try:
        results = translator(pictures)
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise UserError(
            f"{name} can't be translated at {width}x{height} pixels in a batch of "
            f"{len(batch)} (see --max_side, --batch_size): {reason}"
        ) from error
    if results.shape != pictures.shape:
        raise UserError(f"The model gives another size than that of {name}.")
    return results


def _report(number: int, reasons: dict[str, str], output: pathlib.Path) -> None:
    from cyclegan_tf.data import reader

    reader.report_bad(reasons, number)
    number -= len(reasons)
    print(f"Translated {number} picture{'s' * (number != 1)} to {output}")
