"""Exports the generator of a pix2pix run: one direction of what `export.py` writes.

A pix2pix generator takes and gives pictures as a CycleGAN's does, so the run is laid
out, aside, as a CycleGAN that has this generator alone.
"""

import dataclasses
import pathlib
import shutil

from PIL import Image

from cyclegan_tf.config import Config
from cyclegan_tf.data import paired
from cyclegan_tf.exporting import export
from cyclegan_tf.exporting.request import Request
from cyclegan_tf.files import scratch
from cyclegan_tf.learning.state import named_weights
from cyclegan_tf.models.pix2pix import Pix2PixGAN
from cyclegan_tf.options import Pix2Pix
from cyclegan_tf.run_directory import (
    CONFIG_FILE,
    EXPORT_FOLDER,
    LOG_FILE,
    check_same,
)
from cyclegan_tf.training import checkpoints

# What the direction is called in files, and the generator that translates so.
_PLACES = {"a_to_b": ("A2B", "generator_g"), "b_to_a": ("B2A", "generator_f")}
_KIND = "pix2pix (arXiv 1611.07004)"


def export_run(request: Request, options: Pix2Pix) -> list[dict]:
    """Exports a run, and prints a table of what was written.

    Calibrated and verified on training inputs, unless the request names pictures.

    Args:
      request: What to export; `directions` and `checkpoint` mean nothing here.
      options: Of the run.

    Returns:
      A row for each file, as `export.carry_out` gives them.

    Raises:
      UserError: as `export.carry_out`.
    """
    run_dir = request.run_dir
    check_same(options)
    model = Pix2PixGAN(options)
    networks = {"generator": model.generator}
    path = checkpoints.take_over(networks, run_dir, "run_dir")
    step = int(path.rsplit("-", 1)[1])
    direction, name = _PLACES[options.direction]
    with scratch() as folder:
        aside = pathlib.Path(folder)
        weights = {k: v.numpy() for k, v in named_weights(model.generator).items()}
        checkpoints.save_networks(aside, {name: weights}, step)
        (aside / CONFIG_FILE).write_text(_as_cyclegan(options).to_json())
        log = pathlib.Path(run_dir) / LOG_FILE
        if log.exists():
            shutil.copy(log, aside)
        asked = dataclasses.replace(
            request,
            run_dir=folder,
            directions=(direction,),
            output=request.output or f"{run_dir}/{EXPORT_FOLDER}",
            checkpoint="latest",
        )
        if not request.pictures:
            pictures = aside / "pictures"
            _write_inputs(model.data, request.num_calibration_pictures, pictures)
            asked = dataclasses.replace(asked, pictures=str(pictures))
        return export.carry_out(asked, _KIND)


def _as_cyclegan(options: Pix2Pix) -> Config:
    """The configuration of a CycleGAN with the same generator."""
    return Config(
        generator="unet",
        **{
            name: getattr(options, name)
            for name in (
                "dataset",
                "image_size",
                "load_size",
                "num_filters",
                "num_downs",
                "discriminator_filters",
                "discriminator_layers",
            )
        },
    )


def _write_inputs(data: paired.PairedData, number: int, folder: pathlib.Path) -> None:
    """Training inputs as PNGs."""
    folder.mkdir()
    for i in range(min(number, len(data.train))):
        picture = data.train.read(i)[..., :3]
        Image.fromarray(picture).save(folder / f"{i:06d}.png")
