"""What the user has set in Keras changes no run, and stays set."""

import contextlib
import sys

import keras
import numpy as np
import pytest

from cyclegan_tf import compat
from cyclegan_tf.core.cyclegan import CycleGAN
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.checkpoints import Checkpoints, load_network
from cyclegan_tf.training.run_directory import save_config


@contextlib.contextmanager
def keras_with(policy, floatx, layout):
    backend = keras.backend
    before = (
        keras.mixed_precision.global_policy(),
        backend.floatx(),
        backend.image_data_format(),
    )
    for values in ((policy, floatx, layout), before):
        keras.mixed_precision.set_global_policy(values[0])
        backend.set_floatx(values[1])
        backend.set_image_data_format(values[2])
        if values is not before:
            yield


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("generator", ["resnet", "unet"])
@pytest.mark.parametrize(
    "settings",
    [
        ("mixed_float16", "float32", "channels_last"),
        ("float16", "float16", "channels_last"),
        ("float32", "float64", "channels_last"),
        ("mixed_bfloat16", "float64", "channels_first"),
    ],
)
def test_settings_of_keras_change_nothing(
    tiny, random_images, tmp_path, settings, generator
):
    config = tiny(run_dir=str(tmp_path), generator=generator, average_decay=0.9)
    images = random_images(1, 32, 32, 3, seed=1), random_images(1, 32, 32, 3, seed=2)

    def results():
        keras.utils.set_random_seed(0)
        model = CycleGAN(config, 10)
        losses = model.train_step(*images)
        Checkpoints(model.trainer.state(), tmp_path).save(1)
        loaded = load_network(tmp_path, "generator_g")
        assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
        weights = model.generator_g.get_weights() + loaded.get_weights()
        return [loss.numpy() for loss in losses.values()] + weights

    save_config(config)
    expected = results()
    with keras_with(*settings):
        found = results()
        assert keras.mixed_precision.global_policy().name == settings[0]
        after = keras.backend.floatx(), keras.backend.image_data_format()
        assert after == settings[1:]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)


def test_another_backend_of_keras_is_refused(tmp_path, monkeypatch):
    compat.check_backend()
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    for text in ("{}", "[]", "{", '{"backend": "tensorflow"}'):
        (tmp_path / "keras.json").write_text(text)
        compat.check_backend()
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    with pytest.raises(UserError, match="on torch here.* KERAS_BACKEND=tensorflow"):
        compat.check_backend()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    compat.check_backend()
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(UserError, match="on jax here"):
        compat.check_backend()
