"""Fixtures that several tests of this wing share."""

import os

import pytest
from helpers.serving_cases import GRPC, MODEL, REAL, REST, Served
from helpers.serving_stand_in import ServingStandIn

from cyclegan_tf.exporting import saved_model
from cyclegan_tf.networks import generators


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
