"""`python -m cyclegan_tf pytorch_import`: its flags, what is written, and failures."""

import json
import os
import pathlib
import re
import tempfile

import numpy as np
import pytest
from absl import flags
from helpers.exporting_samples import file_names, nothing_changes, write_pictures
from helpers.official_files import (
    PATCHGAN,
    PIXEL,
    RESNET,
    UNET,
    assert_holds,
    call,
    files_end_at,
    refuses,
    state_dict,
    write,
)
from helpers.translations import assert_near, direct, picture

from cyclegan_tf.commands.program import define_flags
from cyclegan_tf.commands.pytorch import PYTORCH_IMPORT, files_of
from cyclegan_tf.commands.translate import TRANSLATE
from cyclegan_tf.config import Config
from cyclegan_tf.data import images
from cyclegan_tf.data.folders import write_png
from cyclegan_tf.deploy.export import export_run
from cyclegan_tf.deploy.export_options import ExportOptions
from cyclegan_tf.files import machine
from cyclegan_tf.messages import UserError
from cyclegan_tf.pytorch import weights
from cyclegan_tf.pytorch.networks import Architecture, read_network, to_keras
from cyclegan_tf.pytorch.weights import dataset_of, import_networks
from cyclegan_tf.training import checkpoints
from cyclegan_tf.training import train as training
from cyclegan_tf.training.checkpoints import load_network
from cyclegan_tf.training.run_directory import load_config, newest_checkpoint
from cyclegan_tf.training.run_lock import one_writer

RUN_FILES = {
    "config.json",
    "checkpoints/step-0.index",
    "checkpoints/step-0.data-00000-of-00001",
}

pytestmark = pytest.mark.usefixtures("folder")


def run(*args):
    call(PYTORCH_IMPORT, *args)


def refused(told, *args):
    refuses(PYTORCH_IMPORT, told, "--output=run", *args)


def files_told(*args):
    values = flags.FlagValues()
    define_flags(PYTORCH_IMPORT.flags, values)
    values(["import", *args])
    return files_of(values)


# --- Flags

A2B = "a.pth latest_net_G.pth latest_net_G_A.pth net_G_B/a.pth net_G_Best.pth"
B2A = "x/latest_net_G_B.pth 5_net_G_B.safetensors all.pth#netG_B 5_net_G_B.pth#module"


def test_direction_is_that_of_the_flag_or_the_name():
    for name, files, other in (("generator_g", A2B, B2A), ("generator_f", B2A, A2B)):
        for file in files.split():
            assert files_told(f"--checkpoint={file}") == {name: file}
        direction = "A2B" if name == "generator_g" else "B2A"
        for file in other.split():
            args = f"--checkpoint={file}", f"--direction={direction}"
            assert files_told(*args) == {name: file}
    names = "generator_g", "generator_f", "discriminator_x", "discriminator_y"
    told = {name: f"{name}.pth" for name in names}
    assert files_told(*(f"--{name}={file}" for name, file in told.items())) == told


# An epoch, the files of it that are taken, and others in their folder.
FOLDERS = [
    ("latest", "latest_net_G_A.pth latest_net_D_B.pth", "5_net_G_B.pth G_B.pth"),
    ("5", "5_net_G_B.pth", "latest_net_G_A.pth 15_net_G_A.pth"),
    ("1", "1_net_G_A.pt 1_net_G_B.safetensors", "1_net_D_A.bin 1_net_D_B.PTH"),
    ("1", "1_net_G_A.pth", "1_net_G_A.safetensors 1_net_G_A.pt"),
    ("1", "1_net_D_A.pth", ""),
    # The generator of a test.
    ("latest", "latest_net_G.pth", ""),
    ("latest", "latest_net_G_A.pt", "latest_net_G.pth"),
]
TAKEN_AS = {
    "G": "generator_g",
    "G_A": "generator_g",
    "G_B": "generator_f",
    "D_A": "discriminator_y",
    "D_B": "discriminator_x",
}


