"""Exports the generators of a run, whatever its model.

Files are written aside, verified in a fresh process, and then put in place. No file
gets its final name before its outputs have passed the tolerances of `verify.py`.
"""

import contextlib
import json
import os
import pathlib
import shutil

import tensorflow as tf

from cyclegan_tf.config import DIRECTIONS
from cyclegan_tf.core.layers import computing_in
from cyclegan_tf.deploy import conversion, exportables, model_card, saved_model
from cyclegan_tf.deploy import verify as verification
from cyclegan_tf.deploy.export_options import ExportOptions
from cyclegan_tf.files import ensured_folder, staging, written_whole
from cyclegan_tf.messages import LOG, UserError, print_messages
from cyclegan_tf.training.reporting import MEASURES, read_log
from cyclegan_tf.training.run_directory import EXPORT_FOLDER, LOG_FILE

# Values in the log that describe the machine, not the model.
_NOT_METRICS = ("step", *MEASURES)


def export(run_dir: str | os.PathLike, **options) -> list[dict]:
    """Exports the generators of a run: CycleGAN, pix2pix, or one of `DIGIT_MAKERS`.

        cg.export("runs/mine", formats=("savedmodel", "tflite"))

    Args:
      run_dir: The run directory.
      **options: Fields of `deploy.export_options.ExportOptions`, the flags of the
        command `export`: `formats`, `directions`, `output`, `version`, `name`,
        `tflite_types`, `tflite_sizes`, `tflite_io` and others.

    Returns:
      A row for each file: `path` in the folder of exports, `kind`, `direction`,
      `bytes`, `max_error` and `mean_error` on [-1, 1], `psnr` in decibels (None if
      exact), `milliseconds` per picture. TFLite files of pictures also have `input` and
      `output`, see `TFLiteGenerator.tensors`.

    Raises:
      UserError: the run or an option can't be used, a file can't be written, or one
        exceeds its tolerance. No file is left then.
      TypeError: there is no such option.
    """
    return export_run(ExportOptions(os.fspath(run_dir), **options))


@computing_in("float32")
def export_run(export: ExportOptions) -> list[dict]:
    """Exports what the options name, and logs a table of the files; see `export`."""
    print_messages()
    export = export.for_run()
    source = exportables.open_run(export.run_dir)
    _check_sizes(export, source.multiple)
    output = export.output or f"{export.run_dir}/{EXPORT_FOLDER}"
    output = pathlib.Path(output)
    name = export.name or model_card.model_name(source.title)
    checkpoint, models = exportables.load_models(source, name, export)
    step = int(checkpoint.rsplit("-", 1)[1])
    about = model_card.record(
        name=name,
        options=source.options,
        step=step,
        version=_choose_version(export, output, [model.name for model in models]),
        metrics=_metrics(export.run_dir, step),
        licence=export.licence,
    )
    with staging(output, (OSError, tf.errors.OpError)) as folder:
        plan, references = [], {}
        for model in models:
            plan += _write_files(model, export, about["version"], folder, references)
        LOG.info("Verifying in a fresh process")
        rows = verification.verify(plan, references, folder)
        LOG.info(model_card.table(rows))
        failures = [f"{r['path']}: {r['problem']}" for r in rows if r["problem"]]
        if failures:
            raise UserError("Not exported. " + "; ".join(failures) + ".")
        number = min(len(outputs) for _, outputs in references.values())
        about["verified_on"] = f"{number} {_inputs(source, export)}"
        about = _write_record(about, rows, folder)
        _write_serving_files(about, folder)
        _put_in_place(folder, output)
    for direction, path in about["recommended"].items():
        LOG.info(f"For a phone, {direction}: {output / path}")
    LOG.info(f"Exported version {about['version']} to {output}")
    return rows


def _inputs(source: exportables.Source, export: ExportOptions) -> str:
    """Names the inputs of the verification."""
    if export.pictures:
        return "pictures of a folder"
    return f"test pictures of {source.title}" if source.pictures else "digits"


def _check_sizes(export: ExportOptions, multiple: int) -> None:
    for size in filter(None, export.tflite_sizes):
        if size[0] % multiple or size[1] % multiple or min(size) < 8:
            raise UserError(
                f"`tflite_size` must be multiples of {multiple}, at least 8, for this "
                f"generator. Received: {size[0]}x{size[1]}."
            )


