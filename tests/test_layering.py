import ast
import graphlib
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "cyclegan_tf"

# Imports point to lower numbers, or stay in the wing; "" are the modules beside them.
ORDER = {
    "": 0,
    "networks": 1,
    "learning": 1,
    "data": 1,
    "models": 2,
    "quality": 3,
    "training": 4,
    "pytorch": 5,
    "exporting": 5,
    "speed": 6,
    "commands": 7,
}


def modules() -> dict[str, pathlib.Path]:
    """Modules by dotted name in the package: `training.loop`, `config`."""
    paths = [p for p in PACKAGE.rglob("*.py") if not p.stem.startswith("__")]
    return {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in paths}


MODULES = modules()


def wing(module: str) -> str:
    return module.rpartition(".")[0]


def our_imports(path: pathlib.Path) -> set[str]:
    """Modules of the package that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names.append(node.module)
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.removeprefix("cyclegan_tf.") for name in names}
    return found & MODULES.keys()


def imports_somebody(path: pathlib.Path, names: set[str]) -> set[str]:
    """Of some top-level names, those that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
    return found & names


def test_every_wing_has_an_order_and_says_what_it_is():
    assert {wing(module) for module in MODULES} == set(ORDER)
    for name in ORDER.keys() - {""}:
        tree = ast.parse((PACKAGE / name / "__init__.py").read_text())
        told = ast.get_docstring(tree)
        assert "Begin with" in told and "Uses " in told, name


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down_or_stay_in_the_wing(module):
    for imported in our_imports(MODULES[module]):
        if wing(imported) != wing(module):
            lower = ORDER[wing(imported)] < ORDER[wing(module)]
            assert lower, f"{module} imports {imported}"


def test_wings_have_no_circles():
    graph = {name: our_imports(path) for name, path in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()


def test_models_do_not_import_one_another():
    for module, path in MODULES.items():
        if wing(module) == "models":
            assert not {m for m in our_imports(path) if wing(m) == "models"}


def test_only_commands_read_flags():
    for module, path in MODULES.items():
        if wing(module) != "commands":
            assert not imports_somebody(path, {"absl"}), module


def test_no_module_imports_the_entry_scripts_or_tests():
    for path in PACKAGE.rglob("*.py"):
        names = {"train", "export", "tests", "helpers", "pytest", "torch"}
        assert not imports_somebody(path, names), path


def test_lengths_are_kept():
    for name in ("train.py", "export.py"):
        assert len((ROOT / name).read_text().splitlines()) < 80
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 300, path
    for path in (ROOT / "tests").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path
