import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.gradients import flat, relative_error
from helpers.plain_step import plain_gradients
from helpers.precision import floats
from helpers.python_pool import PythonPool

from cyclegan_tf.compat import as_tf_variable
from cyclegan_tf.core.cyclegan import NETWORKS, CycleGAN
from cyclegan_tf.core.generators import resnet, translate
from cyclegan_tf.core.image_pool import pool_draws
from cyclegan_tf.messages import UserError
from cyclegan_tf.training.devices import make_strategy
from cyclegan_tf.training.presets import preset

pytestmark = pytest.mark.stack


@pytest.mark.parametrize(
    "generator,loss,pool_size,lambda_identity",
    [
        ("resnet", "least_squares", 2, 0.5),
        ("unet", "binary_cross_entropy", 0, 0.0),
        ("resnet", "hinge", 2, 0.0),
        *(
            pytest.param(*fields, marks=pytest.mark.slow)
            for fields in (
                ("resnet", "binary_cross_entropy", 2, 0.5),
                ("unet", "least_squares", 2, 0.5),
            )
        ),
    ],
)
def test_step_has_the_gradients_of_the_reference_step(
    tiny, random_images, generator, loss, pool_size, lambda_identity
):
    if loss == "hinge":
        # Images that leave the range cost something.
        sooner = {"input_skip": True, "output_activation": "linear"}
        tiny = functools.partial(tiny, lambda_range=3.0, cycle_pooling=4, **sooner)
    config = tiny(
        adversarial_loss=loss,
        pool_size=pool_size,
        lambda_identity=lambda_identity,
        generator=generator,
        num_filters=8,
        batch_size=2,
    )
    model = CycleGAN(config, 10)
    compute = tf.function(model.compute_gradients)
    python_pools = {"x": PythonPool(pool_size), "y": PythonPool(pool_size)}

    def from_pool(domain, fakes):
        seed = model.trainer.seed("xy".index(domain))
        swaps, chosen = pool_draws(len(fakes), pool_size, seed)
        return python_pools[domain].query(fakes.numpy(), swaps.numpy(), chosen.numpy())

    for step in range(3 if pool_size else 1):
        real_x = random_images(2, 32, 32, 3, seed=2 * step)
        real_y = random_images(2, 32, 32, 3, seed=2 * step + 1)
        model.trainer.optimizers["generator_g"].iterations.assign(step)
        expected_losses, expected = plain_gradients(
            model, real_x, real_y, from_pool if pool_size else None
        )
        losses, gradients = compute(real_x, real_y)
        assert set(losses) == set(expected_losses)
        for name, value in losses.items():
            assert float(value) == pytest.approx(float(expected_losses[name]), rel=1e-5)
        for name in NETWORKS:
            assert relative_error(gradients[name], expected[name]) < 1e-5, name


@pytest.fixture(scope="module")
def trained():
    """A CycleGAN after 40 steps of one batch, and what was seen of them."""
    values = {"learning_rate": 2e-3, "discriminator_learning_rate": 6e-3}
    keras.utils.set_random_seed(0)
    model = CycleGAN(preset("tiny", num_filters=8, **values), 1000)
    random = np.random.default_rng(0)
    real_x, real_y = (
        tf.image.resize(tf.constant(small, tf.float32), (32, 32))
        for small in random.uniform(-1, 1, (2, 1, 4, 4, 3))
    )
    seen = {}
    # A pool that is not full gives back the fakes, so this changes no gradient.
    _, seen["gradients"] = model.compute_gradients(real_x, real_y)
    seen["before"] = {n: m.get_weights() for n, m in model.networks.items()}
    seen["losses"] = [model.train_step(real_x, real_y)]
    seen["after"] = {n: m.get_weights() for n, m in model.networks.items()}
    seen["losses"] += [model.train_step(real_x, real_y) for _ in range(39)]
    return model, seen


def test_step_moves_each_network_by_its_own_adam(trained):
    model, seen = trained
    assert model.trainer.step == 40
    assert model.trainer.learning_rate == pytest.approx(2e-3)
    for name in NETWORKS:
        rate = 6e-3 if name.startswith("discriminator") else 2e-3
        before, after, gradients = (
            flat(seen[kind][name]) for kind in ("before", "after", "gradients")
        )
        # Adam's first step: the rate times g / (|g| + epsilon).
        step = rate * gradients / (np.abs(gradients) + 1e-8)
        clear = np.abs(gradients) > 1e-5
        assert clear.mean() > 0.5
        np.testing.assert_allclose((before - after)[clear], step[clear], rtol=2e-2)


def test_training_one_batch_again_and_again_lowers_cycle_and_identity_losses(trained):
    _, seen = trained
    first, *_, last = seen["losses"]
    for name in ("total_cycle_loss", "identity_g_loss", "identity_f_loss"):
        assert last[name] < 0.7 * first[name]


def test_pool_holds_the_fakes_of_the_step(tiny, random_images):
    model = CycleGAN(tiny(pool_size=4), 10)
    real_x, real_y = random_images(1, 32, 32, 3), random_images(1, 32, 32, 3, seed=1)
    model.compute_gradients(real_x, real_y)
    for pools, fake in (
        (model.adversary_x.pools, model.generator_f(real_y)),
        (model.adversary_y.pools, model.generator_g(real_x)),
    ):
        np.testing.assert_allclose(pools[0].images[0], fake[0], atol=1e-6)
        assert pools[0].count.numpy() == 1


