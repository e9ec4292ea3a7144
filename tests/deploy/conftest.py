"""A fixture that several tests of this folder share."""

import pytest

from cyclegan_tf.deploy import export
from cyclegan_tf.training import checkpoints


@pytest.fixture
def lightest(light, model, monkeypatch):
    """Nothing is loaded, and Keras files are some weights; gives what `tried` gives."""

    def write(model, options, version, folder):
        place = f"keras/{model.name}.keras"
        (folder / "keras").mkdir(exist_ok=True)
        (folder / place).write_bytes(model.generator.get_weights()[0].tobytes())
        return [{"path": place, "kind": "keras", "sizes": [model.size]}]

    def load(run_dir, name, checkpoint):
        return model.networks[name]

    monkeypatch.setattr(checkpoints, "load_network", load)
    monkeypatch.setitem(export.WRITERS, "keras", write)
    return light
