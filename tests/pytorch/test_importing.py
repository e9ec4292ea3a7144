"""`python -m cyclegan_tf pytorch_import`: what each flag does, what is written."""

import os
import pathlib

import numpy as np
import pytest
from absl import flags
from helpers.exporting_samples import file_names
from helpers.official_files import (
    PATCHGAN,
    PIXEL,
    RESNET,
    UNET,
    assert_holds,
    call,
    state_dict,
    write,
)

from cyclegan_tf.commands import pytorch_import
from cyclegan_tf.commands.program import define_flags
from cyclegan_tf.commands.pytorch_import import files_of
from cyclegan_tf.config import Config
from cyclegan_tf.pytorch.networks import Architecture
from cyclegan_tf.run_directory import load_config
from cyclegan_tf.training.checkpoints import load_network

RUN_FILES = {
    "config.json",
    "checkpoints/step-0.index",
    "checkpoints/step-0.data-00000-of-00001",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Tests work in a folder of their own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def run(*args):
    call(pytorch_import, *args)


def files_told(*args):
    values = flags.FlagValues()
    define_flags(pytorch_import.FLAGS, values)
    values(["import", *args])
    return files_of(values)


def written(folder):
    return file_names(pathlib.Path(folder))


def networks(kind=RESNET, judge=PATCHGAN):
    """State dicts of a whole training, by official name."""
    of_names = {"G_A": kind, "G_B": kind, "D_A": judge, "D_B": judge}
    return {n: state_dict(a, seed) for seed, (n, a) in enumerate(of_names.items())}


def write_training(folder, epoch="latest", suffix=".pth", **arrays):
    for name, array in arrays.items():
        write(f"{folder}/{epoch}_net_{name}{suffix}", array)


# --- One generator

PICTURES = "--input PICTURES --output FOLDER"

DIRECTIONS = {
    "any name": (["--checkpoint=a.pth"], "generator_g"),
    "net_G": (["--checkpoint=latest_net_G.pth"], "generator_g"),
    "net_G_A": (["--checkpoint=latest_net_G_A.pth"], "generator_g"),
    "net_G_B": (["--checkpoint=x/latest_net_G_B.pth"], "generator_f"),
    "net_G_B of an epoch": (["--checkpoint=5_net_G_B.safetensors"], "generator_f"),
    "key of a network": (["--checkpoint=all.pth#netG_B"], "generator_f"),
    "net_G_B and a key": (["--checkpoint=5_net_G_B.pth#module"], "generator_f"),
    "folder of the name": (["--checkpoint=net_G_B/a.pth"], "generator_g"),
    "another word": (["--checkpoint=net_G_Best.pth"], "generator_g"),
    "A2B": (["--checkpoint=net_G_B.pth", "--direction=A2B"], "generator_g"),
    "B2A": (["--checkpoint=net_G_A.pth", "--direction=B2A"], "generator_f"),
}


@pytest.mark.parametrize("case", DIRECTIONS)
def test_direction_is_that_of_the_flag_or_the_name(case):
    args, name = DIRECTIONS[case]
    assert files_told(*args) == {name: args[0].removeprefix("--checkpoint=")}


def test_generator_becomes_a_run_directory(capsys):
    arrays = state_dict(Architecture("resnet", 3, 6))
    write("models/horse2zebra_pretrained/latest_net_G.pth", arrays)
    file = "models/horse2zebra_pretrained/latest_net_G.pth"
    run(f"--checkpoint={file}", "--output=above/run")
    assert capsys.readouterr() == (
        f"generator_g (A2B): resnet of 3 filters and 6 blocks, from {file}\n"
        "Imported to above/run, as a run on 'horse2zebra'. To use it:\n"
        "  python export.py --run_dir above/run\n"
        f"  python -m cyclegan_tf translate --run_dir above/run {PICTURES}\n",
        "",
    )
    assert written("above/run") == RUN_FILES
    assert os.listdir("above") == ["run"]
    fields = {"dataset": "horse2zebra", "run_dir": "above/run"}
    assert load_config("above/run") == Config(**fields, num_filters=3, num_blocks=6)
    assert_holds("above/run", "generator_g", Architecture("resnet", 3, 6), arrays)


def test_numbers_of_a_kernel_keep_their_places():
    arrays = state_dict()
    run(f"--checkpoint={write('a.pth', arrays)}", "--output=run")
    kernel = load_network("run", "generator_g").get_layer("first_conv").kernel.numpy()
    np.testing.assert_array_equal(
        kernel[4, 2, 1, 0], arrays["model.1.weight"][0, 1, 4, 2]
    )


def test_flag_direction_chooses_the_generator():
    run(f"--checkpoint={write('a.pth')}", "--direction=B2A", "--output=run")
    assert_holds("run", "generator_f", RESNET, state_dict())


def test_empty_folder_and_home_are_taken(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    write("a.pth")
    os.mkdir("empty")
    os.chmod("empty", 0o700)
    run("--checkpoint=~/a.pth", "--output=~/empty")
    assert written("empty") == RUN_FILES
    write("training/latest_net_G_A.pth")
    run("--checkpoint=~/training", "--output=~/b")
    run("--generator_f=~/a.pth", "--output=~/c/d/")
    assert written("c/d") == RUN_FILES
    assert sorted(os.listdir()) == ["a.pth", "b", "c", "empty", "training"]


@pytest.mark.parametrize(
    "mask, folders, files", [(0o22, 0o755, 0o644), (0o77, 0o700, 0o600)]
)
def test_modes_are_those_of_other_files(mask, folders, files):
    before = os.umask(mask)
    try:
        run(f"--checkpoint={write('a.pth')}", "--output=run")
    finally:
        os.umask(before)
    for path in ("run", "run/checkpoints"):
        assert os.stat(path).st_mode & 0o777 == folders
    for path in RUN_FILES:
        assert os.stat(f"run/{path}").st_mode & 0o777 == files


# --- Whole trainings


@pytest.mark.parametrize("kind, judge", [(RESNET, PATCHGAN), (UNET, PIXEL)], ids=str)
def test_folder_becomes_a_run_of_four_networks(kind, judge, capsys):
    arrays = networks(kind, judge)
    write_training("maps", **arrays)
    size = "--image_size=64"
    run("--checkpoint=maps", "--output=run", size, "--dataset=mine")
    assert_holds("run", "generator_g", kind, arrays["G_A"])
    assert_holds("run", "generator_f", kind, arrays["G_B"])
    assert_holds("run", "discriminator_y", judge, arrays["D_A"])
    assert_holds("run", "discriminator_x", judge, arrays["D_B"])
    config, fields = load_config("run"), {**kind.fields(), **judge.fields()}
    assert {name: getattr(config, name) for name in fields} == fields
    lines = capsys.readouterr().out.splitlines()
    told = f"discriminator_y: {judge.told()}, from maps/latest_net_D_A.pth"
    assert lines[2] == told
    assert lines[1].startswith("generator_f (B2A): ")
    told = "Imported to run, as a run on 'mine'. To use it:"
    assert (len(lines), lines[4]) == (7, told)
    assert lines[5] == "  python export.py --run_dir run --pictures FOLDER"


def test_flags_name_networks_one_by_one():
    arrays = networks()
    args = {"generator_g": "G_A", "generator_f": "G_B"}
    args |= {"discriminator_x": "D_B", "discriminator_y": "D_A"}
    flags = [f"--{k}={write(f'{v}.safetensors', arrays[v])}" for k, v in args.items()]
    run(*flags, "--output=run")
    for name, theirs in args.items():
        kind = RESNET if name.startswith("generator") else PATCHGAN
        assert_holds("run", name, kind, arrays[theirs])


FOLDERS = {
    "all": (
        ["latest_net_G_A.pth", "latest_net_D_B.pth", "5_net_G_B.pth", "G_B.pth"],
        "latest",
        {"generator_g": "latest_net_G_A.pth", "discriminator_x": "latest_net_D_B.pth"},
    ),
    "epoch": (
        ["latest_net_G_A.pth", "15_net_G_A.pth", "5_net_G_B.pth"],
        "5",
        {"generator_f": "5_net_G_B.pth"},
    ),
    "endings": (
        ["1_net_G_A.pt", "1_net_G_B.safetensors", "1_net_D_A.bin", "1_net_D_B.PTH"],
        "1",
        {"generator_g": "1_net_G_A.pt", "generator_f": "1_net_G_B.safetensors"},
    ),
    "one network, several endings": (
        ["1_net_G_A.safetensors", "1_net_G_A.pt", "1_net_G_A.pth"],
        "1",
        {"generator_g": "1_net_G_A.pth"},
    ),
    "a generator of a test": (
        ["latest_net_G.pth"],
        "latest",
        {"generator_g": "latest_net_G.pth"},
    ),
    "that and those of a training": (
        ["latest_net_G.pth", "latest_net_G_A.pt"],
        "latest",
        {"generator_g": "latest_net_G_A.pt"},
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_files_of_a_folder_are_told_by_their_names(case, folder):
    names, epoch, expected = FOLDERS[case]
    for name in names:
        write(f"training/{name}")
    found = files_told("--checkpoint=training", f"--epoch={epoch}")
    assert found == {k: f"training/{v}" for k, v in expected.items()}


# --- One network of a file of several


def test_key_names_one_network_of_several(capsys):
    arrays = {f"net{k}": v for k, v in networks().items()}
    joined = {f"{k}.module.{n}": a for k, v in arrays.items() for n, a in v.items()}
    write("all.pth", {f"state.{name}": array for name, array in joined.items()})
    keys = {"generator_g": "netG_A", "generator_f": "state.netG_B.module"}
    keys |= {"discriminator_y": "netD_A.module"}
    run(*(f"--{k}=all.pth#{v}" for k, v in keys.items()), "--output=run")
    assert_holds("run", "generator_g", RESNET, arrays["netG_A"])
    assert_holds("run", "generator_f", RESNET, arrays["netG_B"])
    assert_holds("run", "discriminator_y", PATCHGAN, arrays["netD_A"])
    out = capsys.readouterr().out
    assert (
        "generator_g (A2B): resnet of 2 filters and 1 block, from all.pth#netG_A\n"
        in out
    )


def test_file_whose_name_has_the_sign_of_a_key(folder):
    write("a#b.pth")
    run("--generator_g=a#b.pth", "--output=run")
    assert_holds("run", "generator_g", RESNET, state_dict())
    write("c#d.pth", state_dict(seed=1, prefix="G.") | state_dict(seed=2, prefix="F."))
    run("--generator_g=c#d.pth#F", "--output=run2")
    assert_holds("run2", "generator_g", RESNET, state_dict(seed=2))
    assert load_config("run2").dataset == "c#d"


def test_whole_name_of_a_network_names_it():
    write("a.pth", state_dict(prefix="G.") | state_dict(seed=1, prefix="ema.G."))
    run("--generator_g=a.pth#ema.G", "--output=run")
    assert_holds("run", "generator_g", RESNET, state_dict(seed=1))
    run("--generator_g=a.pth#G", "--output=run2")
    assert_holds("run2", "generator_g", RESNET, state_dict())
