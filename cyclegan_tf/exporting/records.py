"""What is written about an export: `export.json`, the model card, labels, versions.

Imports no TensorFlow.
"""

import dataclasses
import importlib.metadata
import math
import pathlib
import platform

from cyclegan_tf import __version__
from cyclegan_tf.config import Config

RECORD_FILE = "export.json"
CARD_FILE = "README.md"

MINIMUM_PSNR = 30.0
INTEGER_KINDS = ("dynamic_int8", "int8", "int16x8")
TFLITE_KINDS = ("float32", "float16", *INTEGER_KINDS)

# What X and Y of the drawn data sets show.
_LABELS = {
    "shapes": ("plain body", "striped body"),
    "shapes_anywhere": ("plain body", "striped body"),
    "shapes_colour": ("brown body", "white body"),
    "shapes_upside_down": ("upright body", "body upside down"),
}

# Fields of a configuration that tell of the machine, not of the model.
_LOCAL = ("run_dir", "data_dir")


def model_name(dataset: str) -> str:
    """What a model is called after its data set, a name or a folder."""
    name = pathlib.PurePath(dataset.removeprefix("cycle_gan/")).name
    kept = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
    return kept.strip("_") or "model"


def labels(dataset: str) -> tuple[str, str]:
    """What the pictures of X and Y show: `horse`, `zebra` of `horse2zebra`."""
    if dataset in _LABELS:
        return _LABELS[dataset]
    first, two, second = model_name(dataset).partition("2")
    if not (first and two and second) or first[-1].isdigit() or second[0].isdigit():
        return "A", "B"
    return first, second


def versions() -> dict[str, str]:
    """Versions of ours, of Python and of the packages that an export depends on."""
    packages = ("tensorflow", "keras", "numpy", "pillow")
    found = {name: importlib.metadata.version(name) for name in packages}
    return {
        "cyclegan_tf": __version__,
        "python": platform.python_version(),
        **found,
    }


def record(
    *,
    name: str,
    kind: str,
    config: Config,
    step: int,
    version: int,
    metrics: dict,
    licence: str,
) -> dict:
    """What `export.json` says of a run, before its files are known."""
    fields = dataclasses.asdict(config)
    if pathlib.PurePath(config.dataset).is_absolute():
        fields["dataset"] = pathlib.PurePath(config.dataset).name
    return {
        "name": name,
        "kind": kind,
        "version": version,
        "labels": dict(zip(("A", "B"), labels(config.dataset), strict=True)),
        "licence": licence,
        "step": step,
        "metrics": metrics,
        "versions": versions(),
        "config": {k: v for k, v in fields.items() if k not in _LOCAL},
    }


def model_card(about: dict) -> str:
    """The README that goes with exported files.

    Args:
      about: What `export.json` holds, with `parity` and `verified_on`.
    """
    config, (a, b) = about["config"], about["labels"].values()
    size = config["image_size"]
    lines = [
        f"# {about['name']}, version {about['version']}",
        "",
        f"A {about['kind']}: A2B translates {a} to {b}, B2A {b} to {a}.",
        f"Trained for {about['step']:,} steps on `{config['dataset']}` at {size} px "
        f"with a `{config['generator']}` generator. Licence: {about['licence']}.",
        "",
        "Takes and gives RGB pictures: pixels in [0, 255], or floats in [-1, 1]. Made "
        "for pictures like those it was trained on; on others it may do nothing, or "
        "paint textures where none belong.",
        "",
        f"Compared with the Keras generator on {about['verified_on']}; errors on "
        "[-1, 1], PSNR in dB, milliseconds a picture on two threads:",
        "",
        "| file | MB | largest error | mean error in levels of 255 | PSNR | ms |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in about["parity"]:
        psnr = "exact" if row["psnr"] is None else f"{row['psnr']:.1f}"
        lines.append(
            f"| `{row['path']}` | {row['bytes'] / 1e6:.2f} | {row['max_error']:.2g} | "
            f"{row['mean_error'] * 127.5:.2f} | {psnr} | {row['milliseconds']:.1f} |"
        )
    for direction, path in about["recommended"].items():
        lines += ["", f"For a phone, {direction}: `{path}`."]
    if about["metrics"]:
        lines += ["", "Last training metrics: "]
        lines += [f"- {name}: {value:.4g}" for name, value in about["metrics"].items()]
    lines += ["", "All values: `export.json`. Made by cyclegan_tf."]
    return "\n".join(lines) + "\n"


def recommended(rows: list[dict]) -> str | None:
    """The TFLite file of one direction that a phone should get.

    Of the integer files of at least MINIMUM_PSNR that take at most twice as long as the
    fastest of them, the most exact; if there is none, the float16 file. (Twice, since
    int16x8 takes twenty times as long, and the others differ by less than noise does.)
    Files of further sizes are left out.
    """
    files = [row for row in rows if row["kind"] in TFLITE_KINDS]
    files = [row for row in files if row["pictures"] == files[0]["pictures"]]
    integers = [row for row in files if row["kind"] in INTEGER_KINDS]
    good = [row for row in integers if _psnr(row) >= MINIMUM_PSNR]
    if good:
        fastest = min(row["milliseconds"] for row in good)
        quick = [row for row in good if row["milliseconds"] <= 2 * fastest]
        return max(quick, key=_psnr)["path"]
    halves = [row["path"] for row in files if row["kind"] == "float16"]
    return halves[0] if halves else None


def _psnr(row: dict) -> float:
    return math.inf if row["psnr"] is None else row["psnr"]


def table(rows: list[dict]) -> str:
    """The results as text: file, size, largest error, PSNR, milliseconds."""
    width = max(len(row["path"]) for row in rows)
    lines = [f"{'file':<{width}}  {'MB':>7} {'max error':>10} {'PSNR':>6} {'ms':>8}"]
    for row in rows:
        psnr = "exact" if row["psnr"] is None else f"{row['psnr']:.1f}"
        lines.append(
            f"{row['path']:<{width}}  {row['bytes'] / 1e6:7.2f} "
            f"{row['max_error']:10.2g} {psnr:>6} {row['milliseconds']:8.1f}"
        )
    return "\n".join(lines)
