"""The tables of flags in the pages: `make docs` writes them anew from the code."""

import dataclasses
import pathlib
import re

from absl import flags

from cyclegan_tf.base_options import GROUPS
from cyclegan_tf.commands.program import define_flags, load_command
from cyclegan_tf.config import Config
from cyclegan_tf.family.shared.options import OPTIONS, FamilyOptions

ROOT = pathlib.Path(__file__).parents[2]
PLACE = re.compile(r"(<!-- flags: (\w+) -->\n).*?(<!-- end of flags -->)", re.DOTALL)


def pages() -> list[pathlib.Path]:
    """Every page of documentation."""
    folders = ROOT / "cyclegan_tf", ROOT / "tests"
    return [ROOT / "README.md", *(p for f in folders for p in sorted(f.rglob("*.md")))]


def table(command: str) -> str:
    """The flags of a command, or a model's own options, as Markdown.

    `common` are those of all models beside CycleGAN.
    """
    if command == "common":
        return _tables_of(FamilyOptions)
    if command in OPTIONS:
        return _tables_of(OPTIONS[command], without=FamilyOptions)
    if command != "train":
        return _table(f"`{command}`", _flags(command))
    return _tables_of(Config)


def _tables_of(kind: type, without: type | None = None) -> str:
    """A table of each group of the options of a model, or of `Config`."""
    common = dataclasses.fields(without) if without else ()
    left_out = {(field.name, field.default) for field in common}
    groups = {group: {} for group in GROUPS}
    for field in dataclasses.fields(kind):
        if (field.name, field.default) not in left_out:
            choices = ", ".join(f"`{c}`" for c in field.metadata["choices"])
            text = field.metadata["text"] + (f": {choices}" if choices else "")
            groups[field.metadata["group"]][field.name] = field.default, text
    return "\n".join(_table(group, rows) for group, rows in groups.items() if rows)


def _flags(command: str) -> dict[str, tuple]:
    values = flags.FlagValues()
    define_flags(load_command(command).flags, values)
    return {name: (values[name].default, values[name].help) for name in values}


def _table(title: str, rows: dict[str, tuple]) -> str:
    lines = [f"| {title} | default | |", "| --- | --- | --- |"]
    for name, (default, text) in rows.items():
        shown = str(default).lower() if isinstance(default, bool) else default
        cell = "" if shown in ("", None) else f"`{shown}`"
        lines.append(f"| `--{name}` | {cell} | {text} |")
    return "\n".join(lines) + "\n"


def renewed(text: str) -> str:
    """A page with its tables as they should be."""
    return PLACE.sub(lambda m: f"{m[1]}\n{table(m[2])}\n{m[3]}", text)


def commands_with_a_table() -> list[str]:
    """The commands and models whose flags stand in a page, once for each time."""
    return [m[2] for page in pages() for m in PLACE.finditer(page.read_text())]


if __name__ == "__main__":
    for page in pages():
        page.write_text(renewed(page.read_text()))
