"""Runs of imported weights: their configuration, and what other programs make of it."""

import os
import re

import pytest
from helpers.exporting_samples import file_names, nothing_changes, write_pictures
from helpers.official_files import (
    PATCHGAN,
    RESNET,
    UNET,
    as_program,
    assert_holds,
    call,
    refuses,
    state_dict,
    write,
)
from helpers.translations import assert_near, direct, picture

from cyclegan_tf.commands import pytorch_import, translate
from cyclegan_tf.data import images
from cyclegan_tf.data.picture_files import write_png
from cyclegan_tf.exporting.export import carry_out
from cyclegan_tf.exporting.request import Request
from cyclegan_tf.pytorch.importing import dataset_of, import_networks
from cyclegan_tf.pytorch.networks import Architecture
from cyclegan_tf.run_directory import load_config
from cyclegan_tf.training import train as training
from cyclegan_tf.training.checkpoints import load_network
from cyclegan_tf.validation import UserError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Tests work in a folder of their own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def imported(*names, dataset="shapes", image_size=32) -> str:
    """A run of a ResNet for each generator named, and PatchGANs likewise."""
    files = {}
    for seed, name in enumerate(names):
        kind = RESNET if name.startswith("generator") else PATCHGAN
        files[name] = write(f"{name}.pth", state_dict(kind, seed))
    import_networks(files, "run", image_size, dataset)
    return "run"


# --- Sizes and names

SIZES = {
    "resnet": (RESNET, 0, (256, 286)),
    "resnet at 512": (RESNET, 512, (512, 572)),
    "resnet at 100": (RESNET, 100, (100, 111)),
    "unet 32": (UNET, 0, (32, 35)),
    "unet 32 at 64": (UNET, 64, (64, 71)),
    "unet 128": (Architecture("unet", 1, 7), 0, (128, 143)),
    "unet 256": (Architecture("unet", 1, 8), 0, (256, 286)),
}


@pytest.mark.parametrize("case", SIZES)
def test_sizes_suit_the_generator_and_the_official_recipe(case):
    architecture, size, expected = SIZES[case]
    write("a.pth", state_dict(architecture))
    call(pytorch_import, "--checkpoint=a.pth", "--output=run", f"--image_size={size}")
    config = load_config("run")
    assert (config.image_size, config.load_size) == expected


def test_discriminator_alone_has_the_recipes_sizes():
    write("a.pth", state_dict(PATCHGAN))
    call(pytorch_import, "--discriminator_x=a.pth", "--output=run")
    config = load_config("run")
    assert (config.image_size, config.load_size) == (256, 286)
    assert (config.discriminator_filters, config.discriminator_layers) == (2, 2)


NAMES = {
    "horse2zebra.pth": "horse2zebra",
    "a/b/horse2zebra.safetensors": "horse2zebra",
    "monet2photo_pretrained/latest_net_G.pth": "monet2photo",
    "monet2photo/200_net_G_B.pt": "monet2photo",
    "monet2photo_pretrained.pth": "monet2photo",
    "all.pth#netG_A": "all",
    "~/maps/latest_net_G_A.pth#x": "maps",
    "/latest_net_G.pth": "imported",
    "_pretrained.pth": "imported",
}


@pytest.mark.parametrize("file", NAMES)
def test_data_set_is_told_from_the_name(file):
    assert dataset_of(file) == NAMES[file]


def test_flag_names_the_data_set():
    call(
        pytorch_import,
        f"--checkpoint={write('a.pth')}",
        "--output=run",
        "--dataset=maps",
    )
    assert load_config("run").dataset == "maps"


# --- As a program

COMMAND = "-m", "cyclegan_tf", "pytorch_import"
HEAVY = ("tensorflow", "keras", "torch")


def test_help_names_every_flag_without_tensorflow_and_torch(folder):
    result = as_program(folder, *COMMAND, "--help", without=HEAVY)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(
        f"usage: python {' '.join(COMMAND)} --checkpoint FILE"
    )
    named = re.findall(r"^  --(\w+)", result.stdout, re.MULTILINE)
    assert named == [*pytorch_import.FLAGS, "help"]
    assert max(map(len, result.stdout.splitlines())) <= 88


def test_refusal_is_one_line_without_tensorflow_and_torch(folder):
    args = ["--generator_g=a.pth", "--discriminator_x=a.pth", "--output=run"]
    write("a.pth")
    result = as_program(folder, *COMMAND, *args, without=HEAVY)
    told = "error: a.pth holds a generator (resnet), not a discriminator.\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", told)
    assert os.listdir() == ["a.pth"]


