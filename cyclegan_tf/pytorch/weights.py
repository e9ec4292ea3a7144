"""Imports official PyTorch weights into a run, and exports the networks of a run.

An imported run has a checkpoint of networks only; `export`, `translate` and `train
--initialize_from` accept it. TensorFlow is imported late, so that refusals are quick.
"""

import os
import pathlib
import re
from collections.abc import Iterable

import numpy as np

from cyclegan_tf.config import DIRECTIONS, TFDS_CONFIGS, Config
from cyclegan_tf.files import put_in_place, remove_stale, staging
from cyclegan_tf.messages import (
    LOG,
    UserError,
    check_choice,
    reason,
    some_of,
    without_native_messages,
)
from cyclegan_tf.pytorch import files as pytorch_files
from cyclegan_tf.pytorch.networks import (
    MIN_HALVINGS,
    NETWORKS,
    Architecture,
    config_architecture,
    read_network,
    split_key,
    to_pytorch,
)
from cyclegan_tf.pytorch.other_programs import describe_folder
from cyclegan_tf.training.run_directory import (
    CONFIG_FILE,
    LOCK_FILE,
    load_config,
    one_writer,
    read_checkpoint,
)

_SUFFIXES = (".pth", ".pt", ".safetensors")

FORMATS = {
    "pth": pytorch_files.write_pth,
    "safetensors": pytorch_files.write_safetensors,
}

# The official names of generators, by kind and depth.
_OFFICIAL = {
    ("resnet", 6): "--netG resnet_6blocks",
    ("resnet", 9): "--netG resnet_9blocks",
    ("unet", 7): "--netG unet_128",
    ("unet", 8): "--netG unet_256",
}


# The directions in names of files and keys: netG_A2B, b_to_a, G_BA, G_B.
_DIRECTION_NAMES = {
    "B2A": r"((?<![A-Za-z])(?i:b_?(2|to)_?a|y_?(2|to)_?x)|B2A|BtoA|G_BA?)(?![A-Za-z])",
    "A2B": r"((?<![A-Za-z])(?i:a_?(2|to)_?b|x_?(2|to)_?y)|A2B|AtoB|G_AB?)(?![A-Za-z])",
}

# Data set and direction of published models whose names are not those of a data set.
_PUBLISHED = {
    "sat2map": ("maps", "A2B"),
    "map2sat": ("maps", "B2A"),
    "facades_photo2label": ("facades", "A2B"),
    "facades_label2photo": ("facades", "B2A"),
}
for _name in filter(re.compile("[a-z]+2").match, TFDS_CONFIGS):
    _PUBLISHED[re.sub("^([a-z]+)2([a-z]+)", r"\g<2>2\1", _name)] = _name, "B2A"
for _painter in ("monet", "cezanne", "ukiyoe", "vangogh"):
    _PUBLISHED[f"style_{_painter}"] = f"{_painter}2photo", "B2A"


# --- Import


def files_in(folder: str, epoch: str) -> dict[str, str]:
    """Finds the files of our networks in the folder of an official training."""
    root = pathlib.Path(os.path.expanduser(folder))
    # A test of one direction calls its only generator G.
    only = DIRECTIONS[direction_of(str(root / f"{epoch}_net_G"))]
    files = {}
    for official, name in (*NETWORKS.items(), ("G", only)):
        for path in (root / f"{epoch}_net_{official}{suffix}" for suffix in _SUFFIXES):
            if path.is_file():
                files.setdefault(name, str(path))
    if not files:
        names = sorted(path.name for path in root.iterdir())
        if other := describe_folder(names):
            raise UserError(f"{folder} {other}.")
        found = some_of(names, 4) or "no file"
        raise UserError(
            f"{folder} has no {epoch}_net_G_A.pth or the like, but {found}. "
            "--checkpoint can also be a single file."
        )
    return files


