"""`python -m cyclegan_tf pytorch_export`: what it writes, by each flag."""

import os
import pathlib
import re

import numpy as np
import pytest
import torch
from helpers.exporting_samples import file_names, saved_run
from helpers.official_files import (
    PATCHGAN,
    PIXEL,
    RESNET,
    UNET,
    as_program,
    call,
    imported,
)
from helpers.torch_networks import Patchgan, Pixel, Resnet, Unet

from cyclegan_tf.commands import pytorch_export
from cyclegan_tf.config import Config
from cyclegan_tf.learning.state import named_weights
from cyclegan_tf.pytorch import files as pytorch_files
from cyclegan_tf.pytorch.exporting import export_networks, options
from cyclegan_tf.pytorch.networks import NETWORKS, of_config, to_ours
from cyclegan_tf.run_directory import newest_checkpoint
from cyclegan_tf.training import checkpoints

RUN = ["--run_dir=run", "--output=out"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Tests work in a folder of their own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def read(path) -> dict[str, np.ndarray]:
    return {k: tensor.numpy() for k, tensor in pytorch_files.read(path).items()}


def written(folder):
    return file_names(pathlib.Path(folder))


# --- What is written


def test_networks_of_a_training_are_written_under_the_official_names(folder, capsys):
    model = saved_run(folder / "run", num_blocks=2)
    capsys.readouterr()
    paths = export_networks("run", "official/experiment")
    names = [f"latest_net_{name}" for name in ("G_A", "G_B", "D_A", "D_B")]
    files = [f"{name}.{ending}" for name in names for ending in ("pth", "safetensors")]
    assert paths == [pathlib.Path("official/experiment", file) for file in files]
    assert written("official") == {f"experiment/{file}" for file in files}
    assert capsys.readouterr() == (
        f"Wrote {', '.join(files)} to official/experiment\n"
        "They fit the official code's options (no --netG; its class with n_blocks=2) "
        "--ngf 4 --netD n_layers --n_layers_D 2 --ndf 4 --norm instance --no_dropout\n",
        "",
    )
    for path in paths:
        theirs = path.stem.removeprefix("latest_net_")
        name = NETWORKS[theirs]
        architecture = of_config(model.config, name)
        ours = to_ours(architecture, read(path))
        for key, variable in named_weights(model.networks[name]).items():
            np.testing.assert_array_equal(ours.pop(key), variable.numpy(), err_msg=key)
        assert not ours


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_imported_numbers_come_back_and_other_biases_are_zero(ending):
    (arrays,) = imported(RESNET).values()
    export_networks("run", "out", (ending,))
    back = read(f"out/latest_net_G_A.{ending}")
    assert (
        list(back) == list(arrays) if ending == "pth" else back.keys() == arrays.keys()
    )
    for name, array in arrays.items():
        cancelled = name.endswith("bias") and name != "model.18.bias"
        np.testing.assert_array_equal(back[name], 0 * array if cancelled else array)


HELD = {
    "generator_g": "G_A",
    "generator_f": "G_B",
    "discriminator_x": "D_B",
    "discriminator_y": "D_A",
}


@pytest.mark.parametrize("name", HELD)
def test_networks_that_a_run_holds_are_written_and_no_others(name):
    kind = RESNET if name.startswith("generator") else PIXEL
    imported(kind, name)
    paths = export_networks("run", "out", ("pth",))
    assert paths == [pathlib.Path(f"out/latest_net_{HELD[name]}.pth")]
    assert written("out") == {f"latest_net_{HELD[name]}.pth"}


def test_checkpoint_saved_meanwhile_is_not_mixed_with_the_first(folder, monkeypatch):
    arrays = imported(RESNET, "generator_g", "generator_f")
    load, later = checkpoints.load_network, []

    def load_after_a_save(*args, **kwargs):
        if not later:
            later.append(saved_run(folder / "later", num_filters=2))
            for path in (folder / "later/checkpoints").glob("step-3.*"):
                path.rename(folder / "run/checkpoints" / path.name)
        return load(*args, **kwargs)

    monkeypatch.setattr(checkpoints, "load_network", load_after_a_save)
    first, second = export_networks("run", "out", ("pth",))
    assert newest_checkpoint("run").endswith("step-3")
    for path, name in ((first, "generator_g"), (second, "generator_f")):
        kernel = read(path)["model.1.weight"]
        np.testing.assert_array_equal(kernel, arrays[name]["model.1.weight"])


TORCH = {
    RESNET: lambda: Resnet(2, 1),
    UNET: lambda: Unet(1, 5),
    PATCHGAN: lambda: Patchgan(2, 2),
    PIXEL: lambda: Pixel(2),
}


@pytest.mark.parametrize("architecture", TORCH, ids=lambda a: a.kind)
def test_torch_loads_them_strictly_and_in_its_own_order(architecture):
    imported(architecture)
    (path,) = export_networks("run", "out", ("pth",))
    loaded = torch.load(path, weights_only=True)
    network = TORCH[architecture]()
    assert list(loaded) == list(network.state_dict())
    network.load_state_dict(loaded, strict=True)


def test_same_networks_make_the_same_bytes(folder):
    imported(RESNET, "generator_g", "generator_f")
    for epoch in ("1", "2"):
        export_networks("run", "out", epoch=epoch)
    for name in ("G_A.pth", "G_A.safetensors", "G_B.pth", "G_B.safetensors"):
        first, second = (folder / f"out/{i}_net_{name}" for i in (1, 2))
        assert first.read_bytes() == second.read_bytes()
    other = (folder / "out/1_net_G_B.pth").read_bytes()
    assert (folder / "out/1_net_G_A.pth").read_bytes() != other


@pytest.mark.parametrize("mask, files, made", [(0o27, 0o640, 0o750), (0, 0o666, 0o777)])
def test_modes_follow_the_umask(mask, files, made):
    imported()
    before = os.umask(mask)
    try:
        paths = export_networks("run", "out")
    finally:
        os.umask(before)
    assert [os.stat(path).st_mode & 0o777 for path in paths] == [files, files]
    assert os.stat("out").st_mode & 0o777 == made


OPTIONS = {
    "the recipe": (
        {},
        "--netG resnet_9blocks --ngf 64 --netD n_layers --n_layers_D 3 --ndf 64",
    ),
    "six blocks": (
        {"num_blocks": 6, "num_filters": 32},
        "--netG resnet_6blocks --ngf 32 --netD n_layers --n_layers_D 3 --ndf 64",
    ),
    "U-Net 256": (
        {"generator": "unet", "discriminator_layers": 2, "num_blocks": 9},
        "--netG unet_256 --ngf 64 --netD n_layers --n_layers_D 2 --ndf 64",
    ),
    "U-Net 128": (
        {"generator": "unet", "num_downs": 7, "discriminator_filters": 8},
        "--netG unet_128 --ngf 64 --netD n_layers --n_layers_D 3 --ndf 8",
    ),
    "other blocks": (
        {"num_blocks": 7, "discriminator": "pixel"},
        "(no --netG; its class with n_blocks=7) --ngf 64 --netD pixel --ndf 64",
    ),
    "other halvings": (
        {"generator": "unet", "num_downs": 6, "num_filters": 1},
        "(no --netG; its class with num_downs=6) --ngf 1 --netD n_layers "
        "--n_layers_D 3 --ndf 64",
    ),
    "discriminators with layer norm": (
        {"discriminator_norm": "layer"},
        "--netG resnet_9blocks --ngf 64 --netD n_layers --n_layers_D 3 --ndf 64 "
        "(its discriminators with layer norm, which it has not)",
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_of_the_official_code_are_told(case):
    fields, told = OPTIONS[case]
    config, ending = Config(**fields), "--norm instance --no_dropout"
    assert options(config, ["G_A", "G_B", "D_A", "D_B"]) == f"{told} {ending}"
    generators, colon, discriminators = told.partition(" --netD")
    assert options(config, ["G_B"]) == f"{generators} {ending}"
    assert options(config, ["D_A"]) == f"--netD{discriminators} {ending}"


# --- Flags


def test_flags_choose_formats_epoch_and_places(folder, monkeypatch, capsys):
    imported()
    capsys.readouterr()
    monkeypatch.setenv("HOME", str(folder))
    args = ["--run_dir=~/run", "--output=~/out"]
    call(pytorch_export, *args, "--formats=safetensors, safetensors", "--epoch=200")
    assert written("out") == {"200_net_G_A.safetensors"}
    line = capsys.readouterr().out.splitlines()[0]
    assert line == f"Wrote 200_net_G_A.safetensors to {folder}/out"
    call(pytorch_export, *args, "--formats=pth", "--epoch=200")
    call(pytorch_export, *args)
    files = {
        f"{e}_net_G_A.{x}" for e in ("200", "latest") for x in ("pth", "safetensors")
    }
    assert written("out") == files


# --- As a program

COMMAND = "-m", "cyclegan_tf", "pytorch_export"


def test_help_names_every_flag_without_tensorflow_and_torch(folder):
    heavy = ("tensorflow", "keras", "torch")
    result = as_program(folder, *COMMAND, "--help", without=heavy)
    assert (result.returncode, result.stderr) == (0, "")
    usage = "usage: python -m cyclegan_tf pytorch_export --run_dir RUN --output"
    assert result.stdout.startswith(usage)
    named = re.findall(r"^  --(\w+)", result.stdout, re.MULTILINE)
    assert named == [*pytorch_export.FLAGS, "help"]
    assert max(map(len, result.stdout.splitlines())) <= 88
    result = as_program(folder, *COMMAND, *RUN, without=heavy)
    told = "error: No configuration at run/config.json: No such file or directory.\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", told)
    assert os.listdir() == []


def test_program_exports_without_torch(folder):
    imported()
    result = as_program(folder, *COMMAND, *RUN)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "Wrote latest_net_G_A.pth, latest_net_G_A.safetensors to out\n"
        "They fit the official code's options (no --netG; its class with n_blocks=1) "
        "--ngf 2 --norm instance --no_dropout\n"
    )
    assert written("out") == {"latest_net_G_A.pth", "latest_net_G_A.safetensors"}