def test_program_imports_without_torch(folder):
    write("edges2cats.pth")
    args = ["--checkpoint", "edges2cats.pth", "--output", "run"]
    result = as_program(folder, *COMMAND, *args)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "generator_g (A2B): resnet of 2 filters and 1 block, from edges2cats.pth\n"
        "Imported to run, as a run on 'edges2cats'. To use it:\n"
        "  python export.py --run_dir run --pictures FOLDER\n"
        "  python -m cyclegan_tf translate --run_dir run --input PICTURES --output "
        "FOLDER\n"
    )
    assert len(file_names(folder / "run")) == 3
    assert_holds("run", "generator_g", RESNET, state_dict())


# --- Translating


def test_translate_takes_the_generator_that_is_there(folder, capsys):
    run = imported("generator_f")
    pixels = picture(33, 47)
    write_png(pixels, folder / "in/a.png")
    refuses(
        translate,
        "^run/checkpoints/step-0 does not hold generator_g; it holds generator_f.$",
        f"--run_dir={run}",
        "--input=in",
        "--output=out",
    )
    args = [f"--run_dir={run}", "--input=in", "--output=out", "--direction=B2A"]
    call(translate, *args)
    made = images.decode(folder / "out/a.png")
    assert_near(made, direct(load_network(run, "generator_f"), pixels))


# --- Exporting


def test_directions_that_are_there_are_exported(tried, folder):
    write_pictures(folder / "pictures", 1)
    for names, expected in (
        (["generator_f"], ["shapes_B2A"]),
        (["generator_g", "discriminator_x"], ["shapes_A2B"]),
        (["generator_f", "generator_g"], ["shapes_A2B", "shapes_B2A"]),
    ):
        os.mkdir(str(len(tried)))
        os.chdir(str(len(tried)))
        imported(*names)
        carry_out(Request("run", formats=("keras",), pictures="../pictures"))
        assert sorted(os.listdir("run/export/keras")) == [
            f"{n}.keras" for n in expected
        ]
        os.chdir("..")


def test_direction_that_is_not_there_is_refused(tried, folder):
    imported("generator_f")
    write_pictures(folder / "pictures", 1)
    fields = {"formats": ("keras",), "pictures": "pictures"}
    told = "does not hold generator_g; it holds generator_f"
    with nothing_changes(folder), pytest.raises(UserError, match=told):
        carry_out(Request("run", directions=("A2B", "B2A"), **fields))


def test_run_of_discriminators_has_nothing_to_export(tried, folder):
    imported("discriminator_x")
    told = "^run/checkpoints/step-0 holds no generator.$"
    with nothing_changes(folder), pytest.raises(UserError, match=told) as error:
        carry_out(Request("run"))
    assert "\n" not in str(error.value)


def test_exported_files_pass_as_those_of_a_run(folder, capsys):
    imported("generator_f", dataset="not a data set")
    write_pictures(folder / "pictures", 2)
    request = Request("run", tflite_types=("float32",), pictures="pictures")
    rows = carry_out(request)
    signatures = ("translate_float", "translate", "serving_default")
    version = "saved_model/not_a_data_set_B2A/1"
    assert [row["path"] for row in rows] == [
        *(f"{version}:{name}" for name in signatures),
        "tflite/not_a_data_set_B2A_float32.tflite",
        "keras/not_a_data_set_B2A.keras",
    ]
    assert [row["problem"] for row in rows] == 5 * [None]
    assert max(row["max_error"] for row in rows if "float" in row["path"]) < 1e-4
    record = (folder / "run/export/export.json").read_text()
    assert '"step": 0' in record
    assert "Exported version 1 to run/export" in capsys.readouterr().out


# --- Training


def test_training_does_not_go_on_with_it(folder):
    imported("generator_g", "generator_f", "discriminator_x", "discriminator_y")
    told = "^.*run.* has networks only, no optimizers.* --initialize_from"
    with nothing_changes(folder), pytest.raises(UserError, match=told) as error:
        training.train(load_config("run"))
    assert "\n" not in str(error.value)


def test_training_refuses_it_before_it_looks_for_the_data_set(folder):
    imported("generator_g", dataset="weights of mine")
    for refuses_it in (training.train, training.describe):
        with pytest.raises(UserError, match="--initialize_from run.$"):
            refuses_it(load_config("run"))
