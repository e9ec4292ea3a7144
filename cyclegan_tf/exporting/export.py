"""Exports the generators of a run: written aside, tried out, then put in place.

Nothing appears under its final name before a fresh process has run it and its outputs
have passed the bars of `verification.py`.
"""

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import shutil
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from cyclegan_tf.config import DIRECTIONS, Config
from cyclegan_tf.data import datasets, images
from cyclegan_tf.exporting import records, saved_model, verification
from cyclegan_tf.exporting.formats import WRITERS, Model
from cyclegan_tf.exporting.request import Request, Size
from cyclegan_tf.files import remove_if_empty, staging, written_whole
from cyclegan_tf.networks.generators import translate
from cyclegan_tf.run_directory import (
    EXPORT_FOLDER,
    LOG_FILE,
    load_config,
    read_checkpoint,
)
from cyclegan_tf.training import checkpoints
from cyclegan_tf.training.reporting import MEASURES, read_log
from cyclegan_tf.validation import UserError

CYCLEGAN = "CycleGAN (arXiv 1703.10593)"
_NUM_TEST_PICTURES = 8

# What the log tells of the machine, not of the model.
_NOT_METRICS = ("step", *MEASURES)


def export(run_dir: str | os.PathLike, **options) -> list[dict]:
    """Exports the generators of a run.

        cg.export("runs/mine", formats=("savedmodel", "tflite"))

    Args:
      run_dir: The run directory.
      **options: Fields of `exporting.request.Request`: `formats`, `directions`,
        `output`, `version`, `name`, `tflite_types`, `tflite_sizes`, `tflite_io` and
        others, with the meaning and the defaults of the flags of `export`.

    Returns:
      A row for each file: `path` in the folder of exports, `kind`, `direction`,
      `bytes`, `max_error` and `mean_error` on [-1, 1], `psnr` in decibels (None if
      exact), `milliseconds` a picture.

    Raises:
      UserError: the run or an option can't be used, a file can't be written, or one
        fails its bar. Nothing is left then.
      TypeError: there is no such option.
    """
    return carry_out(Request(os.fspath(run_dir), **options))


def carry_out(request: Request, kind: str = CYCLEGAN) -> list[dict]:
    """Exports what a request names, and prints a table of what was written.

    Args:
      request: What to export.
      kind: What the model is, for its card.

    Returns:
      A row for each file, as `verification.verify` gives them.

    Raises:
      UserError: the run, a size, the version or the pictures can't be used, a file
        can't be written, or one fails its bar. Nothing is left then.
    """
    config = load_config(request.run_dir)
    output = pathlib.Path(
        os.path.expanduser(request.output or f"{request.run_dir}/{EXPORT_FOLDER}")
    )
    sizes = tuple(dict.fromkeys(request.tflite_sizes))
    sizes = sizes or ((config.picture_size, config.picture_size),)
    _check_sizes(sizes, config.size_multiple)
    # All at once: a training that goes on may delete the checkpoint meanwhile.
    read = functools.partial(_generators, request)
    checkpoint, generators = read_checkpoint(request.run_dir, read, request.checkpoint)
    directions = tuple(generators)
    request = dataclasses.replace(request, directions=directions, tflite_sizes=sizes)
    about = _about(request, config, checkpoint, output, kind)
    request = dataclasses.replace(request, version=about["version"])
    with staging(output, (OSError, tf.errors.OpError)) as folder:
        models = (
            _model(request, config, generator, about, direction)
            for direction, generator in generators.items()
        )
        plan, references = _write_files(request, models, folder)
        print("Verifying in a fresh process", flush=True)
        rows = verification.verify(plan, references, folder)
        print(records.table(rows))
        failures = [f"{r['path']}: {r['problem']}" for r in rows if r["problem"]]
        if failures:
            raise UserError("Not exported. " + "; ".join(failures) + ".")
        about["verified_on"] = _verified_on(request, config, references)
        about["parity"] = rows
        _write_records(about, folder)
        publish(folder, output)
    for direction, path in about["recommended"].items():
        print(f"For a phone, {direction}: {output / path}")
    print(f"Exported version {about['version']} to {output}")
    return rows


def _write_files(request: Request, models: Iterable[Model], folder: pathlib.Path):
    """Writes the files of all directions; gives a plan to verify them."""
    plan, references = [], {}
    for model in models:
        for name in request.formats:
            print(f"{model.name}: {name}", flush=True)
            for row in WRITERS[name](model, request, folder):
                sizes = row.pop("sizes")
                pictures = [_add_reference(references, model, size) for size in sizes]
                direction = model.about["direction"]
                plan.append({**row, "direction": direction, "pictures": pictures})
    if not plan:
        raise UserError("Nothing to export: int16x8 files have fixed sizes only.")
    return plan, references


# --- What is known of the run


def _generators(request: Request, checkpoint: str) -> tuple[str, dict]:
    """A checkpoint, and its generators of the directions asked for, or of all."""
    held = checkpoints.networks_in(checkpoint)
    found = tuple(d for d, name in DIRECTIONS.items() if name in held)
    if not found:
        raise UserError(f"{checkpoint} holds no generator.")
    return checkpoint, {
        d: checkpoints.load_network(request.run_dir, DIRECTIONS[d], checkpoint)
        for d in request.directions or found
    }


