"""However PyTorch saved a network, the import finds it and puts it in its place."""

import copy

import numpy as np
import pytest
import torch
from helpers.torch_networks import randomize
from helpers.torch_transfers import (
    OURS,
    SMALL,
    TOLERANCE,
    difference,
    imported,
    save_training,
    training_networks,
    transferred,
)
from safetensors.torch import save_file

from cyclegan_tf.learning.state import named_weights
from cyclegan_tf.pytorch import importing
from cyclegan_tf.pytorch.importing import import_networks
from cyclegan_tf.run_directory import load_config
from cyclegan_tf.training.checkpoints import load_network
from cyclegan_tf.validation import UserError

# --- One network


def in_training(network) -> dict:
    """What a training script of its own saves: weights, optimizer, numbers."""
    saved = {"epoch": 3, "netG": copy.deepcopy(network.state_dict())}
    optimizer = torch.optim.Adam(network.parameters(), betas=(0.5, 0.999))
    network(torch.ones(1, 3, 64, 64)).sum().backward()
    optimizer.step()
    return {**saved, "optimizer": optimizer.state_dict(), "loss": 0.5, "name": "horse"}


def in_channels_last(network) -> dict:
    return network.to(memory_format=torch.channels_last).state_dict()


def in_one_storage(network) -> dict:
    state_dict = network.state_dict()
    whole = torch.cat([value.flatten() for value in state_dict.values()])
    parts = whole.split([value.numel() for value in state_dict.values()])
    pairs = zip(state_dict.items(), parts, strict=True)
    return {name: part.view(value.shape) for (name, value), part in pairs}


FORMS = {
    "plain": lambda network: network.state_dict(),
    "data_parallel": lambda network: torch.nn.DataParallel(network).state_dict(),
    "state_dict": lambda network: {"state_dict": network.state_dict()},
    "model": lambda network: {"model": network.state_dict()},
    "in_training": in_training,
    "channels_last": in_channels_last,
    "one_storage": in_one_storage,
}


def save_stream(value, path) -> None:
    """As PyTorch saved before 1.6."""
    torch.save(value, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [torch.save, save_stream])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", SMALL)
def test_weights_are_found_in_what_pytorch_saves(kind, form, save, tmp_path):
    theirs = randomize(SMALL[kind]())
    save(FORMS[form](copy.deepcopy(theirs)), tmp_path / "network.pth")
    ours = imported(tmp_path / "network.pth", theirs, tmp_path)
    assert difference(ours, theirs, 64, 64) < TOLERANCE


@pytest.mark.parametrize("kind", SMALL)
def test_weights_are_found_in_safetensors(kind, tmp_path):
    theirs = randomize(SMALL[kind]())
    save_file(theirs.state_dict(), tmp_path / "network.safetensors")
    ours = imported(tmp_path / "network.safetensors", theirs, tmp_path)
    assert difference(ours, theirs, 64, 64) < TOLERANCE


@pytest.mark.parametrize("save", [torch.save, save_stream, save_file])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_read_as_pytorch_reads_them(dtype, save, tmp_path):
    theirs = randomize(SMALL["resnet"]())
    stored = {name: value.to(dtype) for name, value in theirs.state_dict().items()}
    save(stored, tmp_path / "network.saved")
    theirs.load_state_dict(stored)
    weights = named_weights(imported(tmp_path / "network.saved", theirs, tmp_path))
    kernel = theirs.model[10].conv_block[1].weight.detach()
    np.testing.assert_array_equal(
        weights["block_1_conv_1_kernel"], kernel.permute(2, 3, 1, 0)
    )
    bias = theirs.model[-2].bias.detach()
    np.testing.assert_array_equal(weights["last_conv_bias"], bias)


@pytest.mark.parametrize("kind", SMALL)
def test_running_statistics_of_old_files_are_ignored(kind, tmp_path):
    theirs = randomize(SMALL[kind](norm="tracked"))
    assert any("running_mean" in name for name in theirs.state_dict())
    ours = transferred(theirs, tmp_path)
    # In training mode PyTorch normalises with the image's own statistics, as ours do.
    assert difference(ours, theirs.train(), 64, 64) < TOLERANCE


def test_dropout_moves_names_and_changes_no_translation(tmp_path):
    theirs = randomize(SMALL["resnet"](dropout=True)).eval()
    assert difference(transferred(theirs, tmp_path), theirs, 64, 64) < TOLERANCE


@pytest.mark.parametrize("kind", SMALL)
def test_batch_norm_is_refused_and_nothing_is_written(kind, tmp_path):
    with pytest.raises(UserError, match="batch norm"):
        transferred(randomize(SMALL[kind](norm="batch")), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["network.pth"]


# --- Networks of a training


def check_places(run, networks) -> None:
    for theirs, ours in OURS.items():
        loaded = load_network(run, ours)
        assert difference(loaded, networks[theirs], 64, 64) < TOLERANCE, theirs


def test_folder_gives_each_network_its_place(tmp_path):
    networks, folder = training_networks(), tmp_path / "horse2zebra"
    save_training(networks, folder)
    save_training(training_networks(seed=10), folder, epoch="5")
    files = importing.files_in(str(folder), "latest")
    import_networks(files, str(tmp_path / "run"))
    check_places(tmp_path / "run", networks)
    config = load_config(tmp_path / "run")
    assert (config.dataset, config.num_blocks) == ("horse2zebra", 2)
    assert (config.num_filters, config.discriminator_filters) == (4, 4)


def test_networks_are_picked_from_one_file_by_key(tmp_path):
    networks = training_networks("unet", "pixel")
    nets = {f"net{name}": network.state_dict() for name, network in networks.items()}
    torch.save({"epoch": 7, "nets": nets}, tmp_path / "all.pth")
    files = {ours: f"{tmp_path}/all.pth#net{theirs}" for theirs, ours in OURS.items()}
    import_networks(files, str(tmp_path / "run"))
    check_places(tmp_path / "run", networks)
    config = load_config(tmp_path / "run")
    assert (config.generator, config.num_downs) == ("unet", 5)
    assert (config.discriminator, config.discriminator_filters) == ("pixel", 4)
