import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cyclegan_tf.training.reporting import Reporter, read_log, save_curves

LOSSES = (
    "gen_g_loss gen_f_loss total_cycle_loss identity_g_loss identity_f_loss "
    "disc_x_loss disc_y_loss"
).split()


PANELS = {"Some": tuple(LOSSES[:3]), "Others": tuple(LOSSES[3:])}


def losses(value):
    return {name: value for name in LOSSES}


def events(folder):
    """(step, tag, value) of all TensorBoard files below a folder."""
    found = []
    for file in sorted(folder.glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                found.append((event.step, value.tag, tf.make_ndarray(value.tensor)))
    return found


def test_scalars_go_to_the_log_and_to_tensorboard(tmp_path):
    reporter = Reporter(tmp_path, 0, 10)
    reporter.scalars(5, {"disc_x_loss": 0.25})
    reporter.close()
    assert read_log(tmp_path / "log.jsonl") == [{"step": 5, "disc_x_loss": 0.25}]
    ((step, tag, value),) = events(tmp_path / "tensorboard")
    assert (step, tag, float(value)) == (5, "disc_x_loss", 0.25)


def test_grid_is_a_png_with_the_pictures_and_an_image_in_tensorboard(tmp_path):
    red = np.broadcast_to(np.uint8([255, 0, 0]), (2, 8, 8, 3))
    blue = np.broadcast_to(np.uint8([0, 0, 255]), (2, 8, 8, 3))
    reporter = Reporter(tmp_path, 0, 10)
    reporter.grid("epoch_0001", 3, {"real_x": red, "fake_y": blue})
    reporter.close()
    pixels = np.asarray(Image.open(tmp_path / "grids/epoch_0001.png").convert("RGB"))
    left, right = np.array_split(pixels, 2, axis=1)
    assert (left == [255, 0, 0]).all(-1).mean() > 0.5
    assert (right == [0, 0, 255]).all(-1).mean() > 0.5
    assert not (left == [0, 0, 255]).all(-1).any()
    ((step, tag, value),) = events(tmp_path / "tensorboard")
    assert (step, tag) == (3, "grid/image_0") or (step, tag) == (3, "grid")
    assert value.size >= 3
    assert not list(tmp_path.rglob("*.tmp"))


def test_run_that_goes_on_drops_records_after_its_step(tmp_path):
    lines = [json.dumps({"step": s, **losses(1.0)}) for s in (10, 20, 30)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n" + '{"step": 40, "gen')
    reporter = Reporter(tmp_path, 20, 40)
    reporter.scalars(30, losses(2.0))
    reporter.close()
    records = read_log(tmp_path / "log.jsonl")
    assert [r["step"] for r in records] == [10, 20, 30]
    assert records[-1]["gen_g_loss"] == 2.0


@pytest.mark.parametrize("start", [0, 20])
def test_tensorboard_shows_a_step_once_after_a_kill(start, tmp_path):
    reporter = Reporter(tmp_path, 0, 40)
    for step in range(start, 31, 10):
        reporter.scalars(step, {"loss": 1.0})
    reporter.close()
    (file,) = (tmp_path / "tensorboard").iterdir()
    with file.open("ab") as end:
        end.write(b"cut")  # As a kill leaves it.
    reporter = Reporter(tmp_path, start, 40)
    for step in range(start + 10, 41, 10):
        reporter.scalars(step, {"loss": 2.0})
    reporter.close()
    found = sorted((s, float(v)) for s, _, v in events(tmp_path / "tensorboard"))
    again = [(step, 2.0) for step in range(start + 10, 41, 10)]
    assert found == [(20, 1.0)] * (start == 20) + again
    assert [r["step"] for r in read_log(tmp_path / "log.jsonl")] == [
        s for s, _ in found
    ]


def test_curves_are_drawn_from_the_log(tmp_path):
    log, plot = tmp_path / "log.jsonl", tmp_path / "losses.png"
    save_curves(log, PANELS, plot)
    assert not plot.exists()
    log.write_text(json.dumps({"step": 1, "error_x_to_y": 3.0}) + "\n")
    save_curves(log, PANELS, plot)
    assert not plot.exists()
    with log.open("a") as file:
        for step in range(2, 20):
            file.write(json.dumps({"step": step, **losses(1 / step)}) + "\n")
    save_curves(log, PANELS, plot)
    with Image.open(plot) as image:
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(1 << 24)) > 20


def test_progress_bar_starts_at_the_step_of_the_run(tmp_path, capsys):
    reporter = Reporter(tmp_path, 30, 40)
    for _ in range(10):
        reporter.advance()
    reporter.close()
    assert "40/40" in capsys.readouterr().err
