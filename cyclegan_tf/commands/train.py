"""`train`: its flags are the fields of `Config`.

TensorFlow is imported where it is used, so that `--help` and a refused flag answer at
once.
"""

import dataclasses
import pathlib
import sys

from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.config import GROUPS, Config
from cyclegan_tf.presets import PRESETS, default_run_dir
from cyclegan_tf.process import without_native_messages
from cyclegan_tf.run_directory import CONFIG_FILE, check_same, load_config
from cyclegan_tf.validation import check_choice

SUMMARY = (
    "Trains CycleGAN on two sets of pictures. Run the same command again to go on with "
    "a run."
)

GENERAL = {
    "preset": ("", "one of the presets below; other flags override it"),
    "dry_run": (False, "print the configuration, parameters and steps, and stop"),
}


def main(arguments: list[str]) -> None:
    """Resolves the configuration, then trains or prints the plan."""
    program.no_arguments(arguments)
    config = config_from_flags(flags.FLAGS)
    with without_native_messages():
        from cyclegan_tf.training import strategies, train
        from cyclegan_tf.training.loop import NonFiniteLossError

        devices = strategies.devices()
    if flags.FLAGS.dry_run:
        print(train.describe(config))
        return
    print(f"Devices: {devices}. Run directory: {config.run_dir}", flush=True)
    try:
        train.train(config)
    except NonFiniteLossError as error:
        sys.exit(f"error: {error}")


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Makes an absl flag of each field of `Config`, and `--preset` and `--dry_run`."""
    table = {field.name: _row(field) for field in dataclasses.fields(Config)}
    program.define_flags({**GENERAL, **table}, values)


def _row(field: dataclasses.Field) -> tuple:
    return field.default, field.metadata["text"]


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
    check_same(config)
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


def help_text(called: str) -> str:
    """What `--help` prints: flags by group with their defaults, then the presets."""
    lines = [f"usage: {called} [--FLAG VALUE ...]", "", SUMMARY]
    general = [
        ("--preset NAME", GENERAL["preset"][1]),
        ("--dry_run", GENERAL["dry_run"][1]),
        ("--help", "print this"),
    ]
    lines += ["", "General"] + [program.entry(*row) for row in general]
    for group in GROUPS:
        lines += ["", group]
        for field in dataclasses.fields(Config):
            if field.metadata["group"] == group:
                lines.append(program.entry(_usage(field), _explained(field)))
    lines += ["", "Presets"]
    lines += [program.entry(name, preset.record) for name, preset in PRESETS.items()]
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
