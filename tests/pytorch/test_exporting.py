"""`python -m cyclegan_tf pytorch_export`: what it writes and refuses."""

import os
import pathlib
import shutil

import numpy as np
import pytest
from helpers.exporting_samples import file_names, nothing_changes, saved_run
from helpers.official_files import (
    PIXEL,
    RESNET,
    call,
    files_end_at,
    imported,
    refuses,
    state_dict,
    write,
)

from cyclegan_tf.commands.pytorch import PYTORCH_EXPORT
from cyclegan_tf.config import Config
from cyclegan_tf.core.state import named_weights
from cyclegan_tf.messages import UserError
from cyclegan_tf.pytorch import files as pytorch_files
from cyclegan_tf.pytorch import weights
from cyclegan_tf.pytorch.networks import NETWORKS, config_architecture, to_keras
from cyclegan_tf.pytorch.weights import (
    export_networks,
    import_networks,
    official_options,
)
from cyclegan_tf.training import checkpoints
from cyclegan_tf.training.checkpoints import save_networks
from cyclegan_tf.training.run_directory import newest_checkpoint, save_config


@pytest.fixture(scope="module")
def generators(tmp_path_factory):
    """A run of two ResNets, and their state dicts."""
    folder = tmp_path_factory.mktemp("generators")
    names = "generator_g", "generator_f"
    return folder / "run", imported(RESNET, *names, run=str(folder / "run"))


@pytest.fixture
def run(folder, generators):
    """A copy of that run, named `run`; gives the state dicts."""
    shutil.copytree(generators[0], folder / "run")
    return generators[1]


@pytest.fixture
def held(run, monkeypatch):
    """That run, whose networks need not be read again."""
    found = {"G_A": run["generator_g"], "G_B": run["generator_f"]}
    monkeypatch.setattr(weights, "_state_dicts", lambda config, run_dir: found)


def read(path) -> dict[str, np.ndarray]:
    return {k: tensor.numpy() for k, tensor in pytorch_files.read(path).items()}


def refused(told, *args) -> None:
    refuses(PYTORCH_EXPORT, told, "--run_dir=run", "--output=out", *args)


# --- What is written


@pytest.mark.stack
def test_networks_of_a_training_are_written_under_the_official_names(
    model, folder, capsys
):
    paths = export_networks(model.config.run_dir, "official/experiment")
    names = [f"latest_net_{name}" for name in ("G_A", "G_B", "D_A", "D_B")]
    files = [f"{name}.{ending}" for name in names for ending in ("pth", "safetensors")]
    assert paths == [pathlib.Path("official/experiment", file) for file in files]
    assert file_names(folder) == {f"official/experiment/{file}" for file in files}
    wrote, fits = capsys.readouterr().out.splitlines()
    assert wrote == f"Wrote {', '.join(files)} to official/experiment"
    assert fits.endswith(official_options(model.config, NETWORKS))
    for path in paths:
        name = NETWORKS[path.stem.removeprefix("latest_net_")]
        ours = to_keras(config_architecture(model.config, name), read(path))
        for key, variable in named_weights(model.networks[name]).items():
            np.testing.assert_array_equal(ours.pop(key), variable.numpy(), err_msg=key)
        assert not ours


def test_networks_that_a_run_holds_are_written_and_no_others(folder):
    networks = {"generator_f": RESNET, "discriminator_x": PIXEL}
    files = {k: write(f"{k}.pth", state_dict(a)) for k, a in networks.items()}
    import_networks(files, "run", image_size=64)
    export_networks("run", "out", ("pth",))
    assert sorted(os.listdir("out")) == ["latest_net_D_B.pth", "latest_net_G_B.pth"]


