"""Exports of pix2pix runs: the right direction, from the right weights."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.data import images
from cyclegan_tf.exporting import pairs
from cyclegan_tf.exporting.request import Request
from cyclegan_tf.models.pix2pix import Pix2PixGAN
from cyclegan_tf.presets import preset
from cyclegan_tf.training import checkpoints
from cyclegan_tf.training.train import train
from cyclegan_tf.validation import UserError


@pytest.mark.usefixtures("few_shapes")
@pytest.mark.parametrize(
    ("direction", "name"),
    [
        ("a_to_b", "shapes_A2B"),
        pytest.param("b_to_a", "shapes_B2A", marks=pytest.mark.slow),
    ],
)
def test_exported_files_give_what_the_generator_gives(direction, name, tmp_path):
    fields = {"image_size": 16, "load_size": 18, "num_downs": 4, "num_filters": 2}
    fields |= {"discriminator_filters": 2, "discriminator_layers": 1, "num_steps": 3}
    options = preset("shapes_pix2pix", run_dir=str(tmp_path / "run"))
    options = dataclasses.replace(options, direction=direction, **fields)
    train(options)
    request = Request(
        options.run_dir, formats=("savedmodel", "tflite"), tflite_types=("float32",)
    )
    rows = pairs.export_run(request, options)
    kinds = ["translate_float", "translate", "serving_default", "float32"]
    assert [row["kind"] for row in rows] == kinds
    model = Pix2PixGAN(options)
    networks = {"generator": model.generator}
    checkpoints.take_over(networks, options.run_dir, "run_dir")
    inputs, expected, _ = model.translate(range(2))
    folder = tmp_path / "run/export"
    served = tf.saved_model.load(str(folder / f"saved_model/{name}/1"))
    made = served.signatures["translate"](images=tf.constant(inputs))["images"]
    assert np.abs(made.numpy().astype(int) - expected).max() <= 1
    pngs = [tf.io.encode_png(x) for x in inputs]
    made = served.signatures["serving_default"](image_bytes=tf.stack(pngs))
    first = images.decode(made["image_bytes"].numpy()[0])
    assert np.abs(first.astype(int) - expected[0]).max() <= 1
    record = json.loads((folder / "export.json").read_text())
    assert record["step"] == 3 and record["kind"].startswith("pix2pix")
    assert "A pix2pix (arXiv 1611.07004)" in (folder / "README.md").read_text()
    assert sorted(path.name for path in folder.glob("tflite/*.tflite")) == [
        f"{name}_float32.tflite"
    ]
    assert record["metrics"]["error"] > 0


@pytest.mark.usefixtures("few_shapes")
def test_run_without_a_checkpoint_is_refused(tmp_path):
    options = preset("shapes_pix2pix", run_dir=str(tmp_path / "run"))
    with pytest.raises(UserError, match="`run_dir` .* has no checkpoint[.]"):
        pairs.export_run(Request(options.run_dir), options)
    assert not (tmp_path / "run").exists()
