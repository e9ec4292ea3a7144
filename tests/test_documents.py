"""The pages: tables, links, names, and the examples in them."""

import os
import pathlib
import re
import runpy
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from helpers import flag_tables
from helpers.flag_tables import ROOT
from PIL import Image

import cyclegan_tf as cg
from cyclegan_tf.commands import COMMANDS
from cyclegan_tf.config import DRAWN_DATASETS, TFDS_CONFIGS, Config
from cyclegan_tf.core.generators import resnet
from cyclegan_tf.deploy import conversion, model_card
from cyclegan_tf.family.shared.options import OPTIONS
from cyclegan_tf.training.presets import PRESETS

PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in flag_tables.pages()}
ALL = "\n".join(PAGES.values())


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found, seen = set(), Counter()
    for heading in re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE):
        kept = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found.add(f"{kept}-{seen[kept]}" if seen[kept] else kept)
        seen[kept] += 1
    return found


def test_tables_of_flags_stand_once_and_as_in_the_code():
    shown = flag_tables.commands_with_a_table()
    assert len(shown) == len({*shown})
    assert {"train", "export"} <= {*shown}
    assert {*shown} <= {*COMMANDS, *OPTIONS, "common"}
    for page, text in PAGES.items():
        assert flag_tables.renewed(text) == text, f"make docs renews those of {page}"
    rows = flag_tables.table("train").splitlines()
    assert "| `--generator` | `resnet` | kind of generator: `resnet`, `unet` |" in rows
    stale = "a\n<!-- flags: translate -->\n| old |\n<!-- end of flags -->\nb"
    assert "| old |" not in flag_tables.renewed(stale)


def test_links_and_anchors_lead_somewhere():
    for page, text in PAGES.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
            if link.startswith(("https://", "http://")):
                continue
            path, _, anchor = link.partition("#")
            target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
            assert target.exists() and target.is_relative_to(ROOT), (page, link)
            assert not anchor or anchor in anchors(target.read_text()), (page, link)


def test_anchors_are_made_as_github_makes_them():
    text = "# A `b`: c, d-e\n```\n# no\n```\n## Twice\n## Twice\n"
    assert anchors(text) == {"a-b-c-d-e", "twice", "twice-1"}


def test_first_page_is_short_and_links_to_all_others():
    assert len(PAGES["README.md"].splitlines()) <= 120
    for page in PAGES.keys() - {"README.md"}:
        assert f"]({page}" in PAGES["README.md"], page


def test_every_preset_data_set_and_command_is_named():
    for name in (*PRESETS, *TFDS_CONFIGS, *DRAWN_DATASETS, *COMMANDS):
        assert f"`{name}`" in ALL, name
    old_form = r"python -m cyclegan_tf\.\w+"
    assert not re.findall(old_form, ALL)


def test_files_that_the_pages_name_are_there():
    named = set(re.findall(r"(?<![\w/])(?:tests|cyclegan_tf)/[\w/]+\.\w+", ALL))
    assert named
    for name in named:
        assert (ROOT / name).is_file(), name


# --- The scripts that measure and draw


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Runs a script of tests/measuring in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(name: str, *arguments: str) -> None:
        path = ROOT / f"tests/measuring/{name}.py"
        monkeypatch.setattr(sys, "argv", [str(path), *arguments])
        runpy.run_path(str(path), run_name="__main__")

    return run


# A small case of each that takes long. A test of pix2pix runs show_pairs.py.
HERE = {
    "draw_letters": (["letters"], r"\d s, "),
    "show_runs": (["shown.png", f"ours={ROOT / 'tests/stored/current/sooner'}"], ""),
}
PROGRAMS = {
    "compare_step_speed": (["tiny", "1", "ours"], r"ours \d.* s"),
    "compare_tflite_speed": (["tiny"], r"int8 .*\d ms, "),
    "compare_workers": (["tiny", "1", "10", "workers"], r"workers: \d"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HERE)
def test_script_runs(script, name, tmp_path, capsys):
    arguments, told = HERE[name]
    script(name, *arguments)
    assert re.search(told, capsys.readouterr().out)
    assert (tmp_path / arguments[0]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_script_that_sets_threads_runs_as_a_program(name, tmp_path):
    arguments, told = PROGRAMS[name]
    done = subprocess.run(
        [sys.executable, ROOT / f"tests/measuring/{name}.py", *arguments],
        cwd=tmp_path,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(told, done.stdout)


def test_grids_of_runs_are_joined(script):
    for name, grey in (("a", 50), ("b", 200)):
        folder = pathlib.Path(name, "grids")
        folder.mkdir(parents=True)
        for epoch in range(11):
            grid = Image.new("RGB", (40, 20), (grey + epoch,) * 3)
            grid.save(folder / f"epoch_{epoch:04d}.png")
    script("join_grids", "joined.png", "a", "b")
    joined = np.asarray(Image.open("joined.png"))
    assert joined.shape == (190, 950, 3)
    assert [*joined[0, 50::190, 0]] == [50, 51, 52, 55, 60]
    assert [*joined[-1, 50::190, 0]] == [200, 201, 202, 205, 210]
    script("last_grids", "last.png", "One=a", "Lambda = 2=b")
    colours = {colour for _, colour in Image.open("last.png").getcolors(10**6)}
    assert {(60, 60, 60, 255), (210, 210, 210, 255)} < colours
    assert (50, 50, 50, 255) not in colours


# --- The examples in the pages


@pytest.mark.slow
@pytest.mark.stack
@pytest.mark.usefixtures("few_shapes", "tried")
def test_python_example_runs(tiny, tmp_path, monkeypatch):
    """Smaller: two steps of `tiny`, a Keras file of one direction."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGES["README.md"], re.DOTALL)
    assert set(re.findall(r"\bcg\.(\w+)", code)) <= {*cg.__all__}
    monkeypatch.chdir(tmp_path)
    export, asked = cg.export, []

    def preset(name, run_dir, **fields):
        return tiny(run_dir=run_dir, max_steps=2)

    def exported(run_dir, **options):
        asked.append(options)
        return export(run_dir, formats=("keras",), directions=("A2B",))

    monkeypatch.setattr(cg, "preset", preset)
    monkeypatch.setattr(cg, "export", exported)
    namespace = {"horse": np.full((33, 47, 3), 200, np.uint8)}
    exec(code, namespace)
    assert namespace["zebra"].shape == (33, 47, 3)
    assert namespace["zebra"].dtype == np.uint8
    assert asked == [{"formats": ("savedmodel", "tflite")}]


@pytest.mark.stack
def test_phone_examples_fit_their_file():
    side = Config().image_size
    small = resnet(num_filters=4, num_blocks=1)
    file = conversion.convert(small, 4, "dynamic_int8", (side, side))
    interpreter = tf.lite.Interpreter(model_content=file)
    name = f"{model_card.model_name(Config().dataset)}_A2B_dynamic_int8"
    for language, sides, channels in (
        ("kotlin", "SIDE", "CHANNELS"),
        ("swift", "side", "channels"),
    ):
        (code,) = re.findall(rf"```{language}\n(.*?)```", ALL, re.DOTALL)
        assert f'"{name}' in code
        numbers = dict(re.findall(r"\b(\w+) = (\d+)", code))
        shape = [1, *[int(numbers[sides])] * 2, int(numbers[channels])]
        for details in (
            *interpreter.get_input_details(),
            *interpreter.get_output_details(),
        ):
            assert list(details["shape"]) == shape, language
            # The examples hand over and take the pixels themselves.
            assert details["dtype"] == np.uint8
            assert details["quantization"] == (0.0, 0)
