"""Exports what makes digits of a latent, or of a label: a SavedModel and TFLite files.

Written aside, run by a fresh process, and put in place if that gave what the generator
gives, as `export.py` does for what translates pictures.
"""

import dataclasses
import json
import os
import pathlib
import warnings

import keras
import numpy as np
import tensorflow as tf

from cyclegan_tf.compat import as_tf_variable
from cyclegan_tf.data import digits
from cyclegan_tf.data.images import to_uint8
from cyclegan_tf.exporting import records
from cyclegan_tf.exporting.export import publish
from cyclegan_tf.exporting.request import FORMATS, Request
from cyclegan_tf.exporting.request import TFLITE_TYPES as ALL_TFLITE_TYPES
from cyclegan_tf.exporting.verification import PLAN_FILE, REFERENCES_FILE, run_aside
from cyclegan_tf.files import scratch, staging
from cyclegan_tf.messages import without_native_messages
from cyclegan_tf.networks.digits import generator
from cyclegan_tf.options import DCGAN, Conditional, FamilyOptions
from cyclegan_tf.process import delayed_signals
from cyclegan_tf.run_directory import EXPORT_FOLDER
from cyclegan_tf.training import checkpoints
from cyclegan_tf.validation import UserError, check_choice

TFLITE_TYPES = ("float32", "int8")
_TRIED, _CALIBRATED = 8, 200


@dataclasses.dataclass(frozen=True)
class _Maker:
    """A generator and what it is asked by.

    Attributes:
      generator: From vectors to images in [-1, 1].
      latent_size: Numbers of a latent, the first of a vector.
      num_classes: Those after it, one for each label; 0 without labels.
    """

    generator: keras.Model
    latent_size: int
    num_classes: int

    def make(self, latent: tf.Tensor, label: tf.Tensor | None = None) -> tf.Tensor:
        """Images [batch, 28, 28, 1] in [-1, 1] of latents, and of labels if any."""
        if label is not None:
            label = tf.one_hot(label, self.num_classes)
            latent = tf.concat([latent, label], axis=1)
        return self.generator(latent, training=False)


def export(request: Request, options: FamilyOptions) -> list[dict]:
    """Exports the generator of a run, and prints a table of what was written.

    Args:
      request: What to export: `formats`, `tflite_types`, `output`, `version`, `name`.
      options: Of the run, a `dcgan` or a `conditional`.

    Returns:
      A row for each file or signature: `path`, `bytes`, `max_error` on [-1, 1] and
      `psnr` in decibels, None if exact, over eight digits.

    Raises:
      UserError: the run can't be used, the version is there, a file can't be written,
        or one gives something else than the generator. Nothing is left then.
    """
    if options.model not in _MAKERS:
        raise UserError(
            f"`run_dir` {request.run_dir} is of the model `{options.model}`, which "
            f"makes no pictures to export; {', '.join(_MAKERS)} do."
        )
    formats = _known("formats", request.formats, FORMATS, ("savedmodel", "tflite"))
    kinds = _known("tflite_types", request.tflite_types, ALL_TFLITE_TYPES, TFLITE_TYPES)
    maker = _MAKERS[options.model](options)
    networks = {"generator": maker.generator}
    checkpoints.take_over(networks, request.run_dir, "run_dir")
    name = request.name or options.model
    output = pathlib.Path(
        os.path.expanduser(request.output or f"{request.run_dir}/{EXPORT_FOLDER}")
    )
    version = request.version or _next_version(output / "saved_model" / name)
    place = f"saved_model/{name}/{version}"
    if (output / place).exists():
        raise UserError(f"{output / place} exists. Versions are never written over.")
    with staging(output, (OSError, tf.errors.OpError)) as folder:
        tried, plan = _inputs(maker, _TRIED), []
        if "savedmodel" in formats:
            plan += _write_saved_model(maker, folder, place)
        if "tflite" in formats:
            plan += [_write_tflite(maker, folder, name, kind) for kind in kinds]
        rows = _tried(folder, plan, tried, maker.make(**tried).numpy())
        _write_record(folder, name, version, options, rows)
        publish(folder, output)
    print(f"Exported version {version} to {output}")
    return rows


def _known(name: str, asked, every, ours) -> tuple[str, ...]:
    """Ours of every choice that there is; else what is asked for, if all are ours."""
    if set(asked) == set(every):
        return ours
    for value in asked:
        check_choice(name, value, ours)
    return asked


def _dcgan(options: DCGAN) -> _Maker:
    size = options.num_filters, options.norm
    return _Maker(generator(options.latent_size, *size), options.latent_size, 0)


def _conditional(options: Conditional) -> _Maker:
    latents, classes = options.latent_size, digits.NUM_CLASSES
    made = generator(latents + classes, options.num_filters, "batch")
    return _Maker(made, latents, classes)


_MAKERS = {"dcgan": _dcgan, "conditional": _conditional}


def _next_version(folder: pathlib.Path) -> int:
    taken = [int(p.name) for p in folder.glob("*") if p.name.isdecimal()]
    return max(taken, default=0) + 1


def _inputs(maker: _Maker, number: int) -> dict[str, tf.Tensor]:
    """Latents, and labels in turn if there are any."""
    latent = tf.random.stateless_normal([number, maker.latent_size], (0, 1))
    if not maker.num_classes:
        return {"latent": latent}
    return {"latent": latent, "label": tf.range(number) % maker.num_classes}


