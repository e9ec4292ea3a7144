"""Files of other programs: a line says what each is, and what to do."""

import pathlib
import pickle
import tarfile
import zipfile

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
import torch
from helpers.official_files import RESNET, assert_holds, call, state_dict, write
from PIL import Image

from cyclegan_tf.commands.pytorch import PYTORCH_IMPORT
from cyclegan_tf.messages import UserError
from cyclegan_tf.pytorch.files import read

pytestmark = pytest.mark.usefixtures("folder")


def line(file: str) -> str:
    """The line that refuses a file."""
    with pytest.raises(UserError) as caught:
        call(PYTORCH_IMPORT, f"--checkpoint={file}", "--output=run")
    assert "\n" not in str(caught.value) and not pathlib.Path("run").exists()
    return str(caught.value)


def packed(folder: str) -> None:
    """Archives of a folder with a state dict."""
    write(f"{folder}/latest_net_G.pth")
    for mode, name in (
        ("gz", "a.tar.gz"),
        ("bz2", "a.pth"),
        ("xz", "b"),
        ("", "a.tar"),
    ):
        with tarfile.open(name, f"w:{mode}") as archive:
            archive.add(folder)
    with zipfile.ZipFile("a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(f"{folder}/latest_net_G.pth")


def test_archives_are_named_with_the_way_to_unpack_them():
    packed("horse2zebra_pretrained")
    for name, words in (
        ("a.tar.gz", "gzip unpack tar -xzf"),
        ("a.pth", "bzip2 unpack tar -xjf"),
        ("b", "xz unpack tar -xJf"),
        ("a.tar", "tar archive unpack tar -xf"),
        ("a.zip", "zip archive unpack horse2zebra_pretrained/latest_net_G.pth"),
    ):
        found = line(name)
        assert found.startswith(f"{name} is ") and "unpack it" in found
        assert words.partition(" unpack ")[2] in found, found


# Files by their first bytes, and words of the line.
STARTS = {
    "lfs.pth": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "Git LFS",
    ),
    "page.pth": (b"<!DOCTYPE html><html>Google Drive - Quota exceeded", "web page"),
    "error.pth": (b"\n <?xml version='1.0'?><Error>AccessDenied</Error>", "download"),
    "empty.pth": (b"", "is empty; the download failed"),
    "horse2zebra.t7": (b"\4\0\0\0\1\0\0\0\3\0\0\0V 1\x11\0\0\0nn.Sequential", "Lua"),
    "a.onnx": (b"\x08\x08\x12\x07pytorch\x1a\x042.13", "ONNX"),
    "b.onnx": (b"\x0a\x07unknown", "ONNX"),
    "saved_model.pb": (b"\x08\x01\x12\xf0\x9d", "SavedModel"),
    "frozen.pb": (b"\x0a\x1c\x0a\x05input\x12\x0bPlaceholder", "graph of TensorFlow"),
    "a.tflite": (b"\x1c\0\0\0TFL3\x14\0 \0", "TFLite"),
    "model.ckpt-1000.meta": (b"\x0a\x9b\x02\x0a", "checkpoint of TensorFlow"),
    "model.ckpt.data-00000-of-00001": (bytes(64), "--initialize_from"),
    "note.pth": (b"Not Found", "but text: 'Not Found'"),
    "noise.pth": (b"\xee\x01\x02", "neither a PyTorch nor a safetensors file."),
}


def test_other_files_are_recognised_by_their_first_bytes(folder):
    for name, (data, words) in STARTS.items():
        (folder / name).write_bytes(data)
        found = line(name)
        assert found.startswith(f"{name} is ") and words in found


def test_files_that_other_libraries_write_are_recognised(folder):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(3, 3, padding="same")(inputs))
    model.save("a.keras")
    model.save_weights("a.weights.h5")
    np.savez("a.npz", a=np.ones(2))
    np.save("a.npy", np.ones(2))
    Image.new("RGB", (4, 4)).save("a.png")
    tf.train.Checkpoint(v=tf.Variable(1.0)).write("model.ckpt-7")
    torch.jit.script(torch.nn.Conv2d(3, 3, 3)).save("scripted.pt")
    torch.save(torch.nn.Conv2d(3, 3, 3), "whole.pth")
    for name, words in (
        ("a.keras", "Keras"),
        ("a.weights.h5", "HDF5"),
        ("a.npz", "NumPy"),
        ("a.npy", "NumPy"),
        ("a.png", "picture"),
        ("model.ckpt-7", "checkpoint of TensorFlow"),
        ("model.ckpt-7.index", "checkpoint of TensorFlow"),
        ("scripted.pt", "TorchScript"),
        ("whole.pth", "whole model"),
    ):
        assert words in line(name), name