def test_files_of_a_folder_are_told_by_their_names():
    for i, (epoch, taken, others) in enumerate(FOLDERS):
        for name in (*taken.split(), *others.split()):
            write(f"{i}/{name}")
        expected = {}
        for name in taken.split():
            theirs = name.partition("_net_")[2].partition(".")[0]
            expected[TAKEN_AS[theirs]] = f"{i}/{name}"
        assert files_told(f"--checkpoint={i}", f"--epoch={epoch}") == expected


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


def test_data_set_is_told_from_the_name():
    for file, name in NAMES.items():
        assert dataset_of(file) == name


SIZES = [(RESNET, 0, (256, 286)), (RESNET, 512, (512, 572)), (RESNET, 100, (100, 111))]
SIZES += [(UNET, 0, (32, 35)), (UNET, 64, (64, 71)), (PATCHGAN, 0, (256, 286))]


def test_sizes_suit_the_generator_and_the_official_recipe(monkeypatch):
    configs = []
    monkeypatch.setattr(
        weights, "_write_run", lambda config, *_: configs.append(config)
    )
    for architecture, size, expected in SIZES:
        name = "discriminator_x" if architecture is PATCHGAN else "generator_g"
        import_networks({name: write("a.pth", state_dict(architecture))}, "run", size)
        assert (configs[-1].image_size, configs[-1].load_size) == expected
    judge = (configs[-1].discriminator_filters, configs[-1].discriminator_layers)
    assert judge == (2, 2)


BAD_FLAGS = {
    "Either --checkpoint or files of networks": ["--output=run"],
    "Either --checkpoint or files": ["--checkpoint=a.pth", "--generator_f=a.pth"],
    "--output must be given": ["--output=", "--checkpoint=a.pth"],
    "`direction`.*'a2b'": ["--checkpoint=a.pth", "--direction=a2b"],
    "--direction is for": ["--checkpoint=training", "--direction=A2B"],
    "--direction is for .* one": ["--generator_g=a.pth", "--direction=A2B"],
    "--epoch is for": ["--checkpoint=a.pth", "--epoch=5"],
    "training has no 5_net_G_A.pth": ["--checkpoint=training", "--epoch=5"],
    "empty has no latest_net_G_A.pth": ["--checkpoint=empty"],
    "no.pth can't be read: No such file": ["--checkpoint=no.pth"],
    "no.pth can't be read: No such file or": ["--checkpoint=no.pth#G"],
    "training can't be read: Is a directory": ["--generator_g=training"],
    "`image_size`.*4.*250": ["--checkpoint=a.pth", "--image_size=250"],
    "`image_size`.*32.*48": ["--checkpoint=u.pth", "--image_size=48"],
    "`image_size`.*8.*-256": ["--checkpoint=a.pth", "--image_size=-256"],
}


def test_bad_flags_are_refused(capsys):
    write("a.pth")
    write("u.pth", state_dict(UNET))
    write("training/latest_net_G_A.pth")
    os.mkdir("empty")
    for told, args in BAD_FLAGS.items():
        refused(f"^{told}", *args)
    assert capsys.readouterr() == ("", "")


# --- What is written

PICTURES = "--input PICTURES --output FOLDER"


@pytest.mark.stack
def test_generator_becomes_a_run_directory(capsys):
    architecture = Architecture("resnet", 3, 6)
    file = "models/horse2zebra_pretrained/latest_net_G.pth"
    arrays = state_dict(architecture)
    run(f"--checkpoint={write(file, arrays)}", "--output=above/run")
    assert capsys.readouterr() == (
        f"generator_g (A2B): resnet of 3 filters and 6 blocks, from {file}\n"
        "Imported to above/run, as a run on 'horse2zebra'. To use it:\n"
        "  python export.py --run_dir above/run\n"
        f"  python -m cyclegan_tf translate --run_dir above/run {PICTURES}\n",
        "",
    )
    assert file_names(pathlib.Path("above/run")) == RUN_FILES
    assert os.listdir("above") == ["run"]
    fields = {"dataset": "horse2zebra", "run_dir": "above/run"}
    assert load_config("above/run") == Config(**fields, num_filters=3, num_blocks=6)
    assert_holds("above/run", "generator_g", architecture, arrays)


