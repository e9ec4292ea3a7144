"""However PyTorch saved a network it is found, and comes back to the bit."""

import ast
import copy
import functools
import os
import pathlib

import numpy as np
import pytest
import torch
from helpers.official_files import ROOT, as_program, state_dict, write
from helpers.torch_networks import cancelled_biases, norms, randomize
from helpers.torch_transfers import (
    OURS,
    SMALL,
    TOLERANCE,
    difference,
    role_of,
    save_training,
    training_networks,
    transferred,
)
from safetensors.torch import load_file, save_file

from cyclegan_tf.config import Config
from cyclegan_tf.core.cyclegan import CycleGAN
from cyclegan_tf.core.state import named_weights
from cyclegan_tf.messages import UserError
from cyclegan_tf.pytorch import weights
from cyclegan_tf.pytorch.networks import read_network, to_keras
from cyclegan_tf.pytorch.weights import export_networks, import_networks
from cyclegan_tf.training.checkpoints import Checkpoints, load_network
from cyclegan_tf.training.presets import PRESETS
from cyclegan_tf.training.run_directory import load_config, save_config

KINDS = [("resnet", "patchgan"), ("unet", "pixel")]

LOADERS = {
    "pth": lambda path: torch.load(path, weights_only=True),
    "pth mapped": lambda path: torch.load(path, weights_only=True, mmap=True),
    "safetensors": load_file,
}


def assert_equal(found, expected) -> None:
    assert list(found) == list(expected)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name], name)


# --- Files of PyTorch


def in_training(network) -> dict:
    """What a training script of its own saves: weights, optimizer, numbers."""
    saved = {"epoch": 3, "netG": copy.deepcopy(network.state_dict())}
    optimizer = torch.optim.Adam(network.parameters(), betas=(0.5, 0.999))
    network(torch.ones(1, 3, 64, 64)).sum().backward()
    optimizer.step()
    return {**saved, "optimizer": optimizer.state_dict(), "loss": 0.5, "name": "horse"}


def in_one_storage(network) -> dict:
    state_dict = network.state_dict()
    whole = torch.cat([value.flatten() for value in state_dict.values()])
    parts = whole.split([value.numel() for value in state_dict.values()])
    pairs = zip(state_dict.items(), parts, strict=True)
    return {name: part.view(value.shape) for (name, value), part in pairs}


CHANNELS_LAST = {"memory_format": torch.channels_last}
FORMS = {
    "plain": lambda network: network.state_dict(),
    "data_parallel": lambda network: torch.nn.DataParallel(network).state_dict(),
    "state_dict": lambda network: {"state_dict": network.state_dict()},
    "model": lambda network: {"model": network.state_dict()},
    "in_training": in_training,
    "channels_last": lambda network: network.to(**CHANNELS_LAST).state_dict(),
    "one_storage": in_one_storage,
}


def save_stream(value, path) -> None:
    """As PyTorch saved before 1.6."""
    torch.save(value, path, _use_new_zipfile_serialization=False)


def assert_holds(path, network: torch.nn.Module) -> None:
    """A file's network has the weights of a network, to the bit."""
    architecture, found = read_network(role_of(network), str(path))
    held = {name: x.numpy() for name, x in network.state_dict().items()}
    assert_equal(found, to_keras(architecture, held))