def test_seeds_of_a_step_change_with_update_number_replica_and_seed(tiny):
    strategy = two_cpus()

    def seeds_of(model, number):
        seeds = strategy.run(lambda: model.trainer.seed(number))
        return [tuple(s.numpy()) for s in strategy.experimental_local_results(seeds)]

    model = CycleGAN(tiny(batch_size=2), 10, strategy)
    seeds = seeds_of(model, 0) + seeds_of(model, 1)
    model.trainer.optimizers["generator_g"].iterations.assign(1)
    seeds += seeds_of(model, 0)
    seeds += seeds_of(CycleGAN(tiny(seed=5, batch_size=2), 10, strategy), 0)
    assert len(set(seeds)) == len(seeds) == 8


def two_cpus():
    return make_strategy("cpu:2")


def in_halves(strategy, *batches):
    """The first picture of two for the first replica, the second for the other."""
    return [
        strategy.experimental_distribute_values_from_function(
            lambda c, images=images: images[c.replica_id_in_sync_group][None]
        )
        for images in batches
    ]


@pytest.fixture
def in_float64():
    with floats("float64"):
        yield


@pytest.mark.parametrize(
    "loss", ["wgan_gp", pytest.param("hinge", marks=pytest.mark.slow)]
)
def test_step_has_the_gradients_of_the_papers_losses_in_float64(
    tiny, random_images, in_float64, loss
):
    model = CycleGAN(tiny(adversarial_loss=loss, pool_size=0, batch_size=2), 10)
    pair = [tf.cast(random_images(2, 32, 32, 3, seed=i), tf.float64) for i in (0, 1)]
    losses, gradients = model.compute_gradients(*pair)
    expected_losses, expected = plain_gradients(model, *pair)
    for name, value in losses.items():
        assert float(value) == pytest.approx(float(expected_losses[name]), rel=1e-8)
    for name in NETWORKS:
        assert relative_error(gradients[name], expected[name]) < 1e-8, name


@pytest.mark.usefixtures("eagerly")
def test_two_replicas_train_as_one_device_with_the_same_pictures(
    tiny, random_images, in_float64
):
    """With averages of the weights."""
    config = tiny(pool_size=0, batch_size=2, average_decay=0.3, learning_rate=1e-2)
    one, mirrored = CycleGAN(config, 100), CycleGAN(config, 100, two_cpus())
    for name, network in mirrored.networks.items():
        network.set_weights(one.networks[name].get_weights())
    mirrored.trainer.start_averages()
    averages = {name: one.networks[name].get_weights() for name in NETWORKS[:2]}
    for step in range(3):
        x, y = (
            tf.cast(random_images(2, 32, 32, 3, seed=2 * step + i), tf.float64)
            for i in (0, 1)
        )
        parts = in_halves(mirrored.trainer.strategy, x, y)
        losses, mirrored_losses = one.train_step(x, y), mirrored.train_step(*parts)
        for name, value in losses.items():
            assert float(mirrored_losses[name]) == pytest.approx(float(value), rel=1e-7)
        decay = min(0.3, (1 + step) / (10 + step))
        for name, values in averages.items():
            averages[name] = [
                decay * a + (1 - decay) * w
                for a, w in zip(values, one.networks[name].get_weights(), strict=True)
            ]
    assert mirrored.trainer.step == one.trainer.step == 3
    for name in NETWORKS:
        ours = flat(mirrored.networks[name].get_weights())
        theirs = flat(one.networks[name].get_weights())
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7)
    for name, values in averages.items():
        trained = flat(one.networks[name].get_weights())
        assert np.abs(flat(values) - trained).max() > 1e-4
        for model in (one, mirrored):
            shown = model.shown_generators[name]
            assert shown is not model.networks[name]
            copies = [
                model.trainer.strategy.experimental_local_results(
                    as_tf_variable(variable)
                )
                for variable in shown.variables
            ]
            for replica in range(model.trainer.num_replicas):
                ours = flat([copy[replica] for copy in copies])
                np.testing.assert_allclose(ours, flat(values), rtol=0, atol=1e-7)


@pytest.mark.usefixtures("eagerly")
def test_each_replica_has_a_pool_of_its_own_pictures(tiny, random_images):
    model = CycleGAN(tiny(batch_size=2), 100, two_cpus())
    x, y = random_images(2, 32, 32, 3), random_images(2, 32, 32, 3, seed=1)
    expected = model.generator_g(x)
    model.train_step(*in_halves(model.trainer.strategy, x, y))
    for replica, pool in enumerate(model.adversary_y.pools):
        np.testing.assert_allclose(pool.images[0], expected[replica], atol=1e-5)
        assert pool.images.device.endswith(f"CPU:{replica}")


def test_batch_must_divide_by_the_replicas(tiny):
    with pytest.raises(UserError, match="`batch_size` must be a multiple of the 2"):
        CycleGAN(tiny(batch_size=3), 10, two_cpus())


@pytest.mark.parametrize(
    "height,width", [(32, 32), (30, 45), (1, 9), (3, 2), (70, 101)]
)
def test_translate_keeps_any_size(height, width, random_images):
    generator = resnet(num_filters=4, num_blocks=1)
    images = random_images(2, height, width, 3)
    translated = translate(generator, images, 8)
    assert translated.shape == images.shape
    rows, columns = -height % 8, -width % 8
    if rows < height and columns < width:
        padded = np.pad(
            images, ((0, 0), (0, rows), (0, columns), (0, 0)), mode="reflect"
        )
        expected = generator(padded)[:, :height, :width]
        np.testing.assert_allclose(translated, expected, atol=1e-6)


def test_state_names_every_variable_once(tiny):
    model = CycleGAN(tiny(), 10)
    state = model.trainer.state()
    count = sum(len(group) for group in state.values())
    weights = sum(len(m.weights) for m in model.networks.values())
    optimizers = sum(len(o.variables) for o in model.trainer.optimizers.values())
    assert count == weights + optimizers + 4
    assert "first_conv_kernel" in state["generator_g"]
