"""Tiny networks of the official code in files, and programs that take them."""

import contextlib
import pathlib
import resource
import subprocess

import numpy as np
import pytest
import safetensors.numpy
from absl import flags

from cyclegan_tf.commands.program import define_flags
from cyclegan_tf.core.state import named_weights
from cyclegan_tf.messages import UserError
from cyclegan_tf.pytorch import files as pytorch_files
from cyclegan_tf.pytorch.networks import Architecture, state_dict_shapes, to_keras
from cyclegan_tf.pytorch.weights import import_networks
from cyclegan_tf.training.checkpoints import load_network
from helpers import exporting_samples
from helpers.exporting_samples import nothing_changes

ROOT = pathlib.Path(__file__).parents[2]

RESNET = Architecture("resnet", 2, 1)
UNET = Architecture("unet", 1, 5)
PATCHGAN = Architecture("patchgan", 2, 2)
PIXEL = Architecture("pixel", 2, 0)


def state_dict(architecture=RESNET, seed=0, prefix=""):
    """A state dict of random numbers; another seed makes another network."""
    random = np.random.default_rng(seed)
    return {
        prefix + name: random.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in state_dict_shapes(architecture).items()
    }


def write(path, arrays=None) -> str:
    """Writes a state dict, by default of a tiny ResNet; gives the path."""
    path, arrays = pathlib.Path(path), state_dict() if arrays is None else arrays
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        path.write_bytes(safetensors.numpy.save(arrays))
    else:
        pytorch_files.write_pth(arrays, path)
    return str(path)


def imported(architecture=RESNET, *names, run="run") -> dict:
    """Makes a run of these networks, by default of one; gives their state dicts."""
    is_generator = architecture.kind in ("resnet", "unet")
    names = names or ["generator_g" if is_generator else "discriminator_y"]
    arrays = {name: state_dict(architecture, seed) for seed, name in enumerate(names)}
    files = {k: write(f"{run} before/{k}.pth", v) for k, v in arrays.items()}
    import_networks(files, run, image_size=64)
    return arrays


def assert_holds(run_dir, name, architecture, arrays) -> None:
    """A run's network has the numbers of a state dict, to the bit."""
    held = {k: v.numpy() for k, v in named_weights(load_network(run_dir, name)).items()}
    expected = to_keras(architecture, arrays)
    assert held.keys() == expected.keys()
    for key, array in held.items():
        np.testing.assert_array_equal(array, expected[key], err_msg=key)


# --- Programs


def call(command, *args) -> None:
    """Runs a command in this process."""
    values = flags.FlagValues()
    define_flags(command.flags, values)
    values(["command", *args])
    command(values)


def refuses(command, told, *args) -> None:
    """Expects a line of error, and the files here as they were."""
    folder = pathlib.Path.cwd()
    with nothing_changes(folder), pytest.raises(UserError, match=told) as error:
        call(command, *args)
    assert "\n" not in str(error.value)


def as_program(folder, *args, without=("torch",)) -> subprocess.CompletedProcess:
    """Runs `python ARGS` in a folder, where some packages can't be imported."""
    return exporting_samples.program(folder, *args, without=without)


@contextlib.contextmanager
def files_end_at(num_bytes):
    """Writing on fails, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
