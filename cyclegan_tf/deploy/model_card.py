"""`export.json` and the model card of an export, its table, the file for a phone.

Imports no TensorFlow.
"""

import dataclasses
import importlib.metadata
import math
import pathlib
import platform

from cyclegan_tf import __version__
from cyclegan_tf.base_options import BaseOptions

RECORD_FILE = "export.json"
CARD_FILE = "README.md"

MINIMUM_PSNR = 30.0
INTEGER_KINDS = ("dynamic_int8", "int8")
TFLITE_KINDS = ("float32", "float16", *INTEGER_KINDS)

_KINDS = {
    "cyclegan": "CycleGAN (arXiv 1703.10593)",
    "pix2pix": "pix2pix (arXiv 1611.07004)",
    "dcgan": "DCGAN (arXiv 1511.06434)",
    "conditional": "conditional GAN (arXiv 1411.1784)",
    "vae": "VAE (arXiv 1312.6114)",
}

# The pictures of X and Y in the drawn data sets.
_LABELS = {
    "shapes": ("plain body", "striped body"),
    "shapes_anywhere": ("plain body", "striped body"),
    "shapes_colour": ("brown body", "white body"),
    "shapes_upside_down": ("upright body", "body upside down"),
}

# Fields of a configuration that describe the machine, not the model.
_LOCAL = ("run_dir", "data_dir")


def model_name(dataset: str) -> str:
    """The name of a model, from its data set, a name or a folder."""
    name = pathlib.PurePath(dataset.removeprefix("cycle_gan/")).name
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
    return safe.strip("_") or "model"


def labels(dataset: str) -> tuple[str, str]:
    """The pictures of X and Y in words: `horse`, `zebra` for `horse2zebra`."""
    if dataset in _LABELS:
        return _LABELS[dataset]
    first, two, second = model_name(dataset).partition("2")
    if not (first and two and second) or first[-1].isdigit() or second[0].isdigit():
        return "A", "B"
    return first, second


def record(
    *,
    name: str,
    options: BaseOptions,
    step: int,
    version: int,
    metrics: dict,
    licence: str,
) -> dict:
    """The content of `export.json`, without `parity` and `verified_on`.

    `step` is that of the checkpoint, `version` that of the SavedModels.
    """
    fields = dataclasses.asdict(options)
    packages = ("tensorflow", "keras", "numpy", "pillow")
    about = {
        "name": name,
        "kind": _KINDS[options.model],
        "version": version,
        "licence": licence,
        "step": step,
        "metrics": metrics,
        "versions": {
            "cyclegan_tf": __version__,
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in packages},
        },
    }
    if "dataset" in fields:
        about["labels"] = dict(zip("AB", labels(options.dataset), strict=True))
        if pathlib.PurePath(options.dataset).is_absolute():
            fields["dataset"] = pathlib.PurePath(options.dataset).name
    return {**about, "config": {k: v for k, v in fields.items() if k not in _LOCAL}}


def model_card(about: dict) -> str:
    """The README of an export, from the content of `export.json`."""
    config = about["config"]
    lines = [
        f"# {about['name']}, version {about['version']}",
        "",
        f"A {about['kind']}: makes digits of 28x28 pixels from latents.",
        f"Trained for {about['step']:,} steps on drawn digits. "
        f"Licence: {about['licence']}.",
    ]
    if "labels" in about:
        a, b = about["labels"].values()
        lines[2:] = [
            f"A {about['kind']}: A2B translates {a} to {b}, B2A {b} to {a}.",
            f"Trained for {about['step']:,} steps on `{config['dataset']}` at "
            f"{config['image_size']} px with a `{config.get('generator', 'unet')}` "
            f"generator. Licence: {about['licence']}.",
            "",
            "Takes and gives RGB pictures: pixels in [0, 255], or floats in [-1, 1]. "
            "Use it on pictures like those of its training. On others it may do "
            "nothing, or paint textures in wrong places.",
        ]
    lines += [
        "",
        f"Compared with the Keras generator on {about['verified_on']}; errors on "
        "[-1, 1], PSNR in dB, milliseconds a picture on two threads:",
        "",
        "| file | MB | largest error | mean error in levels of 255 | PSNR | ms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{row['path']}` | {row['bytes'] / 1e6:.2f} | {row['max_error']:.2g} | "
        f"{row['mean_error'] * 127.5:.2f} | {_psnr_text(row)} | "
        f"{row['milliseconds']:.1f} |"
        for row in about["parity"]
    ]
    for direction, path in about["recommended"].items():
        lines += ["", f"For a phone, {direction}: `{path}`."]
    if about["metrics"]:
        lines += ["", "Last training metrics: "]
        lines += [f"- {name}: {value:.4g}" for name, value in about["metrics"].items()]
    return "\n".join(
        [*lines, "", "All values: `export.json`. Written by cyclegan_tf.\n"]
    )


def table(rows: list[dict]) -> str:
    """The results as text: file, size, largest error, PSNR, milliseconds."""
    width = max(len(row["path"]) for row in rows)
    lines = [f"{'file':<{width}}  {'MB':>7} {'max error':>10} {'PSNR':>6} {'ms':>8}"]
    lines += [
        f"{row['path']:<{width}}  {row['bytes'] / 1e6:7.2f} {row['max_error']:10.2g} "
        f"{_psnr_text(row):>6} {row['milliseconds']:8.1f}"
        for row in rows
    ]
    return "\n".join(lines)


def _psnr_text(row: dict) -> str:
    return "exact" if row["psnr"] is None else f"{row['psnr']:.1f}"


def recommended(rows: list[dict]) -> str | None:
    """The TFLite file of one direction for a phone.

    The most exact integer file with a PSNR of at least MINIMUM_PSNR and at most twice
    the time of the fastest such file; without one, the float16 file. Files of further
    sizes do not count.
    """

    def psnr(row: dict) -> float:
        return math.inf if row["psnr"] is None else row["psnr"]

    files = [row for row in rows if row["kind"] in TFLITE_KINDS]
    files = [row for row in files if row["pictures"] == files[0]["pictures"]]
    integers = [row for row in files if row["kind"] in INTEGER_KINDS]
    good = [row for row in integers if psnr(row) >= MINIMUM_PSNR]
    if good:
        fastest = min(row["milliseconds"] for row in good)
        quick = [row for row in good if row["milliseconds"] <= 2 * fastest]
        return max(quick, key=psnr)["path"]
    halves = [row["path"] for row in files if row["kind"] == "float16"]
    return halves[0] if halves else None
