import ast
import graphlib
import pathlib

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
    "commands": 6,
}


def imported_by(path: pathlib.Path) -> set[str]:
    """What a file imports, at any depth: modules, and names in them."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


# What each module imports, by its name in the package, such as `training.loop`.
IMPORTED = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): imported_by(path)
    for path in PACKAGE.rglob("*.py")
}
OURS = {
    module: {name.removeprefix("cyclegan_tf.") for name in names} & IMPORTED.keys()
    for module, names in IMPORTED.items()
    if "__" not in module
}


# What reads files of PyTorch knows none of our networks, and stands below them.
READS_FILES = {"pytorch.files", "pytorch.pickles"}


def wing(module: str) -> str:
    return "" if module in READS_FILES else module.rpartition(".")[0]


def test_imports_point_down_or_stay_in_the_wing():
    assert {wing(module) for module in OURS} == set(ORDER)
    wrong = [
        f"{module} imports {imported}"
        for module, names in OURS.items()
        for imported in names
        if wing(imported) != wing(module)
        and ORDER[wing(imported)] >= ORDER[wing(module)]
    ]
    assert wrong == []


def test_wings_have_no_circles():
    graphlib.TopologicalSorter(OURS).prepare()


def test_models_do_not_import_one_another():
    models = {module for module in OURS if wing(module) == "models"}
    assert models and not [m for m in models if OURS[m] & models]


def test_only_commands_read_flags_and_none_imports_scripts_or_tests():
    for module, names in IMPORTED.items():
        tops = {name.partition(".")[0] for name in names}
        forbidden = {"train", "export", "tests", "helpers", "pytest", "torch"}
        forbidden |= set() if module.startswith("commands.") else {"absl"}
        assert not tops & forbidden, module
