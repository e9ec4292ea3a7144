"""`translate` and `serving_client`: picture files in, picture files out.

TensorFlow is imported where it is used, so that `--help` and a wrong flag answer at
once.
"""

import functools
import pathlib
from collections.abc import Iterable, Iterator

import numpy as np
from absl import flags

from cyclegan_tf.commands.program import CHECKPOINT, Command, Flag, path, require
from cyclegan_tf.config import DIRECTIONS
from cyclegan_tf.deploy.serving_client import translate_file
from cyclegan_tf.messages import (
    UserError,
    check_choice,
    progress_bar,
    reason,
    without_native_messages,
)
from cyclegan_tf.training.run_directory import check_run, read_checkpoint


def _translate(values: flags.FlagValues) -> None:
    """Checks flags, paths and model, translates, and prints a summary."""
    _check_flags(values)
    if values.run_dir:
        check_run(values.run_dir, values.checkpoint)
    with without_native_messages():
        from cyclegan_tf.data import folders, reader
    output = pathlib.Path(values.output)
    files = folders.find(pathlib.Path(values.input), output)
    translator = _translator(values)
    sizes = values.batch_size, values.max_side
    bad = translate_files(files, translator, *sizes, values.compare)
    reader.report_bad(bad, len(files))
    number = len(files) - len(bad)
    print(f"Translated {number} picture{'s' * (number != 1)} to {output}")


def _check_flags(values: flags.FlagValues) -> None:
    """Refuses values out of range, and flags that do not fit together."""
    require(values, "input", "output")
    if bool(values.run_dir) == bool(values.model):
        raise UserError("Either --run_dir or --model must be given. See --help.")
    if values.model and values.direction:
        raise UserError("--direction is for --run_dir; a model has one direction.")
    if values.direction:
        check_choice("direction", values.direction, DIRECTIONS)
    for name, minimum in (("max_side", 0), ("batch_size", 1)):
        value = values[name].value
        if value < minimum:
            raise UserError(f"`{name}` must be at least {minimum}. Received: {value}.")


def _translator(values: flags.FlagValues):
    """Loads the model, or the generator of the run."""
    with without_native_messages():
        from cyclegan_tf.deploy import load

        if values.model:
            return load.of_model(pathlib.Path(values.model))
        run_dir = pathlib.Path(values.run_dir)
        names = load.translator_names(run_dir)
        direction = values.direction or next(iter(names))
        check_choice("direction", direction, names)
        read = functools.partial(load.of_run, run_dir, names[direction])
        return read_checkpoint(run_dir, read, values.checkpoint)


def translate_files(
    files: list, translator, batch_size: int, max_side: int = 0, compare: bool = False
) -> dict[str, str]:
    """Reads, translates and writes `PictureFile`s; `--help` describes the options.

    Warns of pictures with further frames or more than 8 bits.

    Returns:
      Reasons why pictures can't be read, by the pictures' names.

    Raises:
      UserError: the model fails on a picture, or a PNG can't be written.
    """
    from cyclegan_tf.data import folders, images, reader
    from cyclegan_tf.deploy.load import shrunk

    reasons, losses = {}, []
    bar = progress_bar(total=len(files), unit="picture", delay=1, leave=False)

    def read() -> Iterator:
        for file in files:
            try:
                picture, loss = images.read(file.source)
            except images.ImageError as error:
                reasons[file.name] = str(error)
                bar.update()
            else:
                losses.append(loss)
                yield file, shrunk(picture, max_side)

    with bar:
        for batch in in_batches(read(), batch_size):
            results = _translated(translator, batch)
            for (file, picture), result in zip(batch, results, strict=True):
                if compare:
                    result = images.tile([picture[np.newaxis], result[np.newaxis]])
                folders.write_png(result, file.target)
                bar.update()
    reader.report_losses(losses, "the input")
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
        raise UserError(
            f"{name} can't be translated at {width}x{height} pixels in a batch of "
            f"{len(batch)} (see --max_side, --batch_size): {reason(error)}"
        ) from error
    if results.shape != pictures.shape:
        raise UserError(f"The model gives another size than that of {name}.")
    return results


TRANSLATE = Command(
    _translate,
    {
        "run_dir": path("a run of train.py"),
        "checkpoint": CHECKPOINT,
        "model": path(
            "instead of a run: a .tflite or .keras file, or the folder of a SavedModel"
        ),
        "direction": Flag(
            "",
            "direction of the run: A2B (X to Y) or B2A; empty: A2B, or the only one of "
            "a pix2pix run",
        ),
        "input": path("a picture, or a folder of pictures and folders"),
        "output": path("output folder; pictures in it are not translated"),
        "max_side": Flag(0, "shrinks pictures with a longer side to it; 0: none"),
        "batch_size": Flag(
            4, "pictures of one size in a batch; 1 takes the least memory"
        ),
        "compare": Flag(False, "write each picture beside its translation"),
    },
    "Translates a picture, or all below a folder (JPEG, PNG, BMP, GIF, WebP, TIFF), of "
    "any size. PICTURES/sub/a.jpg becomes FOLDER/sub/a.png; where two would become "
    "one, they keep their endings, as in a.jpg.png. No input is ever overwritten.",
    (
        "--run_dir RUN --input PICTURES --output FOLDER",
        "--model MODEL --input PICTURES --output FOLDER",
    ),
)


def _serve(values: flags.FlagValues, *pictures: str) -> None:
    if len(pictures) != 2 or not values.server:
        raise UserError("Name --server, a picture and the PNG to write. See --help.")
    if not values.model.isprintable():
        raise UserError(f"`model` must be a name. Received: {values.model!r}.")
    options = values.version, values.timeout_seconds
    translate_file(values.server, values.model, *pictures, *options)


SERVING_CLIENT = Command(
    _serve,
    {
        "server": Flag(
            "",
            "HOST:PORT (gRPC, usually 8500) or http://HOST:PORT (REST, usually 8501)",
        ),
        "model": Flag("horse2zebra_A2B", "name of the served model"),
        "version": Flag(
            None, "version of the model; without it the newest", bounds=(0, 2**63 - 1)
        ),
        "timeout_seconds": Flag(60, "longest wait for the server", bounds=(1, 86400)),
    },
    "Translates a picture with TF Serving, and writes the result as a PNG.",
    ("--server HOST:PORT INPUT OUTPUT.png",),
    takes_arguments=True,
)
