"""`train`: its flags are the options of all models.

TensorFlow is imported where it is used, so that `--help` and a refused flag answer at
once.
"""

import dataclasses
import pathlib
import re
import sys
from collections.abc import Sequence

from absl import flags

from cyclegan_tf.base_options import GROUPS, BaseOptions
from cyclegan_tf.commands.program import Command, Flag, entry, flag_entry
from cyclegan_tf.config import Config
from cyclegan_tf.family.shared.options import OPTIONS
from cyclegan_tf.messages import LOG, UserError, check_choice, without_native_messages
from cyclegan_tf.training.presets import PRESETS, run_dir_of
from cyclegan_tf.training.run_directory import (
    CONFIG_FILE,
    check_same,
    load_config,
    load_options,
)

_GENERAL = {
    "preset": Flag("", "one of the presets below; other flags override it"),
    "model": Flag("", "the model, without a preset: " + ", ".join(OPTIONS)),
    "dry_run": Flag(False, "print the configuration, parameters and steps, and stop"),
}


def _train(values: flags.FlagValues) -> None:
    """Trains, or prints the plan."""
    config = config_from_flags(values)
    with without_native_messages():
        from cyclegan_tf.training import devices, train
        from cyclegan_tf.training.nan_checks import NonFiniteLossError

        found = devices.describe_devices()
        if config.shares_cores:
            devices.share_cores()
    if values.dry_run:
        print(train.describe(config))
        return
    LOG.info(f"Devices: {found}. Run directory: {config.run_dir}")
    try:
        train.train(config)
    except NonFiniteLossError as error:
        sys.exit(f"error: {error}")


def config_from_flags(values: flags.FlagValues) -> BaseOptions:
    """The configuration from parsed flags.

    Flags on the command line win. The others come from the preset, else from the run
    in the run directory, else from the defaults of the model; with `initialize_from`,
    network flags come from its run first.

    Raises:
      UserError: a value is out of range, the preset or the model is unknown, the model
        has no such option, or the run directory has another configuration.
    """
    preset, base = values.preset, _base(values)
    given = _given(values, base)
    if not given.get("run_dir"):
        data = {"dataset": given["dataset"]} if "dataset" in given else {}
        given["run_dir"] = run_dir_of(preset, dataclasses.replace(base, **data))
    stored = None
    if (pathlib.Path(given["run_dir"]) / CONFIG_FILE).exists():
        stored = load_options(given["run_dir"])
        if stored.model != base.model:
            check_same(dataclasses.replace(base, run_dir=given["run_dir"]))
    given = {**_networks_of(given.get("initialize_from"), stored), **given}
    if stored is not None and not preset:
        base = stored
    config = dataclasses.replace(base, **given)
    check_same(config)
    return config


def _base(values: flags.FlagValues) -> BaseOptions:
    """The preset, or the defaults of the given model or of the run's model."""
    preset, model = values.preset, values.model
    if preset:
        check_choice("preset", preset, PRESETS)
        base = PRESETS[preset].config
        if model not in ("", base.model):
            raise UserError(
                f"`preset` {preset} is for the model `{base.model}`. Received also "
                f"`model` {model!r}."
            )
        return base
    if model:
        check_choice("model", model, OPTIONS)
        return OPTIONS[model]()
    run_dir = values.run_dir
    if run_dir and (pathlib.Path(run_dir) / CONFIG_FILE).exists():
        return type(load_options(run_dir))()
    return Config()


def _given(values: flags.FlagValues, base: BaseOptions) -> dict:
    """The options on the command line, by name, if the model has them all."""
    own = [field.name for field in dataclasses.fields(base)]
    names = TRAIN.flags.keys() - _GENERAL.keys()
    given = {name: values[name].value for name in names if values[name].present}
    if foreign := sorted(given.keys() - set(own)):
        raise UserError(
            f"The model `{base.model}` has no `{foreign[0]}`; it has {', '.join(own)}."
        )
    return given


def _networks_of(initialize_from: str | None, stored: Config | None) -> dict:
    """The network fields of the run with the initial weights; none without one.

    A run that has begun has them itself: the other run may be gone.
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


def _sections() -> dict[str, list[str]]:
    """Flags by group, then the presets, for the command line's preset or model."""
    kind = _requested_kind(sys.argv[1:])
    help_row = entry("--help", "print this; after --preset NAME, for its model")
    general = [flag_entry(name, flag) for name, flag in _GENERAL.items()]
    sections = {"General": [*general, help_row], **{group: [] for group in GROUPS}}
    for field in dataclasses.fields(kind):
        row = flag_entry(field.name, _flag(field))
        sections[field.metadata["group"]].append(row)
    presets = {n: p for n, p in PRESETS.items() if kind in (Config, p.options)}
    return sections | {"Presets": [entry(n, p.record) for n, p in presets.items()]}


def _requested_kind(arguments: Sequence[str]) -> type[BaseOptions]:
    """The options of the command line's model; CycleGAN's without one."""
    line = " ".join(arguments).replace("=", " ")
    if found := re.search(r"--?(preset|model) (\S+)", line):
        flag, name = found.groups()
        if flag == "preset" and name in PRESETS:
            return PRESETS[name].options
        if flag == "model" and name in OPTIONS:
            return OPTIONS[name]
    return Config


def _flag(field: dataclasses.Field) -> Flag:
    text, choices, is_path = (
        field.metadata[key] for key in ("text", "choices", "is_path")
    )
    return Flag(field.default, text, choices, is_path=is_path)


TRAIN = Command(
    _train,
    # CycleGAN is first in OPTIONS: its texts win.
    _GENERAL
    | {
        field.name: _flag(field)
        for kind in reversed(OPTIONS.values())
        for field in dataclasses.fields(kind)
    },
    "Trains CycleGAN on two sets of pictures, or another model. Run the same command "
    "again to continue a run.",
    ("[--FLAG VALUE ...]",),
    sections=_sections,
)
