import ast
import graphlib
import pathlib

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "cyclegan_tf"

# Imports point to lower numbers, or stay in the folder; "" are the modules beside them.
ORDER = {
    "": 0,
    "core": 1,
    "data": 1,
    "evaluation": 2,
    "family.shared": 3,
    "family": 4,
    "training": 5,
    "pytorch": 6,
    "deploy": 6,
    "commands": 7,
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


# The readers of PyTorch's files know none of our networks, and stand below them.
READS_FILES = {"pytorch.files", "pytorch.pickles", "pytorch.other_programs"}


def folder(module: str) -> str:
    return "" if module in READS_FILES else module.rpartition(".")[0]


def test_imports_point_down_or_stay_in_the_folder():
    assert {folder(module) for module in OURS} == set(ORDER)
    wrong = [
        f"{module} imports {imported}"
        for module, names in OURS.items()
        for imported in names
        if folder(imported) != folder(module)
        and ORDER[folder(imported)] >= ORDER[folder(module)]
    ]
    assert wrong == []


def test_folders_have_no_circles():
    graphlib.TopologicalSorter(OURS).prepare()


def test_models_do_not_import_one_another():
    models = {module for module in OURS if folder(module) == "family"}
    assert models and not [m for m in models if OURS[m] & models]


def test_only_commands_read_flags_and_none_imports_scripts_or_tests():
    for module, names in IMPORTED.items():
        tops = {name.partition(".")[0] for name in names}
        forbidden = {"train", "export", "tests", "helpers", "pytest", "torch"}
        forbidden |= set() if module.startswith("commands.") else {"absl"}
        assert not tops & forbidden, module
