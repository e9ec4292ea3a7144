"""Fixtures that several tests of this wing share."""

import shutil

import pytest
from helpers.saved_model_cases import GENERATORS, KINDS, MAX_PIXELS, Exported, made

from cyclegan_tf.exporting import formats, saved_model
from cyclegan_tf.training import checkpoints


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The generators by name, as SavedModels moved after they were written."""
    written, moved = (tmp_path_factory.mktemp(name) for name in ("written", "moved"))
    models = {}
    for name in GENERATORS:
        generator, multiple = made(name)
        folder = written / name / "1"
        saved_model.write_saved_model(generator, multiple, folder, MAX_PIXELS)
        saved_model.write_warmup(folder, name, KINDS["JPEG"])
        shutil.move(written / name, moved)
        models[name] = Exported(generator, multiple, moved / name / "1")
    shutil.rmtree(written)
    return models


@pytest.fixture
def lightest(light, model, monkeypatch):
    """Nothing is loaded, and Keras files are some weights; gives what `tried` gives."""

    def write(model, request, folder):
        place = f"keras/{model.name}.keras"
        (folder / "keras").mkdir(exist_ok=True)
        (folder / place).write_bytes(model.generator.get_weights()[0].tobytes())
        return [{"path": place, "kind": "keras", "sizes": [model.size]}]

    def load(run_dir, name, checkpoint):
        return model.networks[name]

    monkeypatch.setattr(checkpoints, "load_network", load)
    monkeypatch.setitem(formats.WRITERS, "keras", write)
    return light
