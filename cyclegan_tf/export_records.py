"""What is written about an export: `export.json`, the model card, labels, versions.

Imports no TensorFlow.
"""

import dataclasses
import importlib.metadata
import pathlib
import platform

from cyclegan_tf.config import Config

RECORD_FILE = "export.json"
CARD_FILE = "README.md"

# Fields of a configuration that tell of the machine, not of the model.
_LOCAL = ("run_dir", "data_dir")


def model_name(dataset: str) -> str:
    """What a model is called after its data set, a name or a folder."""
    name = pathlib.PurePath(dataset.removeprefix("cycle_gan/")).name
    kept = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
    return kept.strip("_") or "model"


def labels(dataset: str) -> tuple[str, str]:
    """What the pictures of X and Y show: `horse`, `zebra` of `horse2zebra`."""
    if dataset == "shapes":
        return "plain body", "striped body"
    first, two, second = model_name(dataset).partition("2")
    if not (first and two and second) or first[-1].isdigit() or second[0].isdigit():
        return "A", "B"
    return first, second


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that an export depends on."""
    packages = ("tensorflow", "keras", "numpy", "pillow")
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"python": platform.python_version(), **found}


def record(
    *, name: str, config: Config, step: int, version: int, metrics: dict, licence: str
) -> dict:
    """What `export.json` says of a run, before its files are known."""
    fields = dataclasses.asdict(config)
    if pathlib.PurePath(config.dataset).is_absolute():
        fields["dataset"] = pathlib.PurePath(config.dataset).name
    return {
        "name": name,
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
        f"A CycleGAN (arXiv 1703.10593): A2B translates {a} to {b}, B2A {b} to {a}.",
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
