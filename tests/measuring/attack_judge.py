"""How far noise of two levels moves a judge, and a classifier trained without care.

python tests/measuring/attack_judge.py PRESET [STEPS [DATA_DIR]]
"""

import os
import pathlib
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.attacks import perturbed, plain_log_odds  # noqa: E402

from cyclegan_tf.data import datasets  # noqa: E402
from cyclegan_tf.presets import preset  # noqa: E402
from cyclegan_tf.quality import judge  # noqa: E402
from cyclegan_tf.quality.evaluation import halves  # noqa: E402
from cyclegan_tf.quality.pictures import first  # noqa: E402


def main(name: str, num_steps: int = judge.NUM_STEPS, data_dir: str = "") -> None:
    """Trains both, and prints what noise made for each does to each."""
    config = preset(name, data_dir=data_dir)
    data, size = datasets.load(config), config.image_size
    learned = [
        first(datasets.resized(halves(domain)[0], size * 9 // 8))
        for domain in (data.train_x, data.train_y)
    ]
    networks, start = {}, time.monotonic()
    for kind in ("plain", "judge"):
        networks[kind] = judge.build(size, 0)
        judge.fit(networks[kind], *learned, 0, num_steps, corrupted=kind == "judge")
    print(f"Trained both in {time.monotonic() - start:.0f} s, {num_steps} steps each.")
    asked = judge.Judge(networks["judge"], size, "", "").ask
    answers = {
        "plain": lambda pictures: plain_log_odds(networks["plain"], pictures),
        "judge": lambda pictures: asked(pictures)[0],
    }
    pictures, others = first(data.test_x), first(data.test_y)
    gap = answers["judge"](others).mean() - answers["judge"](pictures).mean()
    print(f"The judge's log-odds of Y and of X lie {gap:.2f} apart.")
    for kind, network in networks.items():
        noisy = perturbed(network, pictures)
        for who, answer in answers.items():
            before, after = answer(pictures), answer(noisy)
            print(
                f"Noise made against {kind}: {who} moves by "
                f"{(after - before).mean():.2f}, takes {(after > 0).mean():.0%} "
                f"for Y instead of {(before > 0).mean():.0%}."
            )


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]), *sys.argv[3:])