def test_checkpoint_saved_meanwhile_is_not_mixed_with_the_first(
    folder, run, monkeypatch
):
    load, later = checkpoints.load_network, []

    def load_after_a_save(*args, **kwargs):
        if not later:
            later.append(saved_run(folder / "later", num_filters=2))
            for path in (folder / "later/checkpoints").glob("step-3.*"):
                path.rename(folder / "run/checkpoints" / path.name)
        return load(*args, **kwargs)

    monkeypatch.setattr(checkpoints, "load_network", load_after_a_save)
    paths = export_networks("run", "out", ("pth",))
    assert newest_checkpoint("run").endswith("step-3")
    for path, arrays in zip(paths, run.values(), strict=True):
        kernel = read(path)["model.1.weight"]
        np.testing.assert_array_equal(kernel, arrays["model.1.weight"])


@pytest.mark.parametrize("mask", [0o27, 0])
def test_modes_follow_the_umask(held, mask):
    before = os.umask(mask)
    try:
        paths = export_networks("run", "out")
    finally:
        os.umask(before)
    assert {os.stat(path).st_mode & 0o777 for path in paths} == {0o666 & ~mask}
    assert os.stat("out").st_mode & 0o777 == 0o777 & ~mask


def test_weights_that_are_not_finite_are_written_as_they_are(run):
    arrays = to_keras(RESNET, run["generator_g"])
    arrays["first_conv_kernel"] = arrays["first_conv_kernel"] * np.nan
    save_networks("run", {"generator_g": arrays})
    for path in export_networks("run", "out"):
        assert np.isnan(read(path)["model.1.weight"]).all()


UNET = {"generator": "unet"}
OPTIONS = {
    "--netG resnet_9blocks --ngf 64 --netD n_layers --n_layers_D 3 --ndf 64": {},
    "--netG resnet_6blocks --ngf 32 --netD n_layers --n_layers_D 2 --ndf 64": {
        "num_blocks": 6,
        "num_filters": 32,
        "discriminator_layers": 2,
    },
    "--netG unet_256 --ngf 64 --netD n_layers --n_layers_D 3 --ndf 8": {
        **UNET,
        "num_blocks": 9,
        "discriminator_filters": 8,
    },
    "--netG unet_128 --ngf 64 --netD pixel --ndf 64": {
        **UNET,
        "num_downs": 7,
        "discriminator": "pixel",
    },
    "(no --netG; its class with n_blocks=7) --ngf 64 --netD n_layers --n_layers_D 3 "
    "--ndf 64": {"num_blocks": 7},
    "(no --netG; its class with num_downs=6) --ngf 1 --netD pixel --ndf 64": {
        **UNET,
        "num_downs": 6,
        "num_filters": 1,
        "discriminator": "pixel",
    },
}


def test_options_of_the_official_code_are_told():
    for told, fields in OPTIONS.items():
        config, ending = Config(**fields), "--norm instance --no_dropout"
        assert (
            official_options(config, ["G_A", "G_B", "D_A", "D_B"]) == f"{told} {ending}"
        )
        net_g, _, net_d = told.partition(" --netD ")
        assert official_options(config, ["G_B"]) == f"{net_g} {ending}"
        assert official_options(config, ["D_A"]) == f"--netD {net_d} {ending}"


def test_flags_choose_formats_epoch_and_places(folder, held, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(folder))
    args = ["--run_dir=~/run", "--output=~/out"]
    call(PYTORCH_EXPORT, *args, "--formats=safetensors, safetensors", "--epoch=200")
    files = ["200_net_G_A.safetensors", "200_net_G_B.safetensors"]
    assert sorted(os.listdir("out")) == files
    line = capsys.readouterr().out.splitlines()[0]
    assert line == f"Wrote {', '.join(files)} to {folder}/out"
    call(PYTORCH_EXPORT, *args)
    files += [f"latest_net_G_{x}.{e}" for x in "AB" for e in ("pth", "safetensors")]
    assert sorted(os.listdir("out")) == files


# --- What is refused

