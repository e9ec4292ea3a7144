"""The flags of `train.py`, made from the fields of `Config`, and their `--help`.

Imports no TensorFlow, so that `--help` and a refused flag answer at once.
"""

import dataclasses
import pathlib

from absl import flags

from cyclegan_tf.config import (
    CONFIG_FILE,
    GROUPS,
    Config,
    UserError,
    differences,
    load_config,
)
from cyclegan_tf.presets import PRESETS, default_run_dir
from cyclegan_tf.program import check_choice, entry


def define_flags() -> None:
    """Makes an absl flag of each field of `Config`, and `--preset` and `--dry_run`."""
    flags.DEFINE_string("preset", "", "named set of values; other flags override it")
    flags.DEFINE_boolean(
        "dry_run", False, "print the configuration, parameters and steps, and stop"
    )
    define = {
        bool: flags.DEFINE_boolean,
        int: flags.DEFINE_integer,
        float: flags.DEFINE_float,
        str: flags.DEFINE_string,
    }
    for field in dataclasses.fields(Config):
        define[field.type](field.name, field.default, field.metadata["text"])


def config_from_flags(values: flags.FlagValues) -> Config:
    """The configuration that parsed flags ask for.

    Flags that were given win. The others come from the preset that was named, else
    from the run directory if a run is there, else from the official recipe; those of
    the networks before all from the run that `initialize_from` names.

    Raises:
      UserError: a value is out of range, the preset is unknown, or the run directory
        was made with another configuration.
    """
    given = {
        field.name: values[field.name].value
        for field in dataclasses.fields(Config)
        if values[field.name].present
    }
    preset = values["preset"].value
    if preset:
        check_choice("preset", preset, PRESETS)
    base = PRESETS[preset or "horse2zebra"].config
    dataset = given.get("dataset", base.dataset)
    given["run_dir"] = given.get("run_dir") or default_run_dir(preset, dataset)
    stored = None
    if (pathlib.Path(given["run_dir"]) / CONFIG_FILE).exists():
        stored = load_config(given["run_dir"])
    given = {**_networks_of(given.get("initialize_from"), stored), **given}
    if stored is None:
        return dataclasses.replace(base, **given)
    config = dataclasses.replace(base if preset else stored, **given)
    differing = differences(config, stored)
    if differing:
        raise UserError(
            f"{config.run_dir} holds a run of another configuration ("
            + "; ".join(differing)
            + "). Name another --run_dir, or ask for the same."
        )
    return config


def _networks_of(initialize_from: str | None, stored: Config | None) -> dict:
    """The network fields of the run to begin with; none if there is no such run.

    A run that has begun knows them: where it began may be gone.
    """
    if not initialize_from:
        return {}
    if stored is None or stored.initialize_from != initialize_from:
        stored = load_config(initialize_from)
    return {
        field.name: getattr(stored, field.name)
        for field in dataclasses.fields(Config)
        if field.metadata["group"] == "Networks"
    }


def help_text(program: str, summary: str) -> str:
    """What `--help` prints: flags by group with their defaults, then the presets."""
    lines = [f"usage: python {program} [--FLAG VALUE ...]", "", summary]
    general = [
        ("--preset NAME", "one of the presets below; other flags override it"),
        ("--dry_run", "print the configuration, parameters and steps, and stop"),
        ("--help", "print this"),
    ]
    lines += ["", "General"] + [entry(*row) for row in general]
    for group in GROUPS:
        lines += ["", group]
        for field in dataclasses.fields(Config):
            if field.metadata["group"] == group:
                lines.append(entry(_usage(field), _explained(field)))
    lines += ["", "Presets"]
    lines += [entry(name, preset.record) for name, preset in PRESETS.items()]
    return "\n".join(lines)


def _usage(field: dataclasses.Field) -> str:
    if field.type is bool:
        return f"--[no]{field.name}"
    kinds = {int: "N", float: "X", str: "TEXT"}
    choices = "|".join(field.metadata["choices"])
    return f"--{field.name} {choices or kinds[field.type]}"


def _explained(field: dataclasses.Field) -> str:
    default = "none" if field.default == "" else str(field.default).lower()
    return f"{field.metadata['text']} (default: {default})"
