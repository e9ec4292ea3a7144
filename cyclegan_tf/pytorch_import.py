"""Takes over official PyTorch weights: `python -m cyclegan_tf.pytorch_import --help`.

What is written is a run directory with a checkpoint of networks alone: `export.py`,
`translate` and `train.py --initialize_from` take it as any other. PyTorch is not
needed. TensorFlow is imported where it is used, so that `--help` and a refused flag
answer at once.
"""

import os
import pathlib
import re

from absl import flags

from cyclegan_tf import program
from cyclegan_tf.config import CONFIG_FILE, TFDS_CONFIGS, Config, UserError
from cyclegan_tf.export_request import DIRECTIONS
from cyclegan_tf.pytorch_networks import NETWORKS, Architecture
from cyclegan_tf.pytorch_weights import read_network, split
from cyclegan_tf.staging import put_in_place, staging

_COMMAND = "python -m cyclegan_tf.pytorch_import"
USAGE = f"""{_COMMAND} --checkpoint FILE --output RUN
       {_COMMAND} --checkpoint FOLDER --output RUN
       {_COMMAND} --generator_g FILE ... --output RUN"""
SUMMARY = (
    "Makes a run directory of the weights of the official PyTorch code (.pth, or "
    "safetensors): ResNet and U-Net generators with instance norm, PatchGAN and pixel "
    "discriminators. Filters, blocks and layers are found by themselves; networks of a "
    "kind must be alike. 'FILE#KEY' names one network in a file of several. No code in "
    "a file is ever run."
)

FLAGS = {
    "checkpoint": (
        "",
        "a generator's file, or the folder of a training: EPOCH_net_G_A.pth, G_B, D_A "
        "and D_B, those that are there",
    ),
    "direction": (
        "",
        "what the generator of --checkpoint FILE does, A2B or B2A; empty: B2A if the "
        "name ends in G_B, else A2B",
    ),
    "generator_g": ("", "file of the generator from X to Y, their G_A"),
    "generator_f": ("", "file of the generator from Y to X, their G_B"),
    "discriminator_x": ("", "file of the discriminator that judges X, their D_B"),
    "discriminator_y": ("", "file of the discriminator that judges Y, their D_A"),
    "output": ("", "the run directory to make; if it exists, it must be empty"),
    "epoch": ("latest", "which files of a folder: what their names begin with"),
    "image_size": (
        0,
        "side of the pictures trained on, in pixels; 0: 256, or 2**halvings for a "
        "U-Net",
    ),
    "dataset": (
        "",
        "what the networks were trained on: a data set of train.py, or any name; "
        "empty: from the name of the file or folder",
    ),
}

_TRANSLATE = "python -m cyclegan_tf.translate"

_SUFFIXES = (".pth", ".pt", ".safetensors")


def main(arguments: list[str]) -> None:
    """Imports what the flags name."""
    program.no_arguments(arguments)
    run(flags.FLAGS)


def run(values: flags.FlagValues) -> None:
    """Finds the files that flags name, and imports them.

    Raises:
      UserError: a flag or a file can't be used. Nothing is written then.
    """
    files = files_of(values)
    output = values["output"].value
    if not output:
        raise UserError("--output must be given. See --help.")
    import_networks(files, output, values["image_size"].value, values["dataset"].value)


def files_of(values: flags.FlagValues) -> dict[str, str]:
    """The file of each network that flags name."""
    named = {name: values[name].value for name in NETWORKS.values()}
    files = {name: file for name, file in named.items() if file}
    checkpoint, direction = values["checkpoint"].value, values["direction"].value
    if bool(files) == bool(checkpoint):
        raise UserError(
            "Either --checkpoint or files of networks must be given. See --help."
        )
    is_folder = os.path.isdir(os.path.expanduser(checkpoint))
    if values["epoch"].present and not is_folder:
        raise UserError("--epoch is for a --checkpoint that is a folder.")
    if direction and (files or is_folder):
        raise UserError("--direction is for a --checkpoint of one generator.")
    if files:
        return files
    if is_folder:
        return files_in(checkpoint, values["epoch"].value)
    if direction:
        program.check_choice("direction", direction, DIRECTIONS)
    else:
        path, key = split(os.path.expanduser(checkpoint))
        if any(re.search(r"G_B$", name) for name in (pathlib.Path(path).stem, key)):
            direction = "B2A"
    return {DIRECTIONS[direction or "A2B"]: checkpoint}


