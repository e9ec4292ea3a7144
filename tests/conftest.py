"""Two logical CPU devices, quiet logs, small configurations, and runs to export."""

import dataclasses
import json
import os
import pathlib
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
if "PYTEST_XDIST_WORKER" in os.environ:
    # There is a worker for each core: more threads, also of programs, only compete.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from cyclegan_tf.config import Config  # noqa: E402
from cyclegan_tf.messages import without_native_messages  # noqa: E402
from cyclegan_tf.training.presets import PRESETS  # noqa: E402

with without_native_messages():
    import keras
    import tensorflow as tf

    _CPU = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        _CPU, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    tf.config.list_logical_devices()

from helpers.exporting_samples import (  # noqa: E402
    LOG,
    passes,
    saved_run,
    write_pictures,
)

from cyclegan_tf.deploy import export, exportables, verify  # noqa: E402
from cyclegan_tf.deploy.export_options import ExportOptions  # noqa: E402
from cyclegan_tf.family.shared import digits  # noqa: E402
from cyclegan_tf.training.run_directory import save_config  # noqa: E402


def pytest_addoption(parser):
    parser.addoption(
        "--kills",
        type=int,
        default=5,
        help="how often a run is killed, and half as often with two replicas",
    )


@pytest.fixture(autouse=True)
def fixed_seed():
    """Weights are the same in each run of a test."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def tiny():
    """Makes a `Config` of the preset `tiny` with some fields replaced."""

    def make(**fields) -> Config:
        return Config(**{**PRESETS["tiny"].values, **fields})

    return make


@pytest.fixture
def random_images():
    """Makes images in [-1, 1]."""

    def make(*shape: int, seed: int = 0) -> tf.Tensor:
        random = np.random.default_rng(seed)
        return tf.constant(random.uniform(-1, 1, shape), tf.float32)

    return make


@pytest.fixture
def eagerly():
    """Runs tf.functions as Python: a few steps take less time than a trace."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def no_figures(monkeypatch):
    """Grids and curves are empty files: drawing takes longer than a small training."""

    def touch(*arguments):
        *_, path = arguments
        path.touch()

    reporting = "cyclegan_tf.training.reporting"
    monkeypatch.setattr(f"{reporting}.save_grid", touch)
    monkeypatch.setattr(f"{reporting}.save_curves", touch)


@pytest.fixture
def few_shapes(monkeypatch):
    """An epoch of 12 steps, and 3 test pictures."""
    monkeypatch.setattr("cyclegan_tf.data.shapes.NUM_TRAIN", 12)
    monkeypatch.setattr("cyclegan_tf.data.shapes.NUM_TEST", 3)


@pytest.fixture
def few_digits(monkeypatch):
    """Few digits, and judges after few steps."""
    monkeypatch.setattr("cyclegan_tf.family.shared.digits.NUM_TRAIN", 100)
    monkeypatch.setattr("cyclegan_tf.family.shared.digits.NUM_TEST", 70)
    monkeypatch.setattr("cyclegan_tf.family.shared.digits.JUDGE_STEPS", 3)
    monkeypatch.setattr("cyclegan_tf.family.dcgan._MEASURED", 300)
    monkeypatch.setattr("cyclegan_tf.family.vae._MEASURED", 300)
    digits.load.cache_clear()
    yield
    digits.load.cache_clear()


# --- Exports


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A CycleGAN, saved as a run at step 3, with a log that goes on to step 4."""
    model = saved_run(tmp_path_factory.mktemp("runs") / "run")
    lines = [json.dumps(entry) + "\n" for entry in LOG]
    log = pathlib.Path(model.config.run_dir) / "log.jsonl"
    log.write_text("".join(lines) + '{"step": 3, "gen_g_lo')
    return model


@pytest.fixture
def run_of(model, tmp_path):
    """Makes a copy of the run, with other values in its configuration."""

    def make(**fields) -> pathlib.Path:
        run = tmp_path / "run"
        shutil.copytree(model.config.run_dir, run)
        fields = {**fields, "run_dir": str(run)}
        save_config(dataclasses.replace(model.config, **fields))
        return run

    return make


@pytest.fixture
def output(tmp_path):
    return tmp_path / "above" / "exports"


@pytest.fixture
def request_of(model, output):
    """Makes a request of A2B as a Keras file, into `output`."""

    def make(run=None, **fields) -> ExportOptions:
        fields = {"directions": ("A2B",), "formats": ("keras",), **fields}
        fields = {"output": str(output), "num_calibration_pictures": 2, **fields}
        return ExportOptions(str(run or model.config.run_dir), **fields)

    return make


@pytest.fixture
def tried(monkeypatch):
    """Every file passes; gives the (plan, references, folder) of each export."""
    calls = []

    def passing(plan, references, folder):
        calls.append((plan, references, folder))
        return passes(plan, references, folder)

    monkeypatch.setattr(verify, "verify", passing)
    return calls


@pytest.fixture
def light(tried, monkeypatch):
    """SavedModels are a file that names them, tried on one picture."""

    def write(model, options, version, folder):
        place = f"saved_model/{model.name}/{version}"
        (folder / place).mkdir(parents=True)
        (folder / place / "saved_model.pb").write_text(model.name)
        path = f"{place}:translate"
        return [{"path": path, "kind": "translate", "sizes": [model.size]}]

    monkeypatch.setitem(export.WRITERS, "savedmodel", write)
    monkeypatch.setattr(exportables, "NUM_TEST_PICTURES", 1)
    return tried


@pytest.fixture
def versions_of(output):
    def found(direction="A2B", name="shapes") -> list[str]:
        folder = output / "saved_model" / f"{name}_{direction}"
        return sorted(path.name for path in folder.glob("*"))

    return found


@pytest.fixture
def folder_run(run_of, tmp_path):
    """A run on a folder of three training pictures a domain."""
    for domain in "AB":
        write_pictures(tmp_path / "data" / f"train{domain}", 3)
    return run_of(dataset=str(tmp_path / "data"))