BAD_FLAGS = {
    "`formats`.*'onnx'": ["--formats=pth,onnx"],
    "`formats`.*''": ["--formats="],
    r"`epoch`.*'\.\./x'": ["--epoch=../x"],
    "`epoch`.*'a/'": ["--epoch=a/"],
    "`epoch`.*''": ["--epoch="],
    "out .*File name too long": [f"--epoch={250 * 'x'}"],
    "--run_dir must be given": ["--run_dir="],
    "--output must be given": ["--output="],
    "No configuration at no/config.json": ["--run_dir=no"],
    "file can't be written to: ": ["--output=file"],
    "file/out can't be written to: ": ["--output=file/out"],
}


def test_bad_flags_are_refused(folder, held):
    (folder / "file").write_text("mine")
    for told, args in BAD_FLAGS.items():
        refused(f"^{told}", *args)


def test_files_that_are_there_are_not_written_over(folder, held):
    for name in ("latest_net_G_B.safetensors", "latest_net_G_A.pth"):
        (folder / "out").mkdir()
        (folder / "out" / name).symlink_to("nowhere")
        refused(f"^out/{name} exists already")
        assert os.listdir("out") == [name]
        shutil.rmtree("out")


def test_generators_that_the_official_code_lacks_are_refused(folder, tiny):
    (folder / "run").mkdir()
    for told, fields in {
        "at least 5 halvings; .*2": {"generator": "unet", "num_downs": 2},
        "at least 5 halvings; .*4": {"generator": "unet", "num_downs": 4},
        "no generator with input_skip": {"input_skip": True},
        "no generator with output_activation": {"output_activation": "linear"},
        "no generator with upsampling": {"upsampling": "resize"},
    }.items():
        save_config(tiny(run_dir="run", **fields))
        refused(f"^The official .*{told}")


def test_run_without_networks_is_refused(folder, tiny):
    (folder / "run").mkdir()
    save_config(tiny(run_dir="run"))
    refused("^run has no checkpoint yet.$")
    save_networks("run", {"others": {"a": np.ones(1, np.float32)}})
    refused("^run/checkpoints/step-0 holds no network.$")


@pytest.mark.parametrize("file", ["step-0.index", "step-0.data-00000-of-00001"])
def test_damaged_checkpoint_is_refused(folder, run, file):
    path = folder / "run/checkpoints" / file
    path.write_bytes(path.read_bytes()[:100])
    refused("^Checkpoint run/checkpoints/step-0 is damaged ")


def test_weights_of_another_configuration_are_refused(run, tiny):
    save_config(tiny(run_dir="run", num_filters=3, num_blocks=2))
    refused(
        "does not match the configuration .missing: generator_g/block_2_conv_1_kern"
    )


# --- Failures half-way


def test_full_disk_leaves_nothing(held):
    path = export_networks("run", "elsewhere", ("safetensors",))[0]
    # In the first file, and in the second: a .pth is the larger one.
    for more in (-100, 100):
        with files_end_at(path.stat().st_size + more):
            told = "^out can't be written to: File too large"
            refused(told, "--formats=safetensors,pth")


def test_what_can_not_be_read_back_is_not_put_there(held, monkeypatch):
    def write_others(arrays, path):
        others = {k: a + np.float32(1e-7) for k, a in arrays.items()}
        pytorch_files.write_pth(others, path)

    monkeypatch.setitem(weights.FORMATS, "pth", write_others)
    refused("^What was written can't be read back; is the disk")


@pytest.mark.parametrize("number", [2, 4])
def test_failure_of_a_move_leaves_nothing(folder, held, monkeypatch, number):
    replace, moves = pathlib.Path.replace, []

    def fails_once(path, target):
        moves.append(target)
        if len(moves) == number:
            raise OSError(5, "Input/output error")
        return replace(path, target)

    monkeypatch.setattr(pathlib.Path, "replace", fails_once)
    with nothing_changes(folder), pytest.raises(UserError, match="Input/output error"):
        export_networks("run", "out")