def files_in(folder: str, epoch: str) -> dict[str, str]:
    """The files of an official training's folder by network."""
    root = pathlib.Path(os.path.expanduser(folder))
    files = {}
    # A test of one direction calls its only generator G.
    for theirs, ours in (*NETWORKS.items(), ("G", "generator_g")):
        for path in (root / f"{epoch}_net_{theirs}{suffix}" for suffix in _SUFFIXES):
            if path.is_file():
                files.setdefault(ours, str(path))
    if not files:
        raise UserError(f"{folder} has no {epoch}_net_G_A.pth or the like.")
    return files


def import_networks(
    files: dict[str, str], output: str, image_size: int = 0, dataset: str = ""
) -> None:
    """Makes a run directory of official weights.

    Args:
      files: By our network's name, a PyTorch or safetensors file, or FILE#KEY.
      output: The run directory; it must not exist, or be empty.
      image_size: Side of the pictures trained on; 0: what suits the generator.
      dataset: What they show; empty: told from the first file's name.

    Raises:
      UserError: a file is damaged or hostile, does not hold what it should, or does
        not fit the others; or `output` can't be written. Nothing is written then.
    """
    target = pathlib.Path(os.path.expanduser(output))
    _check_free(target)
    found = {name: read_network(name, file) for name, file in files.items()}
    architectures = {name: architecture for name, (architecture, _) in found.items()}
    config = Config(
        **_network_fields(architectures),
        **_sizes(architectures, image_size),
        dataset=dataset or dataset_of(next(iter(files.values()))),
        run_dir=output,
    )
    _write(config, {name: weights for name, (_, weights) in found.items()}, target)
    directions = {name: f" ({d})" for d, name in DIRECTIONS.items()}
    for name, architecture in architectures.items():
        kind = f"{name}{directions.get(name, '')}: {architecture.told()}"
        print(f"{kind}, from {files[name]}")
    print(f"Imported to {output}, as a run on {config.dataset!r}. To use it:")
    more = "" if config.dataset in (*TFDS_CONFIGS, "shapes") else " --pictures FOLDER"
    print(f"  python export.py --run_dir {output}{more}")
    print(f"  {_TRANSLATE} --run_dir {output} --input PICTURES --output FOLDER")


# --- Fitting together


def _network_fields(architectures: dict[str, Architecture]) -> dict:
    """Fields of the configuration; both networks of a kind must be alike."""
    fields = {}
    for role in ("generator", "discriminator"):
        told = {n: a.told() for n, a in architectures.items() if n.startswith(role)}
        if len(set(told.values())) > 1:
            both = "; ".join(f"{name}: {text}" for name, text in told.items())
            raise UserError(f"The two {role}s must be alike ({both}).")
        for name in told:
            fields |= architectures[name].fields()
    return fields


def _sizes(architectures: dict[str, Architecture], image_size: int) -> dict:
    halvings = [a.depth for a in architectures.values() if a.kind == "unet"]
    size = image_size or (2 ** halvings[0] if halvings else 256)
    # As the official code resizes to 286 before it crops 256.
    return {"image_size": size, "load_size": size * 286 // 256}


def dataset_of(file: str) -> str:
    """A name for what a file was trained on: of the file, or of its folder.

    `horse2zebra` of `horse2zebra.pth` and `horse2zebra_pretrained/latest_net_G.pth`.
    """
    path = pathlib.Path(os.path.abspath(split(os.path.expanduser(file))[0]))
    name = path.parent.name if "_net_" in path.stem else path.stem
    return name.removesuffix("_pretrained") or "imported"


# --- Writing


def _check_free(target: pathlib.Path) -> None:
    try:
        taken = os.path.lexists(target) and (
            not target.is_dir() or any(target.iterdir())
        )
    except OSError as error:
        raise UserError(f"{target} can't be written: {error.strerror}.") from error
    if taken:
        raise UserError(f"{target} exists already. Name another --output.")


def _write(config: Config, networks: dict, target: pathlib.Path) -> None:
    """Writes the run directory beside its place, tries it, then puts it there."""
    with program.without_native_messages():
        import tensorflow as tf

        from cyclegan_tf import checkpoints
    with staging(target, (OSError, tf.errors.OpError)) as run_dir:
        checkpoints.save_networks(run_dir, networks)
        (run_dir / CONFIG_FILE).write_text(config.to_json())
        for name in networks:
            checkpoints.load_network(run_dir, name)
        # The configuration, without which it is no run, comes last.
        put_in_place(run_dir, target)


if __name__ == "__main__":
    program.define_flags(FLAGS)
    program.start(main, lambda: program.help_of_flags(USAGE, SUMMARY, FLAGS))
