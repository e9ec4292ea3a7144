"""Times our step against the plain one.

`python tests/measuring/compare_step_speed.py PRESET`: gradients of one batch,
both as graphs, alternating, without image pools; prints the medians and their ratio.
"""

import os
import pathlib
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import tensorflow as tf  # noqa: E402
from helpers.reference_step import reference_gradients  # noqa: E402

from cyclegan_tf.config import Config  # noqa: E402
from cyclegan_tf.models.cyclegan import CycleGAN  # noqa: E402
from cyclegan_tf.presets import PRESETS  # noqa: E402


def main(preset: str, num_rounds: int) -> None:
    tf.config.optimizer.set_experimental_options({"remapping": False})
    config = Config(**{**PRESETS[preset].values, "pool_size": 0})
    model = CycleGAN(config, 1000)
    shape = (config.batch_size, config.image_size, config.image_size, 3)
    real_x, real_y = tf.random.uniform(shape, -1, 1), tf.random.uniform(shape, -1, 1)
    steps = {
        "ours": tf.function(model.compute_gradients),
        "plain": tf.function(lambda x, y: reference_gradients(model, x, y)),
    }
    seconds = {name: [] for name in steps}
    for round_number in range(num_rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            losses, gradients = step(real_x, real_y)
            _ = [float(x) for x in losses.values()], gradients["generator_g"][0].numpy()
            if round_number:  # The first traces.
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(
        f"{preset}, {num_rounds} rounds: ours {medians['ours']:.3f} s, plain "
        f"{medians['plain']:.3f} s, plain / ours "
        f"{medians['plain'] / medians['ours']:.2f}"
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20)
