import dataclasses

import pytest
import tensorflow as tf

from benchmarks.operations import count_flops, count_operations
from cyclegan_tf import compat
from cyclegan_tf.core.cyclegan import CycleGAN
from cyclegan_tf.training.devices import make_strategy
from cyclegan_tf.training.presets import PRESETS


def flops(function, *shapes) -> int:
    specs = [tf.TensorSpec(shape) for shape in shapes]
    return count_flops(tf.function(function).get_concrete_function(*specs))


IMAGES, KERNEL = (2, 9, 7, 3), (5, 4, 3, 6)
# Two images of 3 x 2 places, each with 5 x 4 taps from 3 to 6 channels.
CONVOLVED = 2 * (2 * 3 * 2) * (5 * 4 * 3 * 6)


def convolved(images, kernel):
    return tf.nn.conv2d(images, kernel, strides=2, padding="VALID")


def test_convolutions_count_a_product_and_a_sum_for_each_tap():
    def both_gradients(images, kernel):
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            result = tf.reduce_sum(convolved(images, kernel) ** 2)
        return tape.gradient(result, [images, kernel])

    assert flops(convolved, IMAGES, KERNEL) == CONVOLVED
    assert flops(both_gradients, IMAGES, KERNEL) == 3 * CONVOLVED


def test_transposed_convolutions_count_the_smaller_side():
    def doubled(images, kernel):
        return tf.nn.conv2d_transpose(images, kernel, (2, 18, 14, 8), strides=2)

    expected = 2 * (2 * 9 * 7) * (4 * 4 * 8 * 3)
    assert flops(doubled, IMAGES, (4, 4, 8, 3)) == expected


def test_products_count():
    assert flops(tf.matmul, (5, 3), (3, 7)) == 2 * 5 * 3 * 7
    transposed = flops(lambda a, b: tf.matmul(a, b, transpose_a=True), (3, 5), (3, 7))
    assert transposed == 2 * 5 * 3 * 7


def test_called_functions_count_at_each_call():
    inner = tf.function(convolved)

    def twice(images, kernel):
        return inner(images, kernel) + inner(2.0 * images, kernel)

    assert flops(twice, IMAGES, KERNEL) == 2 * CONVOLVED


def test_what_is_computed_now_and_then_does_not_count():
    def sometimes(images, kernel):
        return tf.cond(
            images[0, 0, 0, 0] > 0,
            lambda: convolved(images, kernel),
            lambda: tf.zeros((2, 3, 2, 6)),
        )

    assert flops(sometimes, IMAGES, KERNEL) == 0


def test_unknown_shapes_are_refused():
    with pytest.raises(ValueError, match="has the shape"):
        flops(convolved, (None, 9, 7, 3), KERNEL)


def test_operations_are_those_after_optimisation():
    @tf.function(autograph=False)
    def wasteful(x):
        unused = tf.sin(x)
        del unused
        return tf.cos(x) + tf.cos(x)

    x = tf.constant([1.0, 2.0])
    assert count_operations(lambda: wasteful(x)) < 8


# --- Our step


@pytest.fixture(scope="module")
def pictures() -> list[tf.Tensor]:
    return [tf.random.uniform((1, 32, 32, 3), -1, 1, seed=seed) for seed in (0, 1)]


@pytest.mark.slow
@pytest.mark.stack
def test_step_is_traced_once_into_few_operations_without_python(pictures):
    make_strategy("single")  # Another test's may have left optimizations out.
    model = CycleGAN(PRESETS["tiny"].config, 100)
    operations = count_operations(lambda: model.train_step(*pictures))
    if not compat.addons():  # Its norm is another.
        assert operations <= 1300  # 1,936 before norms and crops were made of fewer.
    for _ in range(3):
        model.train_step(*pictures)
    assert model.trainer.train_step.experimental_get_tracing_count() == 1
    graph = model.trainer.train_step.get_concrete_function(*pictures, True).graph
    definition = graph.as_graph_def()
    kinds = [node.op for node in definition.node]
    for function in definition.library.function:
        kinds += [node.op for node in function.node_def]
    assert not {"PyFunc", "EagerPyFunc", "PyFuncStateless"} & set(kinds)
    # One kernel updates a variable.
    variables = sum(len(n.trainable_variables) for n in model.networks.values())
    assert kinds.count("ResourceApplyAdam") == variables


@pytest.mark.slow
@pytest.mark.stack
def test_flops_of_a_step_are_those_of_its_passes(pictures):
    """Three times the forward passes, less what no gradient is wanted of."""
    config = dataclasses.replace(PRESETS["tiny"].config, pool_size=0)
    plain = CycleGAN(config, 100)
    step = count_flops(
        tf.function(plain.compute_gradients).get_concrete_function(*pictures)
    )

    def forward(network):
        call = tf.function(lambda x: network(x, training=True))
        return count_flops(call.get_concrete_function(pictures[0]))

    generator, judge = (
        forward(plain.generator_g),
        forward(plain.networks["discriminator_x"]),
    )
    # Six passes of generators; two of each discriminator, and one more of gradients
    # alone since fakes are a generator's and a discriminator's to learn from.
    most = 3 * (6 * generator + 4 * judge) + 2 * judge
    assert 0.9 * most < step <= most
