"""The documents' training step, written plainly. Our step must equal it.

Tests compare gradients with it; the benchmark times it. One call for each picture and
role, one loss for each network, four gradients from one persistent tape. The total loss
of each generator has the whole cycle loss.
"""

import tensorflow as tf


def plain_gradients(model, real_x, real_y, from_pool=None):
    """Computes the losses of a batch and the gradients of the four networks.

    Args:
      model: A CycleGAN. Only its networks and loss weights are used, not its step.
      real_x: Images of X, float [batch, height, width, 3] in [-1, 1].
      real_y: As many images of Y.
      from_pool: Maps ("x" or "y", fakes) to the fakes that the discriminator trains
        on. None: the fakes themselves.

    Returns:
      Losses by the tutorial's names, and lists of gradients by network.
    """
    lambda_cycle = model.config.lambda_cycle
    lambda_identity = model.config.lambda_identity
    g, f = model.generator_g, model.generator_f
    d_x, d_y = model.judges
    loss_name = model.config.adversarial_loss

    with tf.GradientTape(persistent=True) as tape:
        fake_y = g(real_x, training=True)
        cycled_x = f(fake_y, training=True)
        fake_x = f(real_y, training=True)
        cycled_y = g(fake_x, training=True)
        same_x = f(real_x, training=True)
        same_y = g(real_y, training=True)
        disc_real_x = d_x(real_x, training=True)
        disc_real_y = d_y(real_y, training=True)
        disc_fake_x = d_x(fake_x, training=True)
        disc_fake_y = d_y(fake_y, training=True)
        gen_g_loss = _generator_loss(loss_name, disc_fake_y)
        gen_f_loss = _generator_loss(loss_name, disc_fake_x)
        side = model.config.cycle_pooling
        total_cycle_loss = lambda_cycle * (
            _distance(_means(real_x, side), _means(cycled_x, side))
            + _distance(_means(real_y, side), _means(cycled_y, side))
        )
        weight = lambda_cycle * lambda_identity
        total_gen_g_loss = (
            gen_g_loss + total_cycle_loss + weight * _distance(real_y, same_y)
        )
        total_gen_f_loss = (
            gen_f_loss + total_cycle_loss + weight * _distance(real_x, same_x)
        )
        if model.config.output_activation == "linear":
            outside = model.config.lambda_range
            total_gen_g_loss += outside * _outside(fake_y)
            total_gen_f_loss += outside * _outside(fake_x)
        if from_pool:
            disc_fake_x = d_x(from_pool("x", tf.stop_gradient(fake_x)), training=True)
            disc_fake_y = d_y(from_pool("y", tf.stop_gradient(fake_y)), training=True)
        disc_x_loss = _discriminator_loss(loss_name, disc_real_x, disc_fake_x)
        disc_x_loss += _slope_penalty(model, d_x, real_x, fake_x, 2)
        disc_y_loss = _discriminator_loss(loss_name, disc_real_y, disc_fake_y)
        disc_y_loss += _slope_penalty(model, d_y, real_y, fake_y, 3)
    gradients = {
        name: tape.gradient(loss, model.networks[name].trainable_variables)
        for name, loss in (
            ("generator_g", total_gen_g_loss),
            ("generator_f", total_gen_f_loss),
            ("discriminator_x", disc_x_loss),
            ("discriminator_y", disc_y_loss),
        )
    }
    losses = {
        "gen_g_loss": gen_g_loss,
        "gen_f_loss": gen_f_loss,
        "total_cycle_loss": total_cycle_loss,
        "identity_g_loss": weight * _distance(real_y, same_y),
        "identity_f_loss": weight * _distance(real_x, same_x),
        "total_gen_g_loss": total_gen_g_loss,
        "total_gen_f_loss": total_gen_f_loss,
        "disc_x_loss": disc_x_loss,
        "disc_y_loss": disc_y_loss,
    }
    return losses, gradients


def train_step(model, real_x, real_y):
    """Updates each network once by the plain gradients, with the model's pools.

    Args:
      model: A CycleGAN on one device.
      real_x: As `plain_gradients` takes it.
      real_y: As many images of Y.

    Returns:
      Losses by name.
    """
    pools = {"x": model.adversary_x.pools, "y": model.adversary_y.pools}

    def from_pool(domain, fakes):
        return pools[domain][0].query(fakes, model.trainer.seed("xy".index(domain)))

    losses, gradients = plain_gradients(
        model, real_x, real_y, from_pool if model.config.pool_size else None
    )
    for name, of_network in gradients.items():
        model.trainer.optimizers[name].apply(of_network)
    return losses


def _distance(a, b):
    return tf.reduce_mean(tf.abs(a - b))


def _means(images, side):
    """Means over squares; `side` divides the sides of the images."""
    shape = images.shape
    parts = shape[0], shape[1] // side, side, shape[2] // side, side, shape[3]
    return tf.reduce_mean(tf.reshape(images, parts), axis=[2, 4])


def _outside(images):
    return tf.reduce_mean(tf.maximum(0.0, tf.abs(images) - 1) ** 2)


def _over_maps(loss, logits):
    """`projected` discriminators return a map of logits for each of their heads."""
    if not isinstance(logits, (list, tuple)):
        return loss(logits)
    return sum(loss(part) for part in logits) / len(logits)


def _adversarial(loss_name, logits, target):
    sign = 2 * target - 1
    if loss_name == "wgan_gp":
        return -sign * tf.reduce_mean(logits)
    if loss_name == "hinge":
        return tf.reduce_mean(tf.maximum(0.0, 1 - sign * logits))
    targets = target * tf.ones_like(logits)
    if loss_name == "least_squares":
        return tf.reduce_mean((logits - targets) ** 2)
    p = tf.sigmoid(logits)
    return -tf.reduce_mean(
        targets * tf.math.log(p) + (1 - targets) * tf.math.log(1 - p)
    )


def _generator_loss(loss_name, disc_fake):
    if loss_name == "hinge":
        return _over_maps(lambda logits: -tf.reduce_mean(logits), disc_fake)
    return _over_maps(lambda logits: _adversarial(loss_name, logits, 1.0), disc_fake)


def _discriminator_loss(loss_name, disc_real, disc_fake):
    both = _over_maps(lambda logits: _adversarial(loss_name, logits, 1.0), disc_real)
    both += _over_maps(lambda logits: _adversarial(loss_name, logits, 0.0), disc_fake)
    return both if loss_name in ("hinge", "wgan_gp") else 0.5 * both


def _slope_penalty(model, critic, real, fake, number):
    if model.config.adversarial_loss != "wgan_gp":
        return 0.0
    shape = (len(real), 1, 1, 1)
    seed = model.trainer.seed(number)
    epsilon = tf.random.stateless_uniform(shape, seed, dtype=fake.dtype)
    between = epsilon * real + (1 - epsilon) * tf.stop_gradient(fake)
    total = 0.0
    for i in range(len(real)):
        one = between[i : i + 1]
        with tf.GradientTape() as inner:
            inner.watch(one)
            score = tf.reduce_mean(critic(one, training=True))
        total += (tf.norm(inner.gradient(score, one)) - 1) ** 2
    return model.config.lambda_gradient * total / len(real)
