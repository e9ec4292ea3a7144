"""To PyTorch and back, and from PyTorch and back, to the bit; and never with torch."""

import ast
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.torch_networks import cancelled_biases
from helpers.torch_transfers import (
    OURS,
    TOLERANCE,
    difference,
    save_training,
    training_networks,
)
from safetensors.torch import load_file

from cyclegan_tf.learning.state import named_weights
from cyclegan_tf.models.cyclegan import CycleGAN
from cyclegan_tf.pytorch import importing
from cyclegan_tf.pytorch.exporting import export_networks
from cyclegan_tf.pytorch.importing import import_networks
from cyclegan_tf.run_directory import save_config
from cyclegan_tf.training.checkpoints import Checkpoints, load_network

ROOT = pathlib.Path(__file__).parents[2]

KINDS = [("resnet", "patchgan"), ("unet", "pixel")]

LOADERS = {
    "pth": lambda path: torch.load(path, weights_only=True),
    "pth mapped": lambda path: torch.load(path, weights_only=True, mmap=True),
    "safetensors": load_file,
}


@pytest.fixture
def run_of(tiny, tmp_path):
    """Makes a run with weights that are all far from zero, and gives its model."""

    def make(generator: str, discriminator: str) -> CycleGAN:
        config = tiny(
            run_dir=str(tmp_path / "trained"),
            generator=generator,
            discriminator=discriminator,
            num_blocks=2,
            discriminator_layers=3,
        )
        model, random = CycleGAN(config, 10), np.random.default_rng(0)
        for network in model.networks.values():
            for variable in network.trainable_variables:
                variable.assign(random.normal(0, 0.1, variable.shape))
        pathlib.Path(config.run_dir).mkdir()
        save_config(config)
        Checkpoints(model.state(), config.run_dir).save(3)
        return model

    return make


def assert_same_weights(found, expected) -> None:
    found, expected = named_weights(found), named_weights(expected)
    assert list(found) == list(expected)
    for name, variable in found.items():
        np.testing.assert_array_equal(variable, expected[name], name)


# --- From ours


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(("generator", "discriminator"), KINDS)
def test_exported_networks_load_strictly_and_make_the_same(
    generator, discriminator, loader, run_of, tmp_path
):
    model = run_of(generator, discriminator)
    export_networks(model.config.run_dir, str(tmp_path / "files"))
    ending = loader.partition(" ")[0]
    for name, theirs in training_networks(generator, discriminator).items():
        path = tmp_path / "files" / f"latest_net_{name}.{ending}"
        state_dict = LOADERS[loader](path)
        if ending == "pth":
            assert list(state_dict) == list(theirs.state_dict())
        theirs.load_state_dict(state_dict, strict=True)
        ours = model.networks[OURS[name]]
        assert difference(ours, theirs, 64, 96) < TOLERANCE, name


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize(("generator", "discriminator"), KINDS)
def test_export_and_import_give_back_every_weight(
    generator, discriminator, ending, run_of, tmp_path
):
    model = run_of(generator, discriminator)
    export_networks(model.config.run_dir, str(tmp_path / "files"), (ending,))
    files = importing.files_in(str(tmp_path / "files"), "latest")
    import_networks(files, str(tmp_path / "run"))
    for name, network in model.networks.items():
        assert_same_weights(load_network(tmp_path / "run", name), network)


@pytest.mark.parametrize("mapped", [False, True])
def test_training_goes_on_in_pytorch_from_an_export(mapped, run_of, tmp_path):
    model = run_of("resnet", "patchgan")
    path, *_ = export_networks(model.config.run_dir, str(tmp_path / "files"), ("pth",))
    theirs = training_networks()["G_A"]
    theirs.load_state_dict(torch.load(path, mmap=mapped), assign=True)
    optimizer = torch.optim.Adam(theirs.parameters())
    before = theirs(torch.ones(1, 3, 16, 16))
    before.sum().backward()
    optimizer.step()
    assert not torch.equal(theirs(torch.ones(1, 3, 16, 16)), before)


# --- From theirs


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
@pytest.mark.parametrize(("generator", "discriminator"), KINDS)
def test_import_and_export_change_only_biases_that_a_norm_cancels(
    generator, discriminator, ending, tmp_path
):
    networks = training_networks(generator, discriminator)
    save_training(networks, tmp_path / "theirs")
    files = importing.files_in(str(tmp_path / "theirs"), "latest")
    import_networks(files, str(tmp_path / "run"))
    export_networks(str(tmp_path / "run"), str(tmp_path / "files"), (ending,))
    for name, network in networks.items():
        path = tmp_path / "files" / f"latest_net_{name}.{ending}"
        state_dict = LOADERS[ending](path)
        cancelled = cancelled_biases(network)
        assert cancelled < set(state_dict) == set(network.state_dict())
        for key, value in network.state_dict().items():
            wanted = torch.zeros_like(value) if key in cancelled else value
            assert torch.equal(state_dict[key], wanted), key


# --- Without PyTorch


def imports(path: pathlib.Path) -> set[str]:
    """What a file imports, at any depth, such as `safetensors.numpy`."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_nothing_but_tests_imports_torch():
    files = [*ROOT.glob("*.py"), *(ROOT / "cyclegan_tf").rglob("*.py")]
    assert len(files) > 40
    assert "helpers.torch_networks.randomize" in imports(
        ROOT / "tests/helpers/torch_transfers.py"
    )
    for path in files:
        for name in imports(path):
            assert "torch" not in name.split("."), path


@pytest.fixture
def without_torch(tmp_path):
    """Runs a module of the package where importing torch ends the process."""
    (tmp_path / "path" / "torch").mkdir(parents=True)
    raises = 'raise SystemExit("torch was imported")'
    (tmp_path / "path" / "torch" / "__init__.py").write_text(raises)
    path = os.pathsep.join([str(tmp_path / "path"), str(ROOT)])

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )

    assert run("-c", "import torch").stderr == "torch was imported\n"
    return run


def test_programs_import_and_export_without_pytorch(without_torch, tmp_path):
    networks = training_networks()
    save_training(networks, tmp_path / "theirs")
    program = "-m", "cyclegan_tf", "pytorch_import"
    done = without_torch(*program, "--checkpoint=theirs", "--output=run")
    assert (done.returncode, done.stderr) == (0, "")
    program = "-m", "cyclegan_tf", "pytorch_export"
    done = without_torch(*program, "--run_dir=run", "--output=files")
    assert (done.returncode, done.stderr) == (0, "")
    for name, network in networks.items():
        state_dict = torch.load(tmp_path / "files" / f"latest_net_{name}.pth")
        network.load_state_dict(state_dict, strict=True)
        ours = load_network(tmp_path / "run", OURS[name])
        assert difference(ours, network, 64, 64) < TOLERANCE, name