def _about(request: Request, config: Config, checkpoint, output, kind) -> dict:
    step, metrics = int(checkpoint.rsplit("-", 1)[1]), {}
    for entry in read_log(pathlib.Path(request.run_dir) / LOG_FILE):
        if entry["step"] <= step:
            metrics |= {k: v for k, v in entry.items() if k not in _NOT_METRICS}
    name = request.name or records.model_name(config.dataset)
    return records.record(
        name=name,
        config=config,
        step=step,
        version=_choose_version(request, output, name),
        metrics=metrics,
        licence=request.licence,
        kind=kind,
    )


def _choose_version(request: Request, output: pathlib.Path, name: str) -> int:
    """The version asked for, or the one after the last of all directions."""
    taken = {
        int(path.name)
        for direction in request.directions
        for path in (output / "saved_model" / f"{name}_{direction}").glob("*")
        if path.name.isdecimal()
    }
    if request.version in taken:
        raise UserError(
            f"Version {request.version} of {name} exists in {output / 'saved_model'}. "
            "Versions are never written over."
        )
    return request.version or max(taken, default=0) + 1


def _check_sizes(sizes: tuple[Size | None, ...], multiple: int) -> None:
    for size in sizes:
        if size and (size[0] % multiple or size[1] % multiple or min(size) < 8):
            raise UserError(
                f"`tflite_size` must be multiples of {multiple}, at least 8, for this "
                f"generator. Received: {size[0]}x{size[1]}."
            )


def _model(
    request: Request, config: Config, generator, about: dict, direction: str
) -> Model:
    domain = direction[0]  # Whose pictures the generator takes.

    def pictures(split: str, number: int) -> list[np.ndarray]:
        if request.pictures:
            return datasets.sample_folder(request.pictures, number)
        return datasets.sample_split(config, split, number)

    names = list(about["labels"].values())
    source, target = names if direction == "A2B" else reversed(names)
    told = {k: about[k] for k in ("version", "step", "licence")}
    kind = about["kind"].partition(" (")[0]
    return Model(
        name=f"{about['name']}_{direction}",
        generator=generator,
        multiple=config.size_multiple,
        size=(config.picture_size, config.picture_size),
        pictures=pictures(f"test{domain}", _NUM_TEST_PICTURES),
        calibration=functools.cache(
            lambda: pictures(f"train{domain}", request.num_calibration_pictures)
        ),
        about={
            "name": f"{about['name']}_{direction}",
            "description": f"{kind} generator that translates {source} to {target}",
            "direction": direction,
            "labels": {"input": source, "output": target},
            **told,
        },
    )


# --- Verification


def _add_reference(references: dict, model: Model, size: Size) -> str:
    """Adds test pictures of a size with the generator's outputs; gives their name."""
    name = f"{model.name}/{size[0]}x{size[1]}"
    if name not in references:
        pictures = [images.resize(picture, size) for picture in model.pictures]
        # The bars are for the arithmetic of a CPU; in Python a GPU may be in use.
        with tf.device("CPU:0"):
            batches = [images.to_float(picture[np.newaxis]) for picture in pictures]
            outputs = [translate(model.generator, x, model.multiple) for x in batches]
        references[name] = np.stack(pictures), np.concatenate(outputs)
    return name


def _verified_on(request: Request, config: Config, references: dict) -> str:
    """How many pictures, of which place, each file was tried on."""
    number = min(len(pictures) for pictures, _ in references.values())
    if request.pictures:
        return f"{number} pictures of a folder"
    return f"{number} test pictures of {config.dataset}"


# --- Files


def _write_records(about: dict, folder: pathlib.Path) -> None:
    """Writes record and card of all files, and of each SavedModel beside it."""
    _write_record(about, folder)
    for version in folder.glob("saved_model/*/*"):
        of_this = str(version.relative_to(folder))
        rows = [r for r in about["parity"] if r["path"].startswith(f"{of_this}:")]
        _write_record({**about, "name": version.parent.name, "parity": rows}, version)
    if (folder / "saved_model").exists():
        batching = folder / "saved_model" / saved_model.BATCHING_FILE
        batching.write_text(saved_model.batching_parameters())


def _write_record(about: dict, folder: pathlib.Path) -> None:
    about["recommended"] = {}
    for direction in DIRECTIONS:
        rows = [r for r in about["parity"] if r["direction"] == direction]
        path = records.recommended(rows)
        if path:
            about["recommended"][direction] = path
    record = folder / records.RECORD_FILE
    record.write_text(json.dumps(about, indent=2) + "\n")
    card = folder / records.CARD_FILE
    card.write_text(records.model_card(about))


def publish(folder: pathlib.Path, output: pathlib.Path) -> None:
    """Moves all that was written to its place; versions are new, files replaced."""
    with contextlib.ExitStack() as undo:
        undo.callback(remove_if_empty, output / "saved_model")
        for version in sorted(folder.glob("saved_model/*/*")):
            target = output / version.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            undo.callback(remove_if_empty, target.parent)
            version.rename(target)
            undo.callback(shutil.rmtree, target, ignore_errors=True)
        for source in sorted(p for p in folder.rglob("*") if p.is_file()):
            target = output / source.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)
        _list_models(output / "saved_model")
        undo.pop_all()


def _list_models(root: pathlib.Path) -> None:
    """Writes `models.config` of all models that have a version in a folder."""
    versions = [path.parent for path in root.glob("*/*/saved_model.pb")]
    names = {v.parent.name for v in versions if v.name.isdecimal()}
    if names:
        with written_whole(root / saved_model.MODELS_FILE) as temporary:
            temporary.write_text(saved_model.models_config(sorted(names)))
