"""Times our training step against the plain one and PyTorch's, on the CPU.

`python tests/measuring/compare_step_speed.py PRESET ROUNDS [SIDE ...]`: each side,
`ours`, `plain`, `tutorial` or `torch`, in a process of its own with the threads that
its users get; they take turns at one step of the same size, without image pools.
Prints medians and the middle one of the ratios.
"""

import dataclasses
import os
import pathlib
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from cyclegan_tf.training.presets import PRESETS  # noqa: E402


def tensorflow_step(config, side: str):
    import tensorflow as tf
    from benchmarks import tutorial_step
    from helpers import plain_step

    from cyclegan_tf.core.cyclegan import CycleGAN
    from cyclegan_tf.training.devices import share_cores

    if side == "ours":
        share_cores()  # As `train` does.
    tf.config.optimizer.set_experimental_options({"remapping": False})
    tutorial = side == "tutorial"
    model = (
        tutorial_step.TutorialCycleGAN(config) if tutorial else CycleGAN(config, 1000)
    )
    shape = (config.batch_size, config.image_size, config.image_size, 3)
    real_x, real_y = tf.random.uniform(shape, -1, 1), tf.random.uniform(shape, -1, 1)
    plain = tf.function(lambda x, y: plain_step.train_step(model, x, y))

    def step() -> float:  # Its model lives as long as it does.
        train_step = plain if side == "plain" else model.train_step
        return float(train_step(real_x, real_y)["disc_x_loss"])

    return step


def torch_step(config):
    import torch
    from helpers.torch_cyclegan import Recipe, TorchCycleGAN
    from helpers.torch_networks import Patchgan, Resnet

    resnet = config.num_filters, config.num_blocks
    patchgan = config.discriminator_filters, config.discriminator_layers
    networks = {f"generator_{name}": Resnet(*resnet) for name in "gf"}
    networks |= {f"discriminator_{name}": Patchgan(*patchgan) for name in "xy"}
    model = TorchCycleGAN(networks, Recipe())
    shape = (config.batch_size, 3, config.image_size, config.image_size)
    real_x, real_y = (2 * torch.rand(shape) - 1 for _ in range(2))
    return lambda: model.train_step(real_x, real_y)


def work(side: str, preset: str) -> None:
    """Steps whenever a line comes in, and says how long that took."""
    config = dataclasses.replace(PRESETS[preset].config, pool_size=0)
    step = torch_step(config) if side == "torch" else tensorflow_step(config, side)
    for _ in range(2):
        step()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)


def main(preset: str, rounds: int, sides: list[str]) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers, seconds = {}, {side: [] for side in sides}
    for side in sides:
        command = [sys.executable, __file__, "--work", side, preset]
        workers[side] = subprocess.Popen(command, **pipes)
        if workers[side].stdout.readline().strip() != "ready":
            sys.exit(f"error: {side} did not start.")
    for _ in range(rounds):
        for side, worker in workers.items():
            worker.stdin.write("\n")
            worker.stdin.flush()
            seconds[side].append(float(worker.stdout.readline()))
    for worker in workers.values():
        worker.communicate()
    told = [f"{preset}, {rounds} rounds"]
    told += [f"{side} {statistics.median(seconds[side]):.3f} s" for side in sides]
    for side in sides[1:]:
        pairs = zip(seconds[side], seconds[sides[0]], strict=True)
        ratio = statistics.median(theirs / ours for theirs, ours in pairs)
        told.append(f"{side} / {sides[0]} {ratio:.2f}")
    print(", ".join(told))


if __name__ == "__main__":
    if sys.argv[1] == "--work":
        work(*sys.argv[2:])
    else:
        rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
        main(sys.argv[1], rounds, sys.argv[3:] or ["ours", "plain"])
