"""Times TFLite files against the Keras generator, alternating, on two threads.

`python tests/measuring/compare_tflite_speed.py PRESET`: random weights, which take the
same time as trained ones. Prints medians, and ratios to Keras.
"""

import os
import pathlib
import statistics
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import tensorflow as tf  # noqa: E402
from benchmarks.measure import take_turns  # noqa: E402

from cyclegan_tf.core.generators import GENERATORS  # noqa: E402
from cyclegan_tf.data import images, shapes  # noqa: E402
from cyclegan_tf.deploy import conversion  # noqa: E402
from cyclegan_tf.deploy.tflite_file import TFLiteGenerator  # noqa: E402
from cyclegan_tf.training.presets import PRESETS  # noqa: E402

ROUNDS = 10
NUM_THREADS = 2
KINDS = ("float32", "float16", "dynamic_int8", "int8")


def main(preset: str) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(NUM_THREADS)
    config = PRESETS[preset].config
    multiple, size = config.size_multiple, (config.image_size, config.image_size)
    pictures = [shapes.draw_pair((0, i), config.image_size)[0] for i in range(3)]
    image = images.to_float(pictures[0][None])
    generator = GENERATORS[config.generator](config, "generator_g")
    keras_call = tf.function(lambda: generator(image, training=False))
    calls = {"keras": lambda: keras_call().numpy()}
    for kind in KINDS:
        made = conversion.convert(generator, multiple, kind, size, calibration=pictures)
        file = TFLiteGenerator(made, NUM_THREADS)
        calls[kind] = lambda file=file: file(image.numpy())
    seconds = take_turns(calls, ROUNDS)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    for name, median in medians.items():
        ratio = median / medians["keras"]
        print(f"{name:<13}{1000 * median:8.1f} ms, {ratio:.2f} of keras")


if __name__ == "__main__":
    main(sys.argv[1])