def tensors(*names: str, shape=(2, 2, 3, 3)) -> dict[str, np.ndarray]:
    return {name: np.zeros(shape, np.float32) for name in names}


def antialiased() -> dict[str, np.ndarray]:
    return state_dict() | tensors("model.7.filt", "model.11.filt", shape=(2, 1, 3, 3))


# Names as the programs save them, and what the line calls them.
NETWORKS = {
    "CUT": antialiased(),
    "netF": tensors("mlp_0.0.weight", "mlp_0.0.bias", "mlp_1.0.weight"),
    "MUNIT": tensors("a.enc_style.model.0.conv.weight", "a.dec.model.0.conv.weight"),
    "UNIT": tensors("a.enc.model.0.conv.weight", "b.enc.model.0.conv.weight"),
    "StarGAN v2": tensors("generator.module.from_rgb.weight")
    | tensors("mapping_network.module.shared.0.weight"),
    "StarGAN.": tensors("main.0.weight", "main.9.main.0.weight"),
    "U-GAT-IT": tensors("genA2B.DownBlock.1.weight", "genA2B.gap_fc.weight"),
    "AttentionGAN": tensors("conv1.weight", "deconv1_content.weight"),
    "img2img-turbo": tensors("sd_encoder.base_model.model.conv_in.lora_A.weight"),
    "diffusers": tensors("down_blocks.0.resnets.0.conv1.weight"),
    "Stable": tensors("model.diffusion_model.input_blocks.0.0.weight"),
    "PyTorch-GAN": {"model.1.weight": np.zeros((2, 3, 7, 7), np.float32)}
    | tensors("model.10.block.1.weight"),
    "pix2pixHD": state_dict() | tensors("model.10.weight", "model.13.weight"),
    "StyleGAN": tensors("g_ema.convs.0.conv.modulation.weight"),
    "optimizer": tensors("state.0.exp_avg"),
    "classifier": tensors("conv1.weight", "layer1.0.conv1.weight"),
}


def test_networks_of_other_programs_are_recognised_by_their_names(folder):
    for program, arrays in NETWORKS.items():
        (folder / "a.safetensors").write_bytes(safetensors.numpy.save(arrays))
        assert program in line("a.safetensors"), program


def test_network_of_no_known_program_is_not_given_one():
    for names in (["layer.0.weight"], ["encoder.0.weight"], []):
        write("a.pth", tensors(*names))
        assert line("a.pth").count(".pth holds none of the official networks") == 1
        assert "It looks like" not in line("a.pth")


def test_lightning_checkpoint_with_plain_data_is_read(folder):
    generator = {k: torch.tensor(v) for k, v in state_dict().items()}
    arrays = {f"netG_A.{name}": value for name, value in generator.items()}
    value = {"pytorch-lightning_version": "2.5", "state_dict": arrays}
    value["hyper_parameters"] = {"size": torch.Size([256, 256]), "lr": np.float64(2e-4)}
    value["callbacks"] = {
        "ModelCheckpoint": {"dirpath": pathlib.Path("/a b/c"), "x": {1}}
    }
    torch.save(value, folder / "last.ckpt")
    found = read("last.ckpt")
    assert found.keys() == {f"state_dict.{name}" for name in arrays}
    call(PYTORCH_IMPORT, "--checkpoint=last.ckpt", "--output=run")
    assert_holds("run", "generator_g", RESNET, state_dict())


def test_folder_without_official_files_says_what_it_has(folder):
    write("output/netG_A2B.pth")
    found = line("output")
    assert "latest_net_G_A.pth" in found and "netG_A2B.pth" in found
    for name, words in (
        ("saved/saved_model.pb", "saved is a SavedModel"),
        ("tf/ckpt-1.index", "tf is a checkpoint of TensorFlow"),
        ("pipeline/model_index.json", "pipeline is a pipeline of diffusers"),
    ):
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(b"")
        assert line(name.partition("/")[0]).startswith(words)


def test_large_pickle_of_another_program_is_not_called_damaged(folder):
    value = {"G": [b"x" * 2**20] * 2, "more": [bytes([i]) * 2**20 for i in range(6)]}
    (folder / "stylegan.pkl").write_bytes(pickle.dumps(value, 4))
    assert "protocol 4" in line("stylegan.pkl")
