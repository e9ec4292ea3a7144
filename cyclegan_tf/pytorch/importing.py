"""Makes a run of official PyTorch weights: a checkpoint of networks alone.

`export`, `translate` and `train --initialize_from` take it as any other. TensorFlow is
imported where it is used, so that a file that is refused is refused at once.
"""

import os
import pathlib

from cyclegan_tf.config import DIRECTIONS, TFDS_CONFIGS, Config
from cyclegan_tf.files import put_in_place, remove_stale, staging
from cyclegan_tf.messages import without_native_messages
from cyclegan_tf.pytorch.finder import read_network, split
from cyclegan_tf.pytorch.networks import NETWORKS, Architecture
from cyclegan_tf.run_directory import CONFIG_FILE, LOCK_FILE
from cyclegan_tf.run_lock import one_writer
from cyclegan_tf.validation import UserError

_TRANSLATE = "python -m cyclegan_tf translate"

_SUFFIXES = (".pth", ".pt", ".safetensors")


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
    remove_stale(target)
    try:
        # Whoever holds that file is told of in time.
        taken = os.path.lexists(target) and (
            not target.is_dir() or any(p.name != LOCK_FILE for p in target.iterdir())
        )
    except OSError as error:
        raise UserError(f"{target} can't be written: {error.strerror}.") from error
    if taken:
        raise UserError(f"{target} exists already. Name another --output.")


def _write(config: Config, networks: dict, target: pathlib.Path) -> None:
    """Writes the run directory beside its place, tries it, then puts it there."""
    with without_native_messages():
        import tensorflow as tf

        from cyclegan_tf.training import checkpoints
    failures = (OSError, tf.errors.OpError)
    with one_writer(target), staging(target, failures) as run_dir:
        checkpoints.save_networks(run_dir, networks)
        (run_dir / CONFIG_FILE).write_text(config.to_json())
        for name in networks:
            checkpoints.load_network(run_dir, name)
        # The configuration, without which it is no run, comes last.
        put_in_place(run_dir, target)