# --- SavedModel


def _write_saved_model(maker: _Maker, folder: pathlib.Path, place: str) -> list[dict]:
    """`serving_default` gives PNGs; `generate` images, float32 in [-1, 1].

    Both take `latent`, float32 [batch, latent_size], and with labels `label`, int64
    [batch]. Without a latent of one's own there is `from_label`, PNGs of `label` and
    `seed`, int64 [batch]: the same seed draws the same latent.
    """
    latents = tf.TensorSpec([None, maker.latent_size], tf.float32, name="latent")
    labels = tf.TensorSpec([None], tf.int64, name="label")
    seeds = tf.TensorSpec([None], tf.int64, name="seed")
    specs = [latents, labels] if maker.num_classes else [latents]

    def generate(latent, label=None):
        if label is not None:
            with tf.control_dependencies(_checks(latent, label, maker.num_classes)):
                latent, label = tf.identity(latent), tf.identity(label)
        return {"images": maker.make(latent, label)}

    def pngs(latent, label=None):
        pixels = to_uint8(generate(latent, label)["images"])
        made = tf.map_fn(tf.io.encode_png, pixels, fn_output_signature=tf.string)
        return {"image_bytes": made}

    def from_label(label, seed):
        def draw(one):
            pair = tf.stack([one, tf.zeros_like(one)])
            return tf.random.stateless_normal([maker.latent_size], pair)

        latent = tf.map_fn(draw, seed, fn_output_signature=tf.float32)
        return pngs(latent, label)

    def traced(function, *of):
        return tf.function(function, input_signature=of, autograph=False)

    signatures = {"serving_default": traced(pngs, *specs)}
    signatures["generate"] = traced(generate, *specs)
    if maker.num_classes:
        signatures["from_label"] = traced(from_label, labels, seeds)
    module = tf.Module()
    module.weights = [as_tf_variable(v) for v in maker.generator.variables]
    tf.saved_model.save(module, str(folder / place), signatures=signatures)
    kinds = ("serving_default", "generate")
    return [{"path": f"{place}:{kind}", "kind": kind} for kind in kinds]


def _checks(latent: tf.Tensor, label: tf.Tensor, num_classes: int) -> list:
    """What fails, with a line, for labels that do not exist or fit the latents."""
    wrong = tf.boolean_mask(label, (label < 0) | (label >= num_classes))
    told = f"`label` must be 0 to {num_classes - 1}. Received:"
    numbers = tf.shape(latent)[0], tf.size(label)
    as_many = ["`label` must be as many as `latent`. Received:", numbers[1], numbers[0]]
    return [
        tf.debugging.Assert(tf.size(wrong) == 0, [told, wrong[:1]], summarize=1),
        tf.debugging.Assert(numbers[0] == numbers[1], as_many),
    ]


# --- TFLite


def _write_tflite(maker: _Maker, folder: pathlib.Path, name: str, kind: str) -> dict:
    """A file from `latent` [1, latent_size], and `label` [1] int32, to `image`."""
    calibration = _inputs(maker, _CALIBRATED)
    specs = [
        tf.TensorSpec([1, *value.shape[1:]], value.dtype, name=key)
        for key, value in calibration.items()
    ]

    def generate(latent, label=None):
        return {"image": maker.make(latent, label)}

    module = tf.Module()
    module.weights = [as_tf_variable(v) for v in maker.generator.variables]
    function = tf.function(generate, input_signature=specs, autograph=False)
    with scratch() as aside:
        tf.saved_model.save(module, aside, signatures={"generate": function})
        converter = tf.lite.TFLiteConverter.from_saved_model(
            aside, signature_keys=["generate"]
        )
        if kind == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                {key: value[i : i + 1].numpy() for key, value in calibration.items()}
                for i in range(_CALIBRATED)
            )
        with warnings.catch_warnings(), delayed_signals(), without_native_messages():
            # That the interpreter which calibrates has moved to another package.
            warnings.simplefilter("ignore", UserWarning)
            content = converter.convert()
    place = f"tflite/{name}_{kind}.tflite"
    (folder / place).parent.mkdir(exist_ok=True)
    (folder / place).write_bytes(content)
    return {"path": place, "kind": kind}


# --- Trying out, and the record


def _tried(folder, plan: list[dict], inputs: dict, outputs: np.ndarray) -> list[dict]:
    """Has `run_generated.py` run the files in a process that knows nothing of ours."""
    (folder / PLAN_FILE).write_text(json.dumps(plan))
    np.savez(folder / REFERENCES_FILE, outputs=outputs, **inputs)
    rows = run_aside("run_generated", folder)
    for name in (PLAN_FILE, REFERENCES_FILE):
        (folder / name).unlink()
    print(records.table(rows))
    failures = [f"{r['path']}: {r['problem']}" for r in rows if r["problem"]]
    if failures:
        raise UserError("Not exported. " + "; ".join(failures) + ".")
    return rows


def _write_record(
    folder, name: str, version: int, options: FamilyOptions, rows
) -> None:
    fields = {k: v for k, v in dataclasses.asdict(options).items() if k != "run_dir"}
    about = {
        "name": name,
        "version": version,
        "model": options.model,
        "options": fields,
        "made_with": records.versions(),
        "parity": rows,
    }
    record = folder / f"{name}_{records.RECORD_FILE}"
    record.write_text(json.dumps(about, indent=2) + "\n")
