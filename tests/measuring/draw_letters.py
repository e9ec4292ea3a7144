"""Draws a data set unlike the others: letters, filled and blue (X), hollow and red (Y).

`python tests/measuring/draw_letters.py FOLDER`: 400 training pictures of each domain,
unpaired, and 40 test pairs of the same names, so that `evaluate --paired` can measure
errors to the truth. Letters, fonts (those of matplotlib), places and grounds are drawn
from a seed.
"""

import pathlib
import sys
import time

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE, OVERSAMPLING = 72, 2
LETTERS = "ABCDEFGHJKLMNPRSTUVXYZ"
FONTS = ("DejaVuSans-Bold", "DejaVuSerif-Bold", "DejaVuSansMono-Bold")
FOLDER = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"


def draw_pair(seed: tuple[int, int]) -> list[Image.Image]:
    """The same letters, filled and hollow, on the same ground."""
    random = np.random.default_rng(seed)
    side = OVERSAMPLING * SIZE
    y, x = np.mgrid[0:side, 0:side] / side
    waves = sum(
        random.uniform(2, 8)
        * np.sin(random.uniform(3, 14) * (a * x + b * y) + random.uniform(0, 6))
        for a, b in random.normal(size=(4, 2))
    )
    colour = random.uniform((205, 200, 180), (245, 240, 225))
    ground = np.clip(colour + waves[..., None], 0, 255).astype(np.uint8)
    letters = []
    for _ in range(2):
        place = random.uniform(0, 0.55, 2) * side
        letter, name = str(random.choice(list(LETTERS))), random.choice(FONTS)
        size = int(random.uniform(0.35, 0.6) * side)
        font = ImageFont.truetype(str(FOLDER / f"{name}.ttf"), size)
        letters.append((tuple(place), letter, font))
    return [_drawn(ground, letters, hollow) for hollow in (False, True)]


def _drawn(ground: np.ndarray, letters: list, hollow: bool) -> Image.Image:
    image = Image.fromarray(ground)
    for place, letter, font in letters:
        mask = Image.new("L", image.size)
        draw = ImageDraw.Draw(mask)
        draw.text(place, letter, 255, font, stroke_width=4)
        if hollow:
            draw.text(place, letter, 0, font)
        image.paste((200, 45, 40) if hollow else (35, 60, 150), mask=mask)
    return image.resize((SIZE, SIZE), Image.Resampling.BOX)


def main(folder: str) -> None:
    """Writes the folders of a data set; says how long that took."""
    start = time.monotonic()
    for part, (split, number) in enumerate({"train": 400, "test": 40}.items()):
        for domain, letter in enumerate("AB"):
            place = pathlib.Path(folder) / f"{split}{letter}"
            place.mkdir(parents=True, exist_ok=True)
            # Test pictures are pairs; training pictures are never the same.
            drawn = 10 * part + (domain if split == "train" else 0)
            for i in range(number):
                draw_pair((drawn, i))[domain].save(place / f"{i:03d}.png")
    print(f"{time.monotonic() - start:.1f} s, 440 pictures of each domain in {folder}")


if __name__ == "__main__":
    main(sys.argv[1])
