"""Recognises files and networks of other programs, and says what to do with them.

All texts continue a sentence on the file.
"""

import pathlib
import re
from collections.abc import Iterable

TENSORFLOW = (
    "is a checkpoint of TensorFlow, not of PyTorch; a run of this package goes on with "
    "train --initialize_from RUN"
)
TORCHSCRIPT = "is a TorchScript model; save the state_dict() of its Python model"
_ITS_PROGRAM = "Translate with its own program; evaluate --fake measures the pictures"
_UNPACK = "unpack it, and name the .pth file in it"

# By the first bytes of a file.
_STARTS = {
    b"version https://git-lfs": "is a pointer of Git LFS, not the file itself; run git "
    "lfs pull, or download the file by its link",
    b"\x89HDF\r\n": "is HDF5, such as Keras' .h5, not PyTorch; load it with Keras and "
    "save it as .keras, which translate --model FILE takes",
    b"\x08\x01\x12": "is a SavedModel of TensorFlow; translate --model FOLDER takes it",
    b"\x1f\x8b": f"is packed by gzip; {_UNPACK}: gunzip, or tar -xzf for a folder",
    b"BZh": f"is packed by bzip2; {_UNPACK}: bunzip2, or tar -xjf for a folder",
    b"\xfd7zXZ": f"is packed by xz; {_UNPACK}: unxz, or tar -xJf for a folder",
    b"\x28\xb5\x2f\xfd": f"is packed by zstd; {_UNPACK}",
    b"7z\xbc\xaf": f"is a 7z archive; {_UNPACK}",
    b"Rar!": f"is a RAR archive; {_UNPACK}",
    b"\4\0\0\0\1\0\0\0\3\0\0\0V 1": "is a model of Lua Torch (.t7), as of the first "
    "CycleGAN; take the .pth of pytorch-CycleGAN-and-pix2pix",
    b"\x93NUMPY": "is an array of NumPy, not a state dict",
    b"\x89PNG": "is a picture",
    b"\xff\xd8\xff": "is a picture",
}

# By the names of tensors; the first that matches.
_NETWORKS = {
    r"\.filt$": "CUT or FastCUT with antialiased sampling; train it with "
    "--no_antialias --no_antialias_up, which fits",
    r"^mlp_\d+\.": "the patch sampler of CUT (netF); name the file of netG",
    r"^(gen_)?[ab]\.(enc|enc_content|enc_style|dec)\.": "UNIT or MUNIT",
    r"(^|\.)model1_1\.|^(.*\.)?model\.10\.weight": "pix2pixHD",
    r"(^|\.)(mapping_network|style_encoder)\.": "StarGAN v2",
    r"(^|\.)main\.\d+\.main\.\d+\.weight": "StarGAN",
    r"(^|\.)(DownBlock|UpBlock1_1|gap_fc)\.": "U-GAT-IT",
    r"deconv\d_(content|attention)\.": "AttentionGAN",
    r"lora_|^(sd_encoder|sd_decoder|state_dict_unet)\.": "img2img-turbo, or a LoRA",
    r"(down_blocks\.\d+\.resnets|diffusion_model|first_stage_model)\.": "Stable "
    "Diffusion (diffusers)",
    r"(^|\.)model\.\d+\.block\.\d+\.weight": "PyTorch-GAN, whose generators resize "
    "before they convolve",
    r"(^|\.)(residual_blocks|res_blocks)\.": "a CycleGAN of another tutorial",
    r"(^|\.)(synthesis|convs\.\d+\.conv\.modulation)\.": "StyleGAN",
    r"^(module\.)?(features\.0|layer1\.0\.conv1)\.weight": "a classifier",
    r"^((gen|dis)\.)?state\.\d+\.exp_avg": "an optimizer; name a generator's file",
}


def describe_file(path: pathlib.Path, start: bytes) -> str:
    """Describes a file that is neither of PyTorch nor safetensors, by its start."""
    for first, text in _STARTS.items():
        if start.startswith(first):
            return text
    if not start:
        return "is empty; the download failed"
    if start.lstrip()[:1] == b"<":
        return (
            "is a web page, not weights; the download failed. Open its link in a "
            "browser, and download the file there"
        )
    if start[257:262] == b"ustar":
        return f"is a tar archive; {_UNPACK}: tar -xf"
    if start[4:8] == b"TFL3":
        return "is a TFLite file; translate --model FILE takes it"
    # A protocol buffer: its version, and the name of the program or the graph.
    if re.match(rb"\x08[\x03-\x14][\x12\x3a]", start) or path.suffix == ".onnx":
        return "is an ONNX file; save the state_dict() of its PyTorch model instead"
    if re.search(r"\.(index|meta|data-\d+-of-\d+)$", path.name):
        return TENSORFLOW
    if path.suffix == ".pb":
        return "is a graph of TensorFlow; translate --model takes a SavedModel's folder"
    text = "is neither a PyTorch nor a safetensors file"
    if start.isascii() and start.decode().strip().isprintable():
        return f"{text}, but text: {start.decode().strip()[:40]!r}"
    return text


def describe_zip(names: Iterable[str]) -> str:
    """Describes a zip without a pickle of PyTorch by the names in it."""
    if "model.weights.h5" in names:
        return "is a file of Keras, not of PyTorch; translate --model FILE takes it"
    if any(name.endswith(".npy") for name in names):
        return "is an archive of NumPy arrays (.npz), not a state dict"
    packed = [n for n in names if n.endswith((".pth", ".pt", ".safetensors", ".ckpt"))]
    if packed:
        return f"is a zip archive; unpack it, and name a file in it: {packed[0][:80]!a}"
    return "is a zip, but not of PyTorch: it has no data.pkl"


def describe_folder(names: Iterable[str]) -> str:
    """Describes a folder without official files by its names; empty if unknown."""
    names = list(names)
    if "saved_model.pb" in names:
        return "is a SavedModel of TensorFlow; translate --model FOLDER takes it"
    if "model_index.json" in names:
        return f"is a pipeline of diffusers. {_ITS_PROGRAM}"
    if any(name.endswith(".index") for name in names):
        return TENSORFLOW
    return ""


def describe_networks(names: Iterable[str]) -> str:
    """A sentence on the program of networks that differ from ours; empty if unknown."""
    names = list(names)
    for pattern, program in _NETWORKS.items():
        if any(re.search(pattern, name) for name in names):
            return f" It looks like {program}. {_ITS_PROGRAM}."
    return ""
