"""A checkpoint that a training deletes while it is read: the next one is read."""

import functools
import json
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf.core.cyclegan import NETWORKS, CycleGAN
from cyclegan_tf.deploy.export import export_run
from cyclegan_tf.deploy.load import load, of_run
from cyclegan_tf.messages import UserError
from cyclegan_tf.pytorch.weights import export_networks, import_networks
from cyclegan_tf.training.checkpoints import (
    Checkpoints,
    initialize,
    load_network,
    restore_networks,
)
from cyclegan_tf.training.presets import preset
from cyclegan_tf.training.run_directory import (
    check_run,
    newest_checkpoint,
    read_checkpoint,
    read_newest,
    save_config,
)

pytestmark = pytest.mark.usefixtures("few_shapes")


class Training:
    """Saves checkpoints whose weights their step tells."""

    def __init__(self, model, config):
        save_config(config)
        self.run_dir = config.run_dir
        self._model = model
        self._checkpoints = Checkpoints(model.trainer.state(), config.run_dir)
        self.step = 0

    def save(self, number=1):
        for _ in range(number):
            self.step += 1
            for generator in (self._model.generator_g, self._model.generator_f):
                generator.set_weights(weights_of(generator, self.step))
            self._checkpoints.save(self.step)


def weights_of(network, step):
    random = np.random.default_rng(step)
    return [random.normal(0, 0.1, w.shape).astype(np.float32) for w in network.weights]


def assert_of_step(network, step):
    for ours, theirs in zip(
        network.get_weights(), weights_of(network, step), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture(scope="module")
def networks():
    """Two CycleGANs: one that is trained, one that takes over networks."""
    return [CycleGAN(preset("tiny"), 10) for _ in range(2)]


@pytest.fixture
def training(networks, tiny, tmp_path):
    (tmp_path / "run").mkdir()
    training = Training(networks[0], tiny(run_dir=str(tmp_path / "run")))
    training.save()
    return training


@pytest.fixture
def deletes(training, monkeypatch):
    """Has the first checkpoint that is read deleted by three that are saved."""
    list_variables = tf.train.list_variables

    def when(moment):
        times = iter([3])

        def meanwhile(path):
            if moment == "before it is listed":
                training.save(next(times, 0))
            listed = list_variables(path)
            training.save(next(times, 0))
            return listed

        monkeypatch.setattr(tf.train, "list_variables", meanwhile)

    return when


@pytest.fixture
def deleted(deletes):
    deletes("before it is restored")


@pytest.mark.parametrize("moment", ["before it is listed", "before it is restored"])
def test_network_is_read_of_the_next_checkpoint(training, deletes, moment):
    read = functools.partial(load_network, training.run_dir, "generator_g")
    deletes(moment)
    assert_of_step(read(), 4)
    deletes(moment)
    assert_of_step(read_checkpoint(training.run_dir, read), 7)


def test_networks_are_taken_over_from_the_next_checkpoint(training, deletes, networks):
    model = networks[1]
    deletes("before it is restored")

    def read(path):
        restore_networks(path, {"generator_f": model.generator_f})
        return path

    assert read_newest(training.run_dir, read, "run_dir").endswith("step-4")
    assert_of_step(model.generator_f, 4)
    deletes("before it is listed")
    assert initialize(model.networks, training.run_dir) == NETWORKS
    assert_of_step(model.generator_g, 7)


def test_both_generators_are_exported_of_one_checkpoint(
    training, deleted, tried, request_of, output
):
    export_run(request_of(training.run_dir, directions=("A2B", "B2A")))
    for direction in ("A2B", "B2A"):
        path = output / f"keras/shapes_{direction}.keras"
        assert_of_step(keras.models.load_model(path, compile=False), 4)
    assert json.loads((output / "export.json").read_text())["step"] == 4


def test_loaded_run_translates_with_the_next_checkpoint(training, deleted):
    loaded = load(training.run_dir)
    picture = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    made = loaded.translate(picture)
    path = newest_checkpoint(training.run_dir)
    assert path.endswith("step-4")
    expected = of_run(training.run_dir, "generator_g", path)(picture)
    np.testing.assert_array_equal(made, expected)


def test_networks_for_pytorch_are_of_one_checkpoint(training, deleted, tmp_path):
    export_networks(training.run_dir, str(tmp_path / "theirs"), ("safetensors",))
    for theirs, ours in (("G_A", "generator_g"), ("G_B", "generator_f")):
        file = str(tmp_path / f"theirs/latest_net_{theirs}.safetensors")
        import_networks({ours: file}, str(tmp_path / ours))
        assert_of_step(load_network(tmp_path / ours, ours), 4)


def test_checkpoint_that_is_asked_for_is_not_replaced(training, deleted):
    read = functools.partial(load_network, training.run_dir, "generator_g")
    told = "`checkpoint` .*: 2, 3, 4, latest. Received: '1'."
    with pytest.raises(UserError, match=told):
        read_checkpoint(training.run_dir, read, "1")


def test_error_of_a_checkpoint_that_stays_is_told_once(training):
    read = []

    def refuse(path):
        read.append(path)
        raise UserError("does not match")

    with pytest.raises(UserError, match="^does not match$"):
        read_checkpoint(training.run_dir, refuse)
    assert read == [check_run(training.run_dir)]


@pytest.mark.slow
def test_network_is_right_whatever_is_saved_and_deleted_meanwhile(training):
    ended = threading.Event()

    def train():
        while not ended.is_set():
            training.save()

    def read(path):
        return path, load_network(training.run_dir, "generator_g", path)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        steps = []
        while len(steps) < 10 or steps[-1] <= 10:
            path, network = read_checkpoint(training.run_dir, read)
            steps.append(int(path.rpartition("-")[2]))
            assert_of_step(network, steps[-1])
    finally:
        ended.set()
        thread.join()
    assert steps == sorted(steps)
