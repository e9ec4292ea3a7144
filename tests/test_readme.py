import dataclasses
import pathlib
import re

from cyclegan_tf.config import TFDS_CONFIGS, Config
from cyclegan_tf.presets import PRESETS

ROOT = pathlib.Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_flag_stands_with_its_default():
    for field in dataclasses.fields(Config):
        default = f"`{str(field.default).lower()}`" if field.default != "" else ""
        assert f"| `--{field.name}` | {default} |" in README


def test_every_preset_and_data_set_is_named():
    for name in (*PRESETS, *TFDS_CONFIGS, "shapes"):
        assert f"`{name}`" in README


def test_links_and_pictures_of_the_repository_are_there():
    links = re.findall(r"\]\(([^)]+)\)", README)
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
    assert {"images", "load_generator", "translate"} <= set(namespace)