@pytest.mark.stack
def test_folder_becomes_a_run_of_four_networks(capsys):
    kinds = {"G_A": UNET, "G_B": UNET, "D_A": PIXEL, "D_B": PIXEL}
    arrays = {n: state_dict(a, seed) for seed, (n, a) in enumerate(kinds.items())}
    for name, array in arrays.items():
        write(f"maps/latest_net_{name}.pth", array)
    size = "--image_size=64"
    run("--checkpoint=maps", "--output=run", size, "--dataset=mine")
    for theirs, kind in kinds.items():
        assert_holds("run", TAKEN_AS[theirs], kind, arrays[theirs])
    config, fields = (
        load_config("run"),
        {**UNET.config_fields(), **PIXEL.config_fields()},
    )
    assert {name: getattr(config, name) for name in fields} == fields
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("generator_f (B2A): ")
    assert (
        lines[2] == f"discriminator_y: {PIXEL.describe()}, from maps/latest_net_D_A.pth"
    )
    assert "'mine'" in lines[4]
    assert lines[5:] == [
        "  python export.py --run_dir run --pictures FOLDER",
        f"  python -m cyclegan_tf translate --run_dir run {PICTURES}",
    ]


def test_empty_folder_and_home_are_taken(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    write("a.pth")
    os.mkdir("empty")
    os.chmod("empty", 0o700)
    run("--checkpoint=~/a.pth", "--output=~/empty")
    assert file_names(folder / "empty") == RUN_FILES
    write("training/latest_net_G_A.pth")
    run("--checkpoint=~/training", "--output=~/b")
    run("--generator_f=~/a.pth", "--output=~/c/d/")
    assert file_names(folder / "c/d") == RUN_FILES
    assert sorted(os.listdir()) == ["a.pth", "b", "c", "empty", "training"]


@pytest.mark.parametrize("output", [".", "../link"])
def test_empty_folder_that_is_here_or_linked_is_taken(folder, output, monkeypatch):
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("empty")
    monkeypatch.chdir(folder / "empty")
    import_networks({"generator_g": write(folder / "a.pth")}, output)
    assert file_names(folder / "empty") == RUN_FILES


@pytest.mark.parametrize("mask", [0o22, 0o77])
def test_modes_are_those_of_other_files(mask):
    before = os.umask(mask)
    try:
        run(f"--checkpoint={write('a.pth')}", "--output=run")
    finally:
        os.umask(before)
    for path in ("run", "run/checkpoints", *(f"run/{file}" for file in RUN_FILES)):
        mode = 0o777 if os.path.isdir(path) else 0o666
        assert os.stat(path).st_mode & 0o777 == mode & ~mask


# --- Failures half-way


def test_nothing_is_written_over(folder):
    (folder / "full").mkdir()
    for name in ("full/.hidden", "file"):
        (folder / name).write_text("mine")
    links = {"dangling": "nowhere", "looped": "looped", "linked": "full"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
    file = f"--checkpoint={write('a.pth')}"
    for name in ("full", "file", *links):
        refused(f"^{name} exists already", file, f"--output={name}")
    assert os.readlink("dangling") == "nowhere"
    for place, told in {
        "file/run": "Not a directory",
        "/proc/none/run": "No such file",
        300 * "x": "File name too long",
    }.items():
        refused(f"^{place} can't be written to: {told}", file, f"--output={place}")


def test_folder_that_is_closed_to_us_is_told(monkeypatch):
    def mkdtemp(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    told = "^above/run can't be written to: Permission denied"
    refused(told, f"--checkpoint={write('a.pth')}", "--output=above/run")


def test_full_disk_leaves_nothing():
    write("a.pth")
    for num_bytes in (100, 2_000, 10_000):
        with files_end_at(num_bytes):
            told = "^above/run can't be written to: File too large"
            refused(told, "--checkpoint=a.pth", "--output=above/run")


def test_end_while_the_run_is_tried_leaves_nothing(folder, monkeypatch):
    def load_network(run_dir, name):
        assert newest_checkpoint(run_dir)
        raise raised

    monkeypatch.setattr(checkpoints, "load_network", load_network)
    write("a.pth")
    os.mkdir("empty")
    for raised in (UserError("is damaged"), KeyboardInterrupt(), SystemExit(143)):
        for output in ("above/run", "empty"):
            with nothing_changes(folder), pytest.raises(type(raised)):
                import_networks({"generator_g": "a.pth"}, output)


def test_place_that_is_taken_meanwhile_stays(folder, monkeypatch):
    save_networks = checkpoints.save_networks

    def and_another_comes(*args):
        save_networks(*args)
        write("run/config.json")

    monkeypatch.setattr(checkpoints, "save_networks", and_another_comes)
    write("a.pth")
    told = "^run can't be written to: config.json is there already"
    with pytest.raises(UserError, match=told):
        import_networks({"generator_g": "a.pth"}, "run")
    assert sorted(os.listdir()) == ["a.pth", "run"]
    assert os.listdir("run") == ["config.json"]


def test_run_that_is_held_is_refused(folder):
    write("a.pth")
    with one_writer("run"), nothing_changes(folder):
        refused("^run is held by process ", "--checkpoint=a.pth")
    assert os.listdir() == ["a.pth"]


def test_what_a_killed_import_left_is_taken_over():
    write("a.pth")
    dead = f"run/.cyclegan_tf-{machine()}-99999999-1-abcd0123"
    write(f"{dead}/config.json")
    with open("run/run.lock", "w") as file:
        json.dump({"machine": machine()}, file)
    import_networks({"generator_g": "a.pth"}, "run")
    assert sorted(os.listdir("run")) == ["checkpoints", "config.json"]


# --- Keys


def assert_found(file, name, architecture, arrays) -> None:
    found, weights = read_network(name, file)
    assert found == architecture
    for key, array in to_keras(architecture, arrays).items():
        np.testing.assert_array_equal(weights.pop(key), array, err_msg=key)
    assert not weights


def test_key_names_one_network_of_several():
    arrays = {"G_A": state_dict(), "G_B": state_dict(seed=1), "D": state_dict(PATCHGAN)}
    joined = {f"s.{n}.module.{k}": a for n, v in arrays.items() for k, a in v.items()}
    file = write("a#b.pth", joined)
    for key in ("G_A", "s.G_A", "G_A.module", "s.G_A.module"):
        assert_found(f"{file}#{key}", "generator_g", RESNET, arrays["G_A"])
    assert_found(f"{file}#G_B", "generator_g", RESNET, arrays["G_B"])
    assert_found(f"{file}#s.D", "discriminator_x", PATCHGAN, arrays["D"])
    assert dataset_of(f"{file}#G_B") == "a#b"
    assert_found(write("c#d.pth"), "generator_g", RESNET, state_dict())


def test_whole_name_of_a_network_names_it():
    write("a.pth", state_dict(prefix="G.") | state_dict(seed=1, prefix="ema.G."))
    assert_found("a.pth#ema.G", "generator_g", RESNET, state_dict(seed=1))
    assert_found("a.pth#G", "generator_g", RESNET, state_dict())


def test_key_must_name_one_network():
    write("a.pth", state_dict(prefix="G.") | state_dict(PATCHGAN, prefix="x.D."))
    both = "a.pth#G, a.pth#x.D"
    for file in ("a.pth", "a.pth#"):
        told = f"^a.pth holds several networks; name one of {both}.$"
        refused(told, f"--checkpoint={file}")
    for key in ("netG", "D.x", "x.", ".D", "g"):
        told = f"^a.pth has no network '{key}'; it has {both}.$"
        refused(told, f"--checkpoint=a.pth#{key}")
    refused(r"^a.pth#x.D holds a disc", "--checkpoint=a.pth#x.D")
    told = "^b.pth holds one network, without a key: leave out #G.$"
    refused(told, f"--generator_g={write('b.pth')}#G")


# --- Files


def changed(architecture=RESNET, **arrays):
    """A state dict with other arrays; __ stands for a dot, None for no array."""
    arrays = {name.replace("__", "."): array for name, array in arrays.items()}
    arrays = {**state_dict(architecture), **arrays}
    return {name: array for name, array in arrays.items() if array is not None}


def test_all_that_does_not_fit_is_told_at_once():
    ones = np.ones(3, np.float32)
    arrays = changed(model__18__bias=None, model__99__bias=ones, model__4__bias=ones)
    write("b.pth", arrays)
    told = (
        "b.pth does not fit a resnet (missing: model.18.bias; unexpected: "
        "model.99.bias; misshapen: model.4.bias (3,) instead of (4,))."
    )
    refused(f"^{re.escape(told)}$", "--checkpoint=b.pth")
    write("a.pth")
    write("b.pth", changed(PATCHGAN, model__5__bias=None))
    told = r"^b\.pth does not fit a patchgan \(missing: model\.5\.bias\)\.$"
    refused(told, "--generator_g=a.pth", "--discriminator_x=b.pth")


def test_network_of_the_other_role_or_of_no_filters_is_refused():
    for name, architecture, role in (
        ("discriminator_y", RESNET, "generator"),
        ("discriminator_x", UNET, "generator"),
        ("generator_f", PATCHGAN, "discriminator"),
        ("generator_g", PIXEL, "discriminator"),
    ):
        write("a.pth", state_dict(architecture))
        told = rf"^a.pth holds a {role} \({architecture.kind}\), not a {name[:9]}"
        refused(told, f"--{name}=a.pth")
    write("a.safetensors", state_dict(Architecture("resnet", 0, 1)))
    refused("^`num_filters`.*0", "--checkpoint=a.safetensors")


def test_two_networks_of_a_role_must_be_alike():
    two_blocks = Architecture("resnet", 2, 2)
    write("a.pth")
    write("b.pth", state_dict(two_blocks))
    write("c.pth", state_dict(PATCHGAN))
    write("d.pth", state_dict(PIXEL))
    told = f"generator_g: {RESNET.describe()}; generator_f: {two_blocks.describe()}"
    told = rf"^The two generators must be alike \({told}\)"
    refused(told, "--generator_g=a.pth", "--generator_f=b.pth")
    told = (
        f"discriminator_y: {PATCHGAN.describe()}; discriminator_x: {PIXEL.describe()}"
    )
    told = rf"^The two discriminators must be alike \({told}\)"
    refused(told, "--discriminator_y=c.pth", "--discriminator_x=d.pth")
    assert RESNET.describe() == "resnet of 2 filters and 1 block"
    assert PATCHGAN.describe() == "patchgan of 2 filters and 2 stride-2 layers"


def test_pictures_of_other_channels_are_refused():
    for channels, name, kind in (
        (1, "generator_g", "resnet"),
        (6, "discriminator_x", "patchgan"),
    ):
        write("a.pth", state_dict(Architecture(kind, 2, 2, channels)))
        refused(f"^a.pth is for .* {channels} channels", f"--{name}=a.pth")


def test_numbers_that_are_no_finite_floats_are_refused():
    for name in ("model.18.weight", "model.1.bias"):
        for value in (np.nan, np.inf, -np.inf):
            arrays = state_dict()
            arrays[name].flat[-1] = value
            write("a.pth", arrays)
            refused(f"^{name} in a.pth is not finite", "--checkpoint=a.pth")
    # Too large for float32.
    write("a.safetensors", changed(model__1__bias=np.array([1.0, 1e39])))
    told = "^model.1.bias in a.safetensors is not finite"
    refused(told, "--checkpoint=a.safetensors")
    for dtype in ("int8", "int64", "uint8", "bool"):
        write("a.safetensors", changed(model__4__bias=np.ones(4, dtype)))
        told = f"^model.4.bias in a.safetensors is {dtype}, not a floating point"
        refused(told, "--checkpoint=a.safetensors")


def test_file_that_is_damaged_or_without_a_network_is_refused(folder):
    one, file = np.ones(1, np.float32), "--checkpoint=a.pth"
    write("a.pth", {f"layer.{i}.weight": one for i in range(9)})
    names = ", ".join(f"layer.{i}.weight" for i in range(4))
    refused(f"^a.pth holds none of the official networks, but {names}.$", file)
    write("a.pth", {})
    refused("^a.pth holds none of the official networks, but no tensor", file)
    data = pathlib.Path(write("a.pth")).read_bytes()
    (folder / "a.pth").write_bytes(data[:-100])
    refused("^a.pth .*damaged", file)
    (folder / "a.pth").write_bytes(b"")
    refused("^a.pth is neither a PyTorch nor", file)
    strange = {"a\nerror: \x1b[31m": one}
    for arrays in (strange, state_dict() | strange):
        write("a.pth", arrays)
        with pytest.raises(UserError) as error:
            import_networks({"generator_g": "a.pth"}, "run")
        assert str(error.value).isprintable()


# --- What other programs make of a run of imported weights


def imported(*names, dataset="shapes", image_size=32) -> None:
    """A run of a ResNet for each generator named, and PatchGANs likewise."""
    files = {}
    for seed, name in enumerate(names):
        kind = RESNET if name.startswith("generator") else PATCHGAN
        files[name] = write(f"{name}.pth", state_dict(kind, seed))
    import_networks(files, "run", image_size, dataset)


def test_translate_takes_the_generator_that_is_there(folder):
    imported("generator_f")
    pixels = picture(33, 47)
    write_png(pixels, folder / "in/a.png")
    told = "^run/checkpoints/step-0 does not hold generator_g; it holds generator_f"
    args = ["--run_dir=run", "--input=in", "--output=out"]
    refuses(TRANSLATE, told, *args)
    call(TRANSLATE, *args, "--direction=B2A")
    made = images.decode(folder / "out/a.png")
    assert_near(made, direct(load_network("run", "generator_f"), pixels))


def test_directions_that_are_there_are_exported(tried, folder):
    write_pictures(folder / "pictures", 1)
    fields = {"formats": ("keras",), "pictures": str(folder / "pictures")}

    def refused(told, **more):
        with nothing_changes(folder), pytest.raises(UserError, match=told):
            export_run(ExportOptions("run", **fields, **more))

    imported("discriminator_x")
    refused("holds no generator")
    os.rename("run", "judges")
    imported("generator_f", "discriminator_x", dataset="not a data set")
    refused("not hold generator_g; it holds generator_f", directions=("A2B", "B2A"))
    (row,) = export_run(ExportOptions("run", **fields))
    assert row["path"] == "keras/not_a_data_set_B2A.keras"
    assert '"step": 0' in (folder / "run/export/export.json").read_text()
    os.rename("run", "one")
    imported("generator_f", "generator_g")
    rows = export_run(ExportOptions("run", **fields))
    names = ["keras/shapes_A2B.keras", "keras/shapes_B2A.keras"]
    assert sorted(row["path"] for row in rows) == names


@pytest.mark.slow
def test_exported_files_pass_as_those_of_a_run(folder):
    imported("generator_f")
    write_pictures(folder / "pictures", 2)
    rows = export_run(
        ExportOptions("run", tflite_types=("float32",), pictures="pictures")
    )
    assert [row["problem"] for row in rows] == 5 * [None]
    assert max(row["max_error"] for row in rows if "float" in row["path"]) < 1e-4


def test_training_does_not_go_on_with_it_nor_looks_for_the_data_set(folder):
    told = "^.*run.* has networks only, no optimizers.* --initialize_from run.$"
    all_four = "generator_g", "generator_f", "discriminator_x", "discriminator_y"
    for names in (("generator_g",), all_four):
        imported(*names, dataset="weights of mine")
        for refuses_it in (training.train, training.describe):
            with nothing_changes(folder), pytest.raises(UserError, match=told) as error:
                refuses_it(load_config("run"))
            assert "\n" not in str(error.value)
        os.rename("run", f"run of {len(names)}")
