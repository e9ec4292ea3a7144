"""Fixtures that several tests of this wing share."""

import os
import shutil

import pytest
from helpers.saved_model_cases import GENERATORS, KINDS, MAX_PIXELS, Exported, made
from helpers.serving_cases import GRPC, MODEL, REAL, REST, Served
from helpers.serving_stand_in import ServingStandIn

from cyclegan_tf.exporting import saved_model
from cyclegan_tf.networks import generators


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


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    if REAL:
        addresses = {"grpc": os.environ.get(GRPC), "rest": os.environ.get(REST)}
        folder = os.environ.get("TF_SERVING_SAVED_MODEL")
        yield Served(addresses, os.environ["TF_SERVING_MODEL"], folder)
        return
    folder = tmp_path_factory.mktemp("models") / MODEL
    folder.mkdir()
    for version in ("9", "10"):
        generator = generators.resnet(num_filters=4, num_blocks=1)
        saved_model.write_saved_model(generator, 4, folder / version)
    with ServingStandIn({MODEL: folder}) as server:
        addresses = {"grpc": server.grpc_address, "rest": server.rest_url}
        yield Served(addresses, MODEL, folder / "10")


@pytest.fixture(params=["grpc", "rest"])
def protocol(request) -> str:
    return request.param
