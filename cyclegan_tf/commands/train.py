"""`train`: its flags are the fields of `Config`, and of the other models' options.

TensorFlow is imported where it is used, so that `--help` and a refused flag answer at
once.
"""

import dataclasses
import pathlib
import re
import sys
import textwrap
from collections.abc import Sequence

from absl import flags

from cyclegan_tf.commands import program
from cyclegan_tf.config import GROUPS, Config
from cyclegan_tf.messages import without_native_messages
from cyclegan_tf.options import OPTIONS, Common
from cyclegan_tf.presets import PRESETS, run_dir_of
from cyclegan_tf.run_directory import (
    CONFIG_FILE,
    check_same,
    load_config,
    load_options,
)
from cyclegan_tf.validation import UserError, check_choice

SUMMARY = (
    "Trains CycleGAN on two sets of pictures, or another model. Run the same command "
    "again to go on with a run."
)

_KINDS = {Config.model: Config, **OPTIONS}

GENERAL = {
    "preset": ("", "one of the presets below; other flags override it"),
    "model": ("", "what is trained without a preset: " + ", ".join(_KINDS)),
    "dry_run": (False, "print the configuration, parameters and steps, and stop"),
}


def main(arguments: list[str]) -> None:
    """Resolves the configuration, then trains or prints the plan."""
    program.no_arguments(arguments)
    config = config_from_flags(flags.FLAGS)
    with without_native_messages():
        from cyclegan_tf.training import devices, train
        from cyclegan_tf.training.nan_checks import NonFiniteLossError

        found = devices.describe_devices()
        if isinstance(config, Config):
            devices.share_cores()
    if flags.FLAGS.dry_run:
        print(train.describe(config))
        return
    print(f"Devices: {found}. Run directory: {config.run_dir}", flush=True)
    try:
        train.train(config)
    except NonFiniteLossError as error:
        sys.exit(f"error: {error}")


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Makes an absl flag of each field of each model, and those of `GENERAL`."""
    table = {}
    for kind in reversed(_KINDS.values()):  # CycleGAN's texts win.
        table |= {field.name: _row(field) for field in dataclasses.fields(kind)}
    program.define_flags({**GENERAL, **table}, values)


def _row(field: dataclasses.Field) -> tuple:
    return field.default, field.metadata["text"]


def config_from_flags(values: flags.FlagValues) -> Config | Common:
    """The configuration that parsed flags ask for.

    Flags that were given win. The others come from the preset that was named, else
    from the run directory if a run is there, else from the official recipe or the
    model's own; those of the networks before all from the run that `initialize_from`
    names.

    Raises:
      UserError: a value is out of range, the preset or the model is unknown, the model
        has no such option, or the run directory was made with another configuration.
    """
    preset, base = values["preset"].value, _base(values)
    given = _given(values, base)
    if not given.get("run_dir"):
        data = {"dataset": given["dataset"]} if "dataset" in given else {}
        given["run_dir"] = run_dir_of(preset, dataclasses.replace(base, **data))
    stored = None
    if (pathlib.Path(given["run_dir"]) / CONFIG_FILE).exists():
        stored = load_options(given["run_dir"])
    given = {**_networks_of(given.get("initialize_from"), stored), **given}
    if stored is None:
        return dataclasses.replace(base, **given)
    if not preset and stored.model == base.model:
        base = stored
    config = dataclasses.replace(base, **given)
    check_same(config)
    return config


def _base(values: flags.FlagValues) -> Config | Common:
    """The preset, or the defaults of the model that is asked for or found."""
    preset, model = values["preset"].value, values["model"].value
    if preset:
        check_choice("preset", preset, PRESETS)
        base = PRESETS[preset].config
        if model not in ("", base.model):
            raise UserError(
                f"`preset` {preset} is of the model `{base.model}`. Received also "
                f"`model` {model!r}."
            )
        return base
    if model:
        check_choice("model", model, _KINDS)
        return _KINDS[model]()
    run_dir = values["run_dir"].value
    if run_dir and (pathlib.Path(run_dir) / CONFIG_FILE).exists():
        return type(load_options(run_dir))()
    return Config()


def _given(values: flags.FlagValues, base: Config | Common) -> dict:
    """The flags that were given, by name, if the model has them all."""
    own = [field.name for field in dataclasses.fields(base)]
    names = {f.name for kind in _KINDS.values() for f in dataclasses.fields(kind)}
    given = {name: values[name].value for name in names if values[name].present}
    foreign = sorted(given.keys() - set(own))
    if foreign:
        raise UserError(
            f"The model `{base.model}` has no `{foreign[0]}`; it has {', '.join(own)}."
        )
    return given


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
    """What `--help` prints: flags by group with their defaults, then the presets.

    The flags are those of the preset or model that the command line names.
    """
    kind = _asked_kind(sys.argv[1:])
    lines = [f"usage: {called} [--FLAG VALUE ...]", "", textwrap.fill(SUMMARY, 88)]
    general = [
        ("--preset NAME", GENERAL["preset"][1]),
        ("--model NAME", GENERAL["model"][1]),
        ("--dry_run", GENERAL["dry_run"][1]),
        ("--help", "print this; after --preset NAME, the flags of its model"),
    ]
    lines += ["", "General"] + [program.entry(*row) for row in general]
    for group in GROUPS:
        fields = dataclasses.fields(kind)
        rows = [field for field in fields if field.metadata["group"] == group]
        lines += ["", group] if rows else []
        lines += [program.entry(_usage(row), _explained(row)) for row in rows]
    lines += ["", "Presets"]
    for name, preset in PRESETS.items():
        if kind in (Config, preset.options):
            lines.append(program.entry(name, preset.record))
    return "\n".join(lines)


def _asked_kind(arguments: Sequence[str]) -> type:
    """The options of the model that a command line names; CycleGAN's if none."""
    told = " ".join(arguments).replace("=", " ")
    if found := re.search(r"--?(preset|model) (\S+)", told):
        flag, name = found.groups()
        if flag == "preset" and name in PRESETS:
            return PRESETS[name].options
        if flag == "model" and name in _KINDS:
            return _KINDS[name]
    return Config


def _usage(field: dataclasses.Field) -> str:
    if field.type is bool:
        return f"--[no]{field.name}"
    kinds = {int: "N", float: "X", str: "TEXT"}
    choices = "|".join(field.metadata["choices"])
    return f"--{field.name} {choices or kinds[field.type]}"


def _explained(field: dataclasses.Field) -> str:
    default = "none" if field.default == "" else str(field.default).lower()
    return f"{field.metadata['text']} (default: {default})"
