"""What `pytorch_import` refuses of flags and files, in a line; nothing is written."""

import os
import pathlib

import numpy as np
import pytest
from helpers.official_files import (
    PATCHGAN,
    PIXEL,
    RESNET,
    UNET,
    refuses,
    state_dict,
    write,
)

from cyclegan_tf.commands import pytorch_import
from cyclegan_tf.pytorch import importing
from cyclegan_tf.pytorch.networks import Architecture
from cyclegan_tf.validation import UserError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Tests work in a folder of their own, beside which nothing appears."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "here"
    assert os.listdir(tmp_path) == ["here"]


@pytest.fixture
def refused(capsys):
    def check(told, *args):
        refuses(pytorch_import, told, *args)
        assert capsys.readouterr() == ("", "")

    return check


# --- Flags

BAD_FLAGS = {
    "no file": (
        "^Either --checkpoint or files of networks must be given. See --help.$",
        ["--output=run"],
    ),
    "two ways": (
        "^Either --checkpoint or files of networks must be given. See --help.$",
        ["--output=run", "--checkpoint=a.pth", "--generator_f=a.pth"],
    ),
    "no output": ("^--output must be given. See --help.$", ["--checkpoint=a.pth"]),
    "direction": (
        "^`direction` must be one of A2B, B2A. Received: 'a2b'.$",
        ["--output=run", "--checkpoint=a.pth", "--direction=a2b"],
    ),
    "direction of a folder": (
        "^--direction is for a --checkpoint of one generator.$",
        ["--output=run", "--checkpoint=training", "--direction=A2B"],
    ),
    "direction of a named network": (
        "^--direction is for a --checkpoint of one generator.$",
        ["--output=run", "--generator_g=a.pth", "--direction=A2B"],
    ),
    "epoch of a file": (
        "^--epoch is for a --checkpoint that is a folder.$",
        ["--output=run", "--checkpoint=a.pth", "--epoch=5"],
    ),
    "another epoch": (
        "^training has no 5_net_G_A.pth or the like.$",
        ["--output=run", "--checkpoint=training", "--epoch=5"],
    ),
    "empty folder": (
        "^empty has no latest_net_G_A.pth or the like.$",
        ["--output=run", "--checkpoint=empty"],
    ),
    "no such file": (
        "^no.pth can't be read: No such file or directory.$",
        ["--output=run", "--checkpoint=no.pth"],
    ),
    "no such file of a key": (
        "^no.pth can't be read: No such file or directory.$",
        ["--output=run", "--checkpoint=no.pth#G"],
    ),
    "folder as a network": (
        "^training can't be read: Is a directory.$",
        ["--output=run", "--generator_g=training"],
    ),
    "image_size": (
        "^`image_size` must be a multiple of 4 for a `resnet` generator. "
        "Received: 250.$",
        ["--output=run", "--checkpoint=a.pth", "--image_size=250"],
    ),
    "image_size of a U-Net": (
        "^`image_size` must be a multiple of 32 for a `unet` generator of 5 halvings. "
        "Received: 48.$",
        ["--output=run", "--checkpoint=u.pth", "--image_size=48"],
    ),
    "small image_size": (
        "^`image_size` must be at least 8. Received: -256.$",
        ["--output=run", "--checkpoint=a.pth", "--image_size=-256"],
    ),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags_are_refused(refused, case):
    write("a.pth")
    write("u.pth", state_dict(UNET))
    write("training/latest_net_G_A.pth")
    os.mkdir("empty")
    told, args = BAD_FLAGS[case]
    refused(told, *args)


# --- Files


def changed(architecture=RESNET, **arrays):
    """A state dict with other arrays; __ stands for a dot, None for no array."""
    arrays = {name.replace("__", "."): array for name, array in arrays.items()}
    arrays = {**state_dict(architecture), **arrays}
    return {name: array for name, array in arrays.items() if array is not None}


def test_all_that_does_not_fit_is_told_at_once(refused):
    ones = np.ones(3, np.float32)
    arrays = changed(model__18__bias=None, model__99__bias=ones, model__4__bias=ones)
    write("a.pth", arrays)
    told = (
        r"^a\.pth does not fit a resnet \(missing: model\.18\.bias; unexpected: "
        r"model\.99\.bias; misshapen: model\.4\.bias \(3,\) instead of \(4,\)\)\.$"
    )
    refused(told, "--checkpoint=a.pth", "--output=run")


def test_one_bad_file_of_several_is_enough(refused):
    write("a.pth")
    write("b.pth", changed(PATCHGAN, model__5__bias=None))
    args = ["--generator_g=a.pth", "--discriminator_x=b.pth", "--output=run"]
    told = r"^b\.pth does not fit a patchgan \(missing: model\.5\.bias\)\.$"
    refused(told, *args)


ROLES = {
    "generator": ("discriminator_y", RESNET, "holds a generator (resnet), not a disc"),
    "unet": ("discriminator_x", UNET, "holds a generator (unet), not a discriminator"),
    "patchgan": ("generator_f", PATCHGAN, "holds a discriminator (patchgan), not a g"),
    "pixel": ("generator_g", PIXEL, "holds a discriminator (pixel), not a generator"),
}


@pytest.mark.parametrize("case", ROLES)
def test_network_of_the_other_role_is_refused(refused, case):
    name, architecture, told = ROLES[case]
    write("a.pth", state_dict(architecture))
    told = "^a.pth " + told.replace("(", r"\(").replace(")", r"\)")
    refused(told, f"--{name}=a.pth", "--output=run")


def test_two_networks_of_a_role_must_be_alike(refused):
    write("a.pth")
    write("b.pth", state_dict(Architecture("resnet", 2, 2)))
    told = (
        r"^The two generators must be alike \(generator_g: resnet of 2 filters and 1 "
        r"block; generator_f: resnet of 2 filters and 2 blocks\)\.$"
    )
    refused(told, "--generator_g=a.pth", "--generator_f=b.pth", "--output=run")
    write("c.pth", state_dict(PATCHGAN))
    write("d.pth", state_dict(PIXEL))
    told = (
        r"^The two discriminators must be alike \(discriminator_y: patchgan of 2 "
        r"filters and 2 stride-2 layers; discriminator_x: pixel of 2 filters\)\.$"
    )
    files = ["--discriminator_y=c.pth", "--discriminator_x=d.pth"]
    refused(told, *files, "--output=run")


@pytest.mark.parametrize("channels, architecture", [(1, RESNET), (6, PATCHGAN)])
def test_pictures_of_other_channels_are_refused(refused, channels, architecture):
    kind, filters, depth = (
        architecture.kind,
        architecture.num_filters,
        architecture.depth,
    )
    write("a.pth", state_dict(Architecture(kind, filters, depth, channels)))
    flag = "--generator_g" if kind == "resnet" else "--discriminator_x"
    told = f"^a.pth is for pictures of {channels} channels; here they have 3.$"
    refused(told, f"{flag}=a.pth", "--output=run")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["model.18.weight", "model.1.bias"])