def import_networks(
    files: dict[str, str], output: str, image_size: int = 0, dataset: str = ""
) -> None:
    """Creates a run directory with official weights.

    Args:
      files: By our network's name, a PyTorch or safetensors file, or FILE#KEY.
      output: The run directory; it must be empty or not exist.
      image_size: Side of the training pictures; 0: the usual size for the generator.
      dataset: Name of the training data; empty: from the name of the first file.

    Raises:
      UserError: a file is damaged, holds no such network, or does not fit the others;
        or `output` can't be written. Nothing is written then.
    """
    target = pathlib.Path(os.path.expanduser(output))
    _check_free(target)
    found = {name: read_network(name, file) for name, file in files.items()}
    architectures = {name: architecture for name, (architecture, _) in found.items()}
    halvings = [a.depth for a in architectures.values() if a.kind == "unet"]
    size = image_size or (2 ** halvings[0] if halvings else 256)
    config = Config(
        **_network_fields(architectures),
        image_size=size,
        # The official code resizes to 286 and crops 256.
        load_size=size * 286 // 256,
        dataset=dataset or dataset_of(next(iter(files.values()))),
        run_dir=output,
    )
    _write_run(config, {name: weights for name, (_, weights) in found.items()}, target)
    directions = {name: f" ({d})" for d, name in DIRECTIONS.items()}
    for name, architecture in architectures.items():
        kind = f"{name}{directions.get(name, '')}: {architecture.describe()}"
        LOG.info(f"{kind}, from {files[name]}")
    LOG.info(f"Imported to {output}, as a run on {config.dataset!r}. To use it:")
    more = "" if config.dataset in (*TFDS_CONFIGS, "shapes") else " --pictures FOLDER"
    LOG.info(f"  python export.py --run_dir {output}{more}")
    more = "" if "generator_g" in files else " --direction B2A"
    translate = f"python -m cyclegan_tf translate --run_dir {output}{more}"
    LOG.info(f"  {translate} --input PICTURES --output FOLDER")


def _network_fields(architectures: dict[str, Architecture]) -> dict:
    fields = {}
    for role in ("generator", "discriminator"):
        alike = {n: a for n, a in architectures.items() if n.startswith(role)}
        texts = {name: a.describe() for name, a in alike.items()}
        if len(set(texts.values())) > 1:
            both = "; ".join(f"{name}: {text}" for name, text in texts.items())
            raise UserError(f"The two {role}s must be alike ({both}).")
        for architecture in alike.values():
            fields |= architecture.config_fields()
    return fields


def dataset_of(file: str) -> str:
    """Names the training data of a file after the file or its folder.

    `horse2zebra` for `horse2zebra.pth` and `zebra2horse_pretrained/latest_net_G.pth`.
    """
    name = _given_name(file)
    return _PUBLISHED.get(name, (name,))[0] or "imported"


def direction_of(file: str) -> str:
    """Finds the direction of a generator in the names of its key, file and folder.

    B2A for `netG_B2A.pth`, `5_net_G_B.pth`, `all.pth#genB2A` and `zebra2horse.pth`; A2B
    if no name says a direction.
    """
    path, key = split_key(os.path.expanduser(file))
    given = _given_name(file)
    for name in (key, pathlib.Path(path).stem, given):
        for direction, pattern in _DIRECTION_NAMES.items():
            if re.search(pattern, name):
                return direction
    given = re.sub("[_-]to[_-]", "2", given.lower())
    found = (d for name, (_, d) in _PUBLISHED.items() if name in given)
    return next(found, "A2B")


def _given_name(file: str) -> str:
    path = pathlib.Path(os.path.abspath(split_key(os.path.expanduser(file))[0]))
    name = path.parent.name if "_net_" in path.stem else path.stem
    return name.removesuffix("_pretrained")


def _check_free(target: pathlib.Path) -> None:
    remove_stale(target)
    try:
        # A lock file is fine: `one_writer` names its holder later.
        taken = os.path.lexists(target) and (
            not target.is_dir() or any(p.name != LOCK_FILE for p in target.iterdir())
        )
    except OSError as error:
        raise UserError(f"{target} can't be written: {reason(error)}.") from error
    if taken:
        raise UserError(f"{target} exists already. Name another --output.")


def _write_run(config: Config, networks: dict, target: pathlib.Path) -> None:
    """Writes a run aside, loads its networks as a test, and moves it into place."""
    with without_native_messages():
        import tensorflow as tf

        from cyclegan_tf.training import checkpoints
    failures = (OSError, tf.errors.OpError)
    with one_writer(target), staging(target, failures) as run_dir:
        checkpoints.save_networks(run_dir, networks)
        (run_dir / CONFIG_FILE).write_text(config.to_json())
        for name in networks:
            checkpoints.load_network(run_dir, name)
        # The configuration comes last: only with it the folder is a run.
        put_in_place(run_dir, target)


