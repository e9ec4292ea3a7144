import dataclasses
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from cyclegan_tf import (
    export_records,
    export_request,
    pytorch_export,
    pytorch_import,
    tflite_models,
    translate,
)
from cyclegan_tf.config import TFDS_CONFIGS, Config
from cyclegan_tf.generators import resnet
from cyclegan_tf.presets import PRESETS

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_flag_stands_with_its_default():
    for field in dataclasses.fields(Config):
        default = f"`{str(field.default).lower()}`" if field.default != "" else ""
        assert f"| `--{field.name}` | {default} |" in README


@pytest.mark.parametrize(
    "module", [export_request, translate, pytorch_import, pytorch_export]
)
def test_every_flag_of_the_other_programs_stands_with_its_default(module):
    for name, (default, text) in module.FLAGS.items():
        shown = str(default).lower() if isinstance(default, bool) else default
        cell = f"`{shown}`" if shown != "" else ""
        assert f"| `--{name}` | {cell} | {text} |" in README


def test_every_module_is_named():
    for path in (ROOT / "cyclegan_tf").glob("[!_]*.py"):
        assert f"`{path.stem}`" in README, path.stem


def test_every_preset_and_data_set_is_named():
    for name in (*PRESETS, *TFDS_CONFIGS, "shapes"):
        assert f"`{name}`" in README


def test_links_and_pictures_of_the_repository_are_there():
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    links = re.findall(r"\]\(([^)]+)\)", text)
    local = [link for link in links if not link.startswith("https://")]
    assert local
    for link in local:
        assert (ROOT / link).is_file(), link


def test_python_example_runs_on_what_the_package_has():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    namespace = {}
    imports = [
        line for line in code.splitlines() if line.startswith(("from", "import"))
    ]
    exec("\n".join(imports), namespace)
    assert {"images", "load_network", "translate"} <= set(namespace)


# --- The examples for phones: their numbers, tried on a file of theirs


def phone_example(language: str) -> str:
    (code,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return code


def number(code: str, name: str) -> int:
    (found,) = re.findall(rf"\b{name} = (\d+)", code)
    return int(found)


@pytest.fixture(scope="module")
def recommended_file() -> bytes:
    side = Config().image_size
    small = resnet(num_filters=4, num_blocks=1)
    return tflite_models.convert(small, 4, "dynamic_int8", (side, side))


@pytest.mark.parametrize(
    "language, side, channels",
    [("kotlin", "SIDE", "CHANNELS"), ("swift", "side", "channels")],
)
def test_phone_example_fits_its_file(language, side, channels, recommended_file):
    code = phone_example(language)
    name = f"{export_records.model_name(Config().dataset)}_A2B_dynamic_int8"
    assert f'"{name}' in code
    sides, channels = number(code, side), number(code, channels)
    interpreter = tf.lite.Interpreter(model_content=recommended_file)
    for details in (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    ):
        assert list(details[0]["shape"]) == [1, sides, sides, channels]
        # The examples hand over and take the pixels themselves.
        assert details[0]["dtype"] == np.uint8
        assert details[0]["quantization"] == (0.0, 0)