def _choose_version(export, output: pathlib.Path, names: list[str]) -> int:
    """The version of the options, or the one after the last of all directions."""
    taken = {
        int(path.name)
        for name in names
        for path in (output / "saved_model" / name).glob("*")
        if path.name.isdecimal()
    }
    if export.version in taken:
        raise UserError(
            f"Version {export.version} of {', '.join(names)} exists in "
            f"{output / 'saved_model'}. Versions are never overwritten."
        )
    return export.version or max(taken, default=0) + 1


def _metrics(run_dir: str, step: int) -> dict:
    metrics = {}
    for entry in read_log(pathlib.Path(run_dir) / LOG_FILE):
        if entry["step"] <= step:
            metrics |= {k: v for k, v in entry.items() if k not in _NOT_METRICS}
    return metrics


# --- Files of a generator


def _write_files(model, export, version: int, folder, references: dict) -> list[dict]:
    """Writes the files of a generator; gives rows for `verify` and adds references."""
    plan = []
    for name in export.formats:
        LOG.info(f"{model.name}: {name}")
        for row in WRITERS[name](model, export, version, folder):
            row |= {"direction": model.direction, "pictures": []}
            for size in row.pop("sizes"):
                reference = f"{model.name}/{size[0]}x{size[1]}"
                row["pictures"].append(reference)
                if reference not in references:
                    # The tolerances are for a CPU; Python may use a GPU.
                    with tf.device("CPU:0"):
                        references[reference] = model.reference(size)
            plan.append(row)
    return plan


def _write_saved_model(model, export, version: int, folder) -> list[dict]:
    place = f"saved_model/{model.name}/{version}"
    (folder / place).parent.mkdir(parents=True)
    signatures = model.signatures()
    saved_model.write(folder / place, model.generator, signatures)
    saved_model.write_warmup(folder / place, model.name, model.warmup())
    return [
        {"path": f"{place}:{signature}", "kind": signature, "sizes": model.any_sizes}
        for signature in model.verified_signatures
    ]


def _write_keras_file(model, export, version: int, folder) -> list[dict]:
    place = f"keras/{model.name}.keras"
    (folder / place).parent.mkdir(exist_ok=True)
    conversion.portable_generator(model.generator).save(folder / place)
    return [{"path": place, "kind": "keras", "sizes": [model.size]}]


def _write_tflite(model, export, version: int, folder) -> list[dict]:
    (folder / "tflite").mkdir(exist_ok=True)
    rows = []
    for size in dict.fromkeys(export.tflite_sizes or (model.size,)):
        suffix = f"_{size[0]}x{size[1]}" if size else "_any"
        for kind in export.tflite_types:
            end = "" if size == model.size else suffix
            place = f"tflite/{model.name}_{kind}{end}.tflite"
            LOG.info(f"  {place}")
            content, more = model.tflite(kind, size)
            (folder / place).write_bytes(content)
            sizes = [size] if size else model.any_sizes
            rows.append({"path": place, "kind": kind, "sizes": sizes, **more})
    return rows


# From a model, options, a version and a folder to rows with `path`, `kind` and `sizes`.
WRITERS = {
    "savedmodel": _write_saved_model,
    "keras": _write_keras_file,
    "tflite": _write_tflite,
}


# --- Records, and the final places


def _write_record(about: dict, rows: list[dict], folder: pathlib.Path) -> dict:
    """Writes `export.json` and card of some files; gives the content of the first."""
    recommended = {}
    for direction in DIRECTIONS:
        of_direction = [row for row in rows if row["direction"] == direction]
        if path := model_card.recommended(of_direction):
            recommended[direction] = path
    about = {**about, "parity": rows, "recommended": recommended}
    record = json.dumps(about, indent=2) + "\n"
    (folder / model_card.RECORD_FILE).write_text(record)
    (folder / model_card.CARD_FILE).write_text(model_card.model_card(about))
    return about


def _write_serving_files(about: dict, folder: pathlib.Path) -> None:
    """Writes record and card beside each SavedModel, and the server's settings."""
    for version in folder.glob("saved_model/*/*"):
        place = f"{version.relative_to(folder)}:"
        rows = [row for row in about["parity"] if row["path"].startswith(place)]
        _write_record({**about, "name": version.parent.name}, rows, version)
        batching = version.parents[1] / saved_model.BATCHING_FILE
        batching.write_text(saved_model.BATCHING_PARAMETERS)


def _put_in_place(folder: pathlib.Path, output: pathlib.Path) -> None:
    """Moves all files to their places; versions are new, other files are replaced."""
    with contextlib.ExitStack() as undo:
        for version in sorted(folder.glob("saved_model/*/*")):
            target = output / version.relative_to(folder)
            undo.enter_context(ensured_folder(target.parent))
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
