"""The wheel, installed where nothing else is."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cyclegan_tf
from cyclegan_tf import compat

ROOT = pathlib.Path(__file__).parents[1]


def run(*command, cwd: pathlib.Path) -> str:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def by_name(lines: list[str]) -> dict[str, Requirement]:
    found = [Requirement(line.partition("#")[0]) for line in lines if line[0] != "#"]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def of_package() -> dict[str, Requirement]:
    """The requirements that pyproject.toml names itself."""
    text = (ROOT / "pyproject.toml").read_text()
    (block,) = re.findall(r"^dependencies = \[\n(.*?)^\]", text, re.M | re.S)
    return by_name(re.findall('"(.*)"', block))


@pytest.mark.parametrize(
    ("file", "more"),
    [
        ("requirements.txt", set()),
        ("requirements-tfa.txt", {"tensorflow-addons", "tensorflow-metadata"}),
    ],
)
def test_package_admits_the_versions_of_a_stack(file, more):
    package, stack = of_package(), by_name((ROOT / file).read_text().splitlines())
    assert stack.keys() - package.keys() == more
    assert package.keys() <= stack.keys()
    for name, ours in package.items():
        (lowest,) = (x.version for x in stack[name].specifier if x.operator in "==>=")
        assert lowest in ours.specifier, name
    for excluded in ("2.16.1", "2.18.0", "2.20.0", "2.22.0"):
        assert excluded not in package["tensorflow"].specifier


@pytest.mark.slow
def test_wheel_trains_in_an_empty_environment(tmp_path):
    wheels, source = tmp_path / "wheels", tmp_path / "source"
    # A copy, since a build leaves folders behind.
    names = "README.md", "LICENSE", "pyproject.toml", "requirements-tfa.txt"
    shutil.copytree(ROOT / "cyclegan_tf", source / "cyclegan_tf")
    for name in names:
        shutil.copy(ROOT / name, source)
    pip = sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"
    run(*pip, "--wheel-dir", wheels, source, cwd=tmp_path)
    shutil.rmtree(source)
    (wheel,) = wheels.iterdir()
    assert wheel.name.startswith(f"cyclegan_tf-{cyclegan_tf.__version__}-")
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python, script = (tmp_path / "venv/bin" / n for n in ("python", "cyclegan_tf"))
    run(python, "-m", "pip", "install", "--quiet", "--upgrade", "pip", cwd=tmp_path)
    stack = "[tfa]" if compat.addons() else ""
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}{stack}", cwd=tmp_path)
    assert run(script, "--version", cwd=tmp_path) == f"{cyclegan_tf.__version__}\n"
    run(script, "train", "--preset=tiny", "--max_steps=2", cwd=tmp_path)
    assert (tmp_path / "runs/tiny/checkpoints/step-2.index").exists()
    # As users of the package do, with files that a fresh process verifies.
    code = "import cyclegan_tf as cg; cg.export('runs/tiny', formats=('keras',))"
    run(python, "-c", code, cwd=tmp_path)
    assert (tmp_path / "runs/tiny/export/keras/shapes_B2A.keras").exists()
    told = run(python, "-m", "pip", "show", "cyclegan_tf", cwd=tmp_path)
    required = re.search("^Requires: (.*)$", told, re.MULTILINE)[1].split(", ")
    assert {canonicalize_name(name) for name in required} == of_package().keys()
