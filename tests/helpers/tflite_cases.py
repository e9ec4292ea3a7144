"""What tests of TFLite files share."""

import numpy as np
import tensorflow as tf


def psnr(image, reference) -> float:
    """In decibels, on [-1, 1]."""
    return 10 * np.log10(4 / np.mean(np.square(image - reference)))


def details(content: bytes) -> tuple[dict, dict]:
    interpreter = tf.lite.Interpreter(model_content=content)
    (taken,), (given,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    return taken, given
