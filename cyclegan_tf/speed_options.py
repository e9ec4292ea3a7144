"""What makes a CycleGAN's steps faster or smaller, and little else different.

Imports no TensorFlow.
"""

import dataclasses

from cyclegan_tf.common_options import knob

PRECISIONS = ("float32", "bfloat16", "float16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speed:
    """The fields of `Config` that are about time and memory; given by name."""

    cache: str = knob(
        "auto",
        "Speed",
        "`auto` caches training pictures in a quarter of free memory: decoded, or else "
        "encoded, if they fit; `none` always reads their files",
        choices=("auto", "none"),
        changeable=True,
    )
    identity_every_steps: int = knob(
        1,
        "Speed",
        "steps from one identity loss to the next, which weighs so many times as much: "
        "it is a third of all work (an idea of arXiv 1912.04958)",
        minimum=1,
    )
    precision: str = knob(
        "float32",
        "Speed",
        "of activations; weights, norms' moments, outputs and losses are float32 "
        "always. bfloat16 needs hardware that has it, float16 a GPU; its gradients are "
        "scaled, and a step whose gradients overflow changes nothing",
        choices=PRECISIONS,
    )
    jit_compile: bool = knob(
        False,
        "Speed",
        "compile the step with XLA, for GPUs: on CPUs it is slower; longer to start",
        changeable=True,
    )
    recompute: bool = knob(
        False,
        "Speed",
        "compute the stages of generators again in the backward pass, in place of "
        "keeping them: less memory, about a third more time",
        changeable=True,
    )
