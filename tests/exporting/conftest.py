"""Fixtures that several tests of this wing share."""

import shutil

import pytest
from helpers.saved_model_cases import GENERATORS, KINDS, MAX_PIXELS, Exported, made

from cyclegan_tf.exporting import saved_model


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
