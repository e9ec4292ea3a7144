import ast
import pathlib

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "cyclegan_tf"

# Imports point down this table only.
LEVELS = {
    "config": 0,
    "adam": 0,
    "layers": 0,
    "losses": 0,
    "schedules": 0,
    "image_pool": 0,
    "augmentation": 0,
    "images": 0,
    "picture_bytes": 0,
    "shapes": 0,
    "presets": 1,
    "program": 1,
    "strategies": 1,
    "tflite_interpreter": 1,
    "tflite_files": 0,
    "verification": 1,
    "export_records": 1,
    "export_request": 2,
    "run_exported": 2,
    "tfds_pictures": 1,
    "generators": 1,
    "discriminators": 1,
    "datasets": 2,
    "reporting": 1,
    "command_line": 2,
    "cyclegan": 2,
    "input_pipeline": 3,
    "checkpoints": 3,
    "evaluation": 3,
    "saved_models": 3,
    "samples": 3,
    "keras_models": 1,
    "picture_files": 3,
    "tflite_models": 3,
    "training": 4,
    "translators": 4,
    "export_formats": 4,
    "exporting": 5,
    "serving_client": 5,
    "translate": 5,
    "mismatches": 0,
    "staging": 1,
    "pytorch_pickles": 0,
    "pytorch_containers": 2,
    "pytorch_files": 3,
    "pytorch_networks": 1,
    "pytorch_finder": 2,
    "pytorch_weights": 4,
    "pytorch_import": 5,
    "pytorch_export": 5,
}


def our_imports(path: pathlib.Path) -> set[str]:
    """Modules of the package that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, _, module = node.module.partition(".")
            if package == "cyclegan_tf":
                found |= {module} if module else {a.name for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {
                a.name.partition(".")[2]
                for a in node.names
                if a.name.startswith("cyclegan_tf.")
            }
    return found


def test_every_module_has_a_level():
    modules = {p.stem for p in PACKAGE.glob("*.py")} - {"__init__"}
    assert modules == set(LEVELS)


def test_imports_point_down():
    for module, level in LEVELS.items():
        for imported in our_imports(PACKAGE / f"{module}.py"):
            assert LEVELS[imported] < level, f"{module} imports {imported}"


def test_no_module_imports_the_entry_scripts_or_tests():
    for path in PACKAGE.glob("*.py"):
        imported = {
            name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for name in (a.name for a in node.names)
        }
        assert not imported & {"train", "export", "tests", "pytest"}


def test_entry_scripts_are_short():
    for name in ("train.py", "export.py"):
        assert len((ROOT / name).read_text().splitlines()) < 80
