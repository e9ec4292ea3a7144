"""A perceptron: vectors in, vectors out."""

import keras


def perceptron(
    num_inputs: int, num_outputs: int, num_units: int, num_layers: int, name: str
) -> keras.Model:
    """Dense layers with ReLU, and one without.

    Args:
      num_inputs: Length of the vectors that come in.
      num_outputs: Length of those that go out.
      num_units: Units of a hidden layer.
      num_layers: Hidden layers.
      name: Name of the model.

    Returns:
      A model from [batch, num_inputs] to [batch, num_outputs]; weights begin at
      N(0, 2 / inputs) (arXiv 1502.01852), those of the last layer at Glorot's.
    """
    x = inputs = keras.Input((num_inputs,))
    for i in range(1, num_layers + 1):
        x = keras.layers.Dense(
            num_units,
            activation="relu",
            kernel_initializer=keras.initializers.HeNormal(),
            name=f"dense_{i}",
        )(x)
    outputs = keras.layers.Dense(num_outputs, name="outputs")(x)
    return keras.Model(inputs, outputs, name=name)
