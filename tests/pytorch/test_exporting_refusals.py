"""What `pytorch_export` refuses, in a line, and failures: nothing is left of it."""

import os
import pathlib

import numpy as np
import pytest
from helpers.exporting_samples import nothing_changes
from helpers.official_files import RESNET, files_end_at, imported, refuses

from cyclegan_tf.commands import pytorch_export
from cyclegan_tf.pytorch import exporting
from cyclegan_tf.pytorch import files as pytorch_files
from cyclegan_tf.pytorch.exporting import export_networks
from cyclegan_tf.pytorch.networks import to_ours
from cyclegan_tf.run_directory import save_config
from cyclegan_tf.training.checkpoints import save_networks
from cyclegan_tf.validation import UserError

RUN = ["--run_dir=run", "--output=out"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Tests work in a folder of their own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


BAD_FLAGS = {
    "no run": ("^--run_dir must be given. See --help.$", ["--output=out"]),
    "no output": ("^--output must be given. See --help.$", ["--run_dir=run"]),
    "format": (
        "^`formats` must be one of pth, safetensors. Received: 'onnx'.$",
        ["--run_dir=run", "--output=out", "--formats=pth,onnx"],
    ),
    "no format": (
        "^`formats` must be one of pth, safetensors. Received: ''.$",
        ["--run_dir=run", "--output=out", "--formats="],
    ),
    "epoch above": (
        "^`epoch` must be part of a file's name. Received: '../x'.$",
        ["--run_dir=run", "--output=out", "--epoch=../x"],
    ),
    "epoch with a folder": (
        "^`epoch` must be part of a file's name. Received: 'a/'.$",
        ["--run_dir=run", "--output=out", "--epoch=a/"],
    ),
    "no epoch": (
        "^`epoch` must be part of a file's name. Received: ''.$",
        ["--run_dir=run", "--output=out", "--epoch="],
    ),
    "long epoch": (
        "^out can't be written to: File name too long.$",
        ["--run_dir=run", "--output=out", f"--epoch={250 * 'x'}"],
    ),
    "missing run": (
        "^No configuration at no/config.json: No such file or directory.$",
        ["--run_dir=no", "--output=out"],
    ),
    "file as output": (
        "^file can't be written to: ",
        ["--run_dir=run", "--output=file"],
    ),
    "output below a file": (
        "^file/out can't be written to: ",
        ["--run_dir=run", "--output=file/out"],
    ),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags_are_refused(folder, case):
    imported()
    (folder / "file").write_text("mine")
    told, args = BAD_FLAGS[case]
    refuses(pytorch_export, told, *args)


# --- Runs


@pytest.mark.parametrize("name", ["latest_net_G_B.safetensors", "latest_net_G_A.pth"])
def test_files_that_are_there_are_not_written_over(folder, name):
    imported(RESNET, "generator_g", "generator_f")
    (folder / "out").mkdir()
    (folder / "out" / name).symlink_to("nowhere")
    told = f"^out/{name} exists already. Name another --output or --epoch.$"
    refuses(pytorch_export, told, *RUN)
    assert os.listdir("out") == [name]


@pytest.mark.parametrize("num_downs", [2, 4])
def test_unet_that_the_official_code_can_not_build_is_refused(folder, tiny, num_downs):
    (folder / "run").mkdir()
    save_config(tiny(generator="unet", num_downs=num_downs, run_dir="run"))
    told = f"^The official U-Net has at least 5 halvings; this run's has {num_downs}.$"
    refuses(pytorch_export, told, *RUN)


def test_run_without_networks_is_refused(folder, tiny):
    (folder / "run").mkdir()
    save_config(tiny(run_dir="run"))
    refuses(pytorch_export, "^run has no checkpoint yet.$", *RUN)
    save_networks("run", {"others": {"a": np.ones(1, np.float32)}})
    told = "^run/checkpoints/step-0 holds no network.$"
    refuses(pytorch_export, told, *RUN)


@pytest.mark.parametrize("file", ["step-0.index", "step-0.data-00000-of-00001"])
def test_damaged_checkpoint_is_refused(folder, file):
    imported()
    path = folder / "run/checkpoints" / file
    path.write_bytes(path.read_bytes()[:100])
    refuses(pytorch_export, "^Checkpoint run/checkpoints/step-0 is damaged ", *RUN)


def test_weights_of_another_configuration_are_refused(folder, tiny):
    imported()
    save_config(tiny(run_dir="run", num_filters=3, num_blocks=2))
    told = "does not match the configuration .missing: generator_g/block_2_conv_1_kern"
    refuses(pytorch_export, told, *RUN)


def test_weights_that_are_not_finite_are_written_as_they_are():
    arrays = to_ours(RESNET, imported()["generator_g"])
    arrays["first_conv_kernel"] = arrays["first_conv_kernel"] * np.nan
    save_networks("run", {"generator_g": arrays})
    for path in export_networks("run", "out"):
        assert np.isnan(pytorch_files.read(path)["model.1.weight"].numpy()).all()


# --- Failures half-way


@pytest.mark.parametrize("place", ["in the first file", "in the second file"])
def test_full_disk_leaves_nothing(place):
    imported(RESNET, "generator_g", "generator_f")
    (path,) = export_networks("run", "elsewhere", ("safetensors",))[:1]
    told = "^out can't be written to: File too large.$"
    # A .pth is the larger one.
    with files_end_at(path.stat().st_size + (100 if "second" in place else -100)):
        refuses(pytorch_export, told, *RUN, "--formats=safetensors,pth")


def test_what_can_not_be_read_back_is_not_put_there(folder, monkeypatch):
    imported()
    monkeypatch.setitem(
        exporting.FORMATS,
        "pth",
        lambda arrays, path: pytorch_files.write_pth(
            {k: a + np.float32(1e-7) for k, a in arrays.items()}, path
        ),
    )
    refuses(pytorch_export, "^What was written can't be read back; is the disk", *RUN)


@pytest.mark.parametrize("number", [2, 4])
def test_failure_of_a_move_leaves_nothing(folder, monkeypatch, number):
    imported(RESNET, "generator_g", "generator_f")
    replace, moves = pathlib.Path.replace, []

    def fails_once(path, target):
        moves.append(target)
        if len(moves) == number:
            raise OSError(5, "Input/output error")
        return replace(path, target)

    monkeypatch.setattr(pathlib.Path, "replace", fails_once)
    with nothing_changes(folder), pytest.raises(UserError, match="Input/output error"):
        export_networks("run", "out")


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"output_skip": True}, "output_skip"), ({"upsampling": "resize"}, "upsampling")],
)
def test_generators_that_the_official_code_lacks_are_refused(
    tiny, folder, fields, told
):
    (folder / "run").mkdir()
    save_config(tiny(run_dir="run", **fields))
    with pytest.raises(UserError, match=f"^The official code has no .* with {told}"):
        export_networks("run", "out")
    assert not (folder / "out").exists()
