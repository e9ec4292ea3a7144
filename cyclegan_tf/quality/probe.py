"""A linear probe: which of two domains a picture is of, by its features alone.

It is trained on real pictures in about a second, and has no setting to choose, so that
whoever measures gets the same one.
"""

import dataclasses

import numpy as np

# Of half the squared length of the weights, beside the mean loss of a picture.
PENALTY = 0.1


@dataclasses.dataclass(frozen=True)
class Probe:
    """Logistic regression on standardised features.

    Attributes:
      mean: Of the features that it learned from, float64 [dimension].
      deviation: Of these; 1 where they do not vary.
      weights: float64 [dimension].
      bias: The log-odds of domain Y at the mean.
    """

    mean: np.ndarray
    deviation: np.ndarray
    weights: np.ndarray
    bias: float

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """Log-odds of domain Y, float64 [number], of features [number, dimension]."""
        return (features - self.mean) / self.deviation @ self.weights + self.bias


def fit(features_x: np.ndarray, features_y: np.ndarray) -> Probe:
    """The probe with the least loss, by Newton's method.

    The loss is mean(log(1 + exp(-side log_odds))) + PENALTY / 2 |weights|^2, where side
    is 1 for Y and -1 for X. As many pictures of both are taken, spread evenly: with
    fewer pictures than features, a larger domain would seem nearer to all others.

    Args:
      features_x: Of real pictures of X, [number, dimension].
      features_y: Of real pictures of Y, [other number, dimension].
    """
    number = min(len(features_x), len(features_y))
    held = np.concatenate(
        [
            features[np.linspace(0, len(features) - 1, number).round().astype(int)]
            for features in (features_x, features_y)
        ]
    ).astype(np.float64)
    mean, deviation = held.mean(axis=0), held.std(axis=0)
    deviation[deviation == 0] = 1.0
    inputs = np.ones((len(held), held.shape[1] + 1))
    inputs[:, :-1] = (held - mean) / deviation
    side = np.repeat((-1.0, 1.0), number)
    penalty = np.append(np.full(held.shape[1], PENALTY), 0.0)

    def loss(weights):
        losses = np.logaddexp(0.0, -side * (inputs @ weights))
        return losses.mean() + weights @ (penalty * weights) / 2

    weights = np.zeros(inputs.shape[1])
    for _ in range(100):
        wrong = np.exp(-np.logaddexp(0.0, side * (inputs @ weights)))
        gradient = penalty * weights - inputs.T @ (side * wrong) / len(side)
        curvature = wrong * (1 - wrong) / len(side)
        hessian = (inputs.T * curvature) @ inputs + np.diag(penalty)
        step, size = np.linalg.solve(hessian, gradient), 1.0
        gain, before = gradient @ step, loss(weights)
        # Near the minimum the whole step is taken, and smaller gains are rounding.
        while gain > 1e-12 and loss(weights - size * step) > before - size * gain / 4:
            size /= 2
        weights = weights - size * step
        if gain <= 1e-12:
            break
    return Probe(mean, deviation, weights[:-1], float(weights[-1]))
