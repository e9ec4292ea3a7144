"""The reports of a run: progress, log, TensorBoard, grids and curves."""

import contextlib
import errno
import gc
import json
import os
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

from cyclegan_tf.data import images
from cyclegan_tf.files import written_whole
from cyclegan_tf.messages import LOG, progress_bar, reason
from cyclegan_tf.training.run_directory import (
    CURVES_FILE,
    GRIDS_FOLDER,
    LOG_FILE,
    TENSORBOARD_FOLDER,
)

# Measurements in the log beside the model's numbers: rates since the last record, and
# the seconds from the start of `train` to the end of the first step.
MEASURES = (
    "steps_per_second",
    "waiting_for_data",
    "peak_memory_gigabytes",
    "first_step_seconds",
)


class Reporter:
    """Writes the reports of one run; a failed write is only a warning.

    Args:
      run_dir: The run directory.
      start_step: The step where the run continues. Later records and points go: the
        run trains these steps again.
      num_steps: The last step, for the time left.
    """

    def __init__(self, run_dir: str | pathlib.Path, start_step: int, num_steps: int):
        self._run_dir = pathlib.Path(run_dir)
        self._log = self._run_dir / LOG_FILE
        self._warned = set()
        _drop_records_after(start_step, self._log)
        self._bar = progress_bar(initial=start_step, total=num_steps, unit="step")
        self._writer = tf.summary.create_noop_writer()
        with self._may_fail(TENSORBOARD_FOLDER):
            folder = self._run_dir / TENSORBOARD_FOLDER
            _drop_points_after(start_step, folder)
            self._writer = tf.summary.create_file_writer(str(folder))

    def advance(self) -> None:
        """Counts a step."""
        self._bar.update()

    def say(self, line: str) -> None:
        """Logs a line for the user."""
        LOG.info(line)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Writes numbers of a step to the log and to TensorBoard."""
        with self._may_fail(LOG_FILE):
            append_line(self._log, json.dumps({"step": step, **values}))
        with self._may_fail(TENSORBOARD_FOLDER), self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def grid(self, name: str, step: int, pictures: dict[str, np.ndarray]) -> None:
        """Writes a grid of pictures to NAME.png and to TensorBoard.

        `pictures` has columns by title, uint8 [rows, height, width, 3].
        """
        folder = self._run_dir / GRIDS_FOLDER
        tiled = images.tile(list(pictures.values()))
        with self._may_fail(GRIDS_FOLDER):
            folder.mkdir(exist_ok=True)
            save_grid(tiled, list(pictures), folder / f"{name}.png")
        with self._may_fail(TENSORBOARD_FOLDER), self._writer.as_default(step):
            tf.summary.image("grid", tiled[np.newaxis])

    def curves(self, panels: Mapping[str, tuple[str, ...]]) -> None:
        """Draws the losses in the log; `panels` as in `save_curves`."""
        with self._may_fail(CURVES_FILE):
            save_curves(self._log, panels, self._run_dir / CURVES_FILE)

    def close(self) -> None:
        """Closes the bar and TensorBoard."""
        self._bar.close()
        with self._may_fail(TENSORBOARD_FOLDER):
            self._writer.close()

    @contextlib.contextmanager
    def _may_fail(self, name: str) -> Iterator[None]:
        """Turns a failed write into a warning, once per name."""
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            if name not in self._warned:
                self._warned.add(name)
                path = self._run_dir / name
                LOG.warning(f"Warning: {path} can't be written: {reason(error)}.")


class NoReporter:
    """Reports nothing: the chief worker reports."""

    def _nothing(self, *args) -> None:
        """Does nothing."""

    advance = say = scalars = grid = curves = close = _nothing


def _drop_records_after(step: int, log: pathlib.Path) -> None:
    kept = [r for r in read_log(log) if 0 < step >= r["step"]]
    with written_whole(log) as temporary:
        temporary.write_text("".join(json.dumps(r) + "\n" for r in kept))


def _drop_points_after(step: int, folder: pathlib.Path) -> None:
    """Drops points of TensorBoard's files; files without later points stay."""
    for path in folder.glob("events.out.tfevents.*"):
        events = list(RawEventFileLoader(str(path)).Load())
        steps = [tf.compat.v1.Event.FromString(event).step for event in events]
        kept = [e for e, s in zip(events, steps, strict=True) if 0 < step >= s]
        if len(kept) < len(events):
            with (
                written_whole(path) as temporary,
                tf.io.TFRecordWriter(str(temporary)) as writer,
            ):
                for event in kept:
                    writer.write(event)
        if not kept:
            path.unlink()


def append_line(path: pathlib.Path, line: str) -> None:
    """Appends a whole line to a file, or nothing if the write fails."""
    data = (line + "\n").encode()
    with path.open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            if file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(size)
            raise


def read_log(path: pathlib.Path) -> list[dict]:
    """The records of a log, in order, without an incomplete last line."""
    records = []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


@contextlib.contextmanager
def _freed() -> Iterator[None]:
    """Frees figures at once; they have reference cycles. A full collection is slow."""
    collects = gc.isenabled()
    gc.disable()  # New objects stay in the youngest generation.
    try:
        yield
    finally:
        gc.collect(0)
        if collects:
            gc.enable()


@_freed()
def save_grid(tiled: np.ndarray, titles: list[str], path: pathlib.Path) -> None:
    """Saves a tiled image, uint8 [height, width, 3], with a title per column."""
    figure, axes = _figure(
        width=1.3 * len(titles),
        height=1.3 * len(titles) * tiled.shape[0] / tiled.shape[1] + 0.3,
    )
    axes.imshow(tiled, interpolation="nearest")
    column = tiled.shape[1] / len(titles)
    places = [(i + 0.5) * column for i in range(len(titles))]
    axes.set_xticks(places, titles, fontsize=9)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    _save(figure, path)


@_freed()
def save_curves(
    log: pathlib.Path, panels: Mapping[str, tuple[str, ...]], path: pathlib.Path
) -> None:
    """Draws losses of a log over the steps as a PNG; no file without records.

    `panels` has the losses of each panel, by its title.
    """
    wanted = {name for names in panels.values() for name in names}
    records = [record for record in read_log(log) if wanted <= record.keys()]
    if not records:
        return
    figure, axes = _figure(width=4 * len(panels), height=3.6, columns=len(panels))
    steps = [r["step"] for r in records]
    for axis, (title, names) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        for name in names:
            axis.plot(steps, [r[name] for r in records], label=name, linewidth=1)
        axis.set_title(title)
        axis.set_xlabel("step")
        if min(r[name] for r in records for name in names) >= 0:
            axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    _save(figure, path)


def _figure(width: float, height: float, columns: int = 1):
    # No pyplot: no window, no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, columns)


def _save(figure, path: pathlib.Path) -> None:
    with written_whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    figure.clear()