@pytest.mark.parametrize("kind", SMALL)
def test_weights_are_found_in_what_pytorch_saves(kind, tmp_path):
    theirs, path = randomize(SMALL[kind]()), tmp_path / "network.pth"
    for form in FORMS.values():
        for save in (torch.save, save_stream):
            save(form(copy.deepcopy(theirs)), path)
            assert_holds(path, theirs)
    save_file(theirs.state_dict(), path)
    assert_holds(path, theirs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_read_as_pytorch_reads_them(dtype, tmp_path):
    theirs, path = randomize(SMALL["resnet"]()), tmp_path / "network.saved"
    stored = {name: value.to(dtype) for name, value in theirs.state_dict().items()}
    theirs.load_state_dict(stored)
    for save in (torch.save, save_stream, save_file):
        save(stored, path)
        assert_holds(path, theirs)


def renormed(kind: str, norm) -> torch.nn.Module:
    """A small network with other norms; convolutions before batch norm lack biases."""
    network = SMALL[kind]()
    for _, sequential, i in norms(network):
        sequential[i] = norm(sequential[i].num_features)
        if norm is torch.nn.BatchNorm2d:
            sequential[i - 1].bias = None
    return randomize(network)


@pytest.mark.parametrize("kind", SMALL)
def test_running_statistics_of_old_files_are_ignored(kind, tmp_path):
    # Files of PyTorch 0.3 carry them.
    tracked = functools.partial(torch.nn.InstanceNorm2d, track_running_stats=True)
    theirs = renormed(kind, tracked)
    assert any("running_mean" in name for name in theirs.state_dict())
    ours = transferred(theirs, tmp_path)
    # In training mode PyTorch normalises with the image's own statistics, as ours do.
    assert difference(ours, theirs.train(), 64, 64) < TOLERANCE


@pytest.mark.parametrize("kind", SMALL)
def test_batch_norm_is_refused_and_nothing_is_written(kind, tmp_path):
    with pytest.raises(UserError, match="batch norm"):
        transferred(renormed(kind, torch.nn.BatchNorm2d), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["network.pth"]


# --- From theirs, and back


@pytest.mark.stack
@pytest.mark.parametrize(("generator", "discriminator"), KINDS)
def test_import_and_export_change_only_biases_that_a_norm_cancels(
    generator, discriminator, tmp_path
):
    networks, folder = training_networks(generator, discriminator), tmp_path / "maps"
    save_training(networks, folder)
    save_training(training_networks(seed=10), folder, epoch="5")
    import_networks(weights.files_in(str(folder), "latest"), str(tmp_path / "run"))
    config = load_config(tmp_path / "run")
    assert (config.dataset, config.generator) == ("maps", generator)
    assert (config.num_filters, config.discriminator_filters) == (4, 4)
    export_networks(str(tmp_path / "run"), str(tmp_path / "files"))
    for name, network in networks.items():
        ours = load_network(tmp_path / "run", OURS[name])
        assert difference(ours, network, 64, 64) < TOLERANCE, name
        cancelled = cancelled_biases(network)
        for ending in ("pth", "safetensors"):
            path = tmp_path / "files" / f"latest_net_{name}.{ending}"
            found = LOADERS[ending](path)
            assert cancelled < set(found) == set(network.state_dict())
            for key, value in network.state_dict().items():
                wanted = torch.zeros_like(value) if key in cancelled else value
                assert torch.equal(found[key], wanted), key


def test_networks_are_picked_from_one_file_by_key(tmp_path):
    networks = training_networks("unet", "pixel")
    nets = {f"net{name}": network.state_dict() for name, network in networks.items()}
    torch.save({"epoch": 7, "nets": nets}, tmp_path / "all.pth")
    for theirs, ours in OURS.items():
        _, found = read_network(ours, f"{tmp_path}/all.pth#net{theirs}")
        held = {k: x.numpy() for k, x in networks[theirs].state_dict().items()}
        architecture, _ = read_network(ours, f"{tmp_path}/all.pth#nets.net{theirs}")
        assert_equal(found, to_keras(architecture, held))


# --- From ours, and back


RARE = pytest.param(KINDS[1], marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=[KINDS[0], RARE])
def trained(request, tmp_path_factory):
    """A model with weights that are all far from zero, and the files of its export."""
    folder = tmp_path_factory.mktemp("trained")
    fields = dict(zip(("generator", "discriminator"), request.param, strict=True))
    fields |= {"num_blocks": 2, "discriminator_layers": 3, "run_dir": str(folder)}
    config = Config(**{**PRESETS["tiny"].values, **fields})
    model, random = CycleGAN(config, 10), np.random.default_rng(0)
    for network in model.networks.values():
        for variable in network.trainable_variables:
            variable.assign(random.normal(0, 0.1, variable.shape))
    save_config(config)
    Checkpoints(model.trainer.state(), config.run_dir).save(3)
    export_networks(config.run_dir, str(folder / "files"))
    return model, folder / "files"


@pytest.mark.stack
def test_exported_networks_load_make_the_same_and_can_be_trained_on(trained):
    model, files = trained
    kinds = model.config.generator, model.config.discriminator
    for name, theirs in training_networks(*kinds).items():
        for loader, load in LOADERS.items():
            ending = loader.partition(" ")[0]
            found = load(files / f"latest_net_{name}.{ending}")
            if ending == "pth":
                assert list(found) == list(theirs.state_dict())
            theirs.load_state_dict(found, strict=True, assign=True)
            ours = model.networks[OURS[name]]
            assert difference(ours, theirs, 64, 96) < TOLERANCE, (name, loader)
            # It can be trained on in place.
            before = [x.clone() for x in theirs.parameters()]
            theirs(torch.ones(1, 3, 32, 32)).sum().backward()
            torch.optim.SGD(theirs.parameters(), lr=1.0).step()
            assert not all(map(torch.equal, theirs.parameters(), before))


@pytest.mark.stack
def test_export_and_import_give_back_every_weight(trained, tmp_path):
    model, folder = trained
    files = weights.files_in(str(folder), "latest")
    import_networks(files, str(tmp_path / "run"))
    for name, network in model.networks.items():
        expected = {k: v.numpy() for k, v in named_weights(network).items()}
        loaded = named_weights(load_network(tmp_path / "run", name))
        assert_equal({k: v.numpy() for k, v in loaded.items()}, expected)
        path = pathlib.Path(files[name]).with_suffix(".safetensors")
        assert_equal(read_network(name, str(path))[1], expected)


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
    transfers = imports(ROOT / "tests/helpers/torch_transfers.py")
    assert "helpers.torch_networks.randomize" in transfers
    for path in files:
        for name in imports(path):
            assert "torch" not in name.split("."), path


@pytest.mark.slow
@pytest.mark.stack
def test_programs_import_and_export_without_pytorch(tmp_path):
    networks, command = training_networks(), ("-m", "cyclegan_tf")
    (tmp_path / "here").mkdir()
    save_training(networks, tmp_path / "here/theirs")
    for args in (
        ("pytorch_import", "--checkpoint=theirs", "--output=run"),
        ("pytorch_export", "--run_dir=run", "--output=files"),
    ):
        done = as_program(tmp_path / "here", *command, *args)
        assert (done.returncode, done.stderr) == (0, ""), args
    for name, network in networks.items():
        found = torch.load(tmp_path / "here/files" / f"latest_net_{name}.pth")
        network.load_state_dict(found, strict=True)
        ours = load_network(tmp_path / "here/run", OURS[name])
        assert difference(ours, network, 64, 64) < TOLERANCE, name


def test_programs_refuse_in_one_line_without_tensorflow_and_torch(tmp_path):
    folder = tmp_path / "here"
    write(folder / "a.pth", state_dict())
    assert as_program(folder, "-c", "import torch").stderr == "torch was imported\n"
    for told, *args in (
        ("a.pth holds a generator", "pytorch_import", "--discriminator_x=a.pth"),
        ("No configuration at run/", "pytorch_export", "--run_dir=run"),
    ):
        args = ("-m", "cyclegan_tf", *args, "--output=out")
        heavy = ("tensorflow", "keras", "torch")
        done = as_program(folder, *args, without=heavy)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"error: {told}")
        assert done.stderr.count("\n") == 1
        assert os.listdir(folder) == ["a.pth"]