def test_numbers_that_are_not_finite_are_refused(refused, name, value):
    arrays = state_dict()
    arrays[name].flat[-1] = value
    write("a.pth", arrays)
    told = f"^{name} in a.pth is not finite everywhere.$"
    refused(told, "--checkpoint=a.pth", "--output=run")


def test_numbers_too_large_for_float32_are_refused(refused):
    arrays = changed(model__1__bias=np.array([1.0, 1e39]))
    write("a.safetensors", arrays)
    told = "^model.1.bias in a.safetensors is not finite everywhere.$"
    refused(told, "--checkpoint=a.safetensors", "--output=run")


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "bool"])
def test_whole_numbers_are_refused(refused, dtype):
    write("a.safetensors", changed(model__4__bias=np.ones(4, dtype)))
    told = f"^model.4.bias in a.safetensors is {dtype}, not a floating point number.$"
    refused(told, "--checkpoint=a.safetensors", "--output=run")


def test_network_without_filters_is_refused(refused):
    write("a.safetensors", state_dict(Architecture("resnet", 0, 1)))
    told = "^`num_filters` must be at least 1. Received: 0.$"
    refused(told, "--checkpoint=a.safetensors", "--output=run")


def test_file_without_a_network_is_told_with_what_it_holds(refused):
    write("a.pth", {f"layer.{i}.weight": np.ones(1, np.float32) for i in range(9)})
    write("b.pth", {})
    names = ", ".join(f"layer.{i}.weight" for i in range(4))
    told = f"^a.pth holds none of the official networks, but {names}.$"
    refused(told, "--checkpoint=a.pth", "--output=run")
    told = "^b.pth holds none of the official networks, but no tensor.$"
    refused(told, "--checkpoint=b.pth", "--output=run")


def test_damaged_file_is_refused(refused, folder):
    data = pathlib.Path(write("a.pth")).read_bytes()
    (folder / "a.pth").write_bytes(data[:-100])
    refused("^a.pth .*damaged", "--checkpoint=a.pth", "--output=run")
    (folder / "a.pth").write_bytes(b"")
    told = "^a.pth is neither a PyTorch nor a safetensors file.$"
    refused(told, "--checkpoint=a.pth", "--output=run")


@pytest.mark.parametrize("fitting", [True, False])
def test_names_with_control_characters_are_told_in_a_line(fitting):
    strange = {"a\nerror: \x1b[31m": np.ones(1, np.float32)}
    write("a.pth", state_dict() | strange if fitting else strange)
    with pytest.raises(UserError) as error:
        importing.import_networks({"generator_g": "a.pth"}, "run")
    assert str(error.value).isprintable()


# --- Keys


def test_key_must_name_one_network(refused):
    write("a.pth", state_dict(prefix="G.") | state_dict(PATCHGAN, prefix="x.D."))
    both = "a.pth#G, a.pth#x.D"
    told = f"^a.pth holds several networks; name one of {both}.$"
    refused(told, "--checkpoint=a.pth", "--output=run")
    refused(told, "--checkpoint=a.pth#", "--output=run")
    told = f"^a.pth has no network 'netG'; it has {both}.$"
    refused(told, "--checkpoint=a.pth#netG", "--output=run")
    for key in ("D.x", "x.", ".D", "g"):
        told = f"^a.pth has no network '{key}'; it has {both}.$"
        refused(told, f"--checkpoint=a.pth#{key}", "--output=run")
    refused(r"^a.pth#x.D holds a disc", "--checkpoint=a.pth#x.D", "--output=run")


def test_key_of_a_file_of_one_network_is_told_to_be_left_out(refused):
    write("a.pth")
    told = "^a.pth holds one network, without a key: leave out #G.$"
    refused(told, "--generator_g=a.pth#G", "--output=run")