# --- Export


def export_networks(
    run_dir: str,
    output: str,
    formats: tuple[str, ...] = tuple(FORMATS),
    epoch: str = "latest",
) -> list[pathlib.Path]:
    """Writes the networks of a run as state dicts for the official code.

    Args:
      run_dir: The run directory.
      output: The folder for the files.
      formats: Keys of `FORMATS`.
      epoch: Start of the file names.

    Returns:
      The files.

    Raises:
      UserError: the run can't be used, the official code has no such network, or a
        file exists or can't be written. No file is written then.
    """
    if not epoch or os.path.basename(epoch) != epoch:
        raise UserError(f"`epoch` must be part of a file's name. Received: {epoch!r}.")
    for name in formats or ("",):
        check_choice("formats", name, FORMATS)
    config = load_config(run_dir)
    _check_generator(config)
    found = _state_dicts(config, run_dir)
    state_dicts = {f"{epoch}_net_{name}": arrays for name, arrays in found.items()}
    folder = pathlib.Path(os.path.expanduser(output))
    paths = [folder / f"{name}.{ending}" for name in state_dicts for ending in formats]
    for path in paths:
        if os.path.lexists(path):
            raise UserError(f"{path} exists already. Name another --output or --epoch.")
    with staging(folder) as aside:
        for name, state_dict in state_dicts.items():
            for ending in formats:
                FORMATS[ending](state_dict, aside / f"{name}.{ending}")
        put_in_place(aside, folder)
    LOG.info(f"Wrote {', '.join(path.name for path in paths)} to {folder}")
    LOG.info(f"They fit the official code's options {official_options(config, found)}")
    if config.discriminator == "projected":
        LOG.info(
            "The official code has no projected discriminators; they are left out."
        )
    return paths


def official_options(config: Config, networks: Iterable[str]) -> str:
    """The official code's options for networks of a run, given by official name."""
    kinds, options = {name[0] for name in networks}, []
    if "G" in kinds:
        depth = config_architecture(config, "generator_g").depth
        argument = {"resnet": "n_blocks", "unet": "num_downs"}[config.generator]
        other = f"(no --netG; its class with {argument}={depth})"
        options.append(_OFFICIAL.get((config.generator, depth), other))
        options.append(f"--ngf {config.num_filters}")
    if "D" in kinds:
        kind = "pixel"
        if config.discriminator == "patchgan":
            kind = f"n_layers --n_layers_D {config.discriminator_layers}"
        options.append(f"--netD {kind} --ndf {config.discriminator_filters}")
    return " ".join([*options, "--norm instance --no_dropout"])


def _check_generator(config: Config) -> None:
    if config.generator == "unet" and config.num_downs < MIN_HALVINGS:
        raise UserError(
            f"The official U-Net has at least {MIN_HALVINGS} halvings; this run's has "
            f"{config.num_downs}."
        )
    for name, is_set in (
        ("input_skip", config.input_skip),
        ("output_activation linear", config.output_activation == "linear"),
        ("upsampling resize", config.upsampling == "resize"),
    ):
        if is_set:
            raise UserError(f"The official code has no generator with {name}.")


def _state_dicts(config: Config, run_dir: str) -> dict[str, dict[str, np.ndarray]]:
    """Returns the official state dicts of a run's networks by official name."""
    with without_native_messages():
        from cyclegan_tf.core.state import named_weights
        from cyclegan_tf.training import checkpoints

    def read(checkpoint: str) -> dict[str, dict[str, np.ndarray]]:
        held = checkpoints.networks_in(checkpoint)
        if not held:
            raise UserError(f"{checkpoint} holds no network.")
        if config.discriminator == "projected":
            held = [name for name in held if name.startswith("generator")]
        state_dicts = {}
        for official, name in NETWORKS.items():
            if name in held:
                network = checkpoints.load_network(run_dir, name, checkpoint)
                weights = {k: v.numpy() for k, v in named_weights(network).items()}
                architecture = config_architecture(config, name)
                state_dicts[official] = to_pytorch(architecture, weights)
        return state_dicts

    return read_checkpoint(run_dir, read)
