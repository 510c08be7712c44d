"""Who may import whom: Slicer starts fast, and the engine knows nothing of Slicer."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SLICER = {"slicer", "qt", "ctk", "vtk"}
#: Modules of the engine that Slicer's application may import at file scope: they need the standard library alone.
LIGHT = ("lckd.errors", "lckd.identify", "lckd.sequences", "lckd_training.watching.events")
LIBS = {"LCKDSegmentationLib", "LCKDTrainingLib"}
SLICER_FILES = sorted([*ROOT.glob("LCKD*/LCKD*.py"), *ROOT.glob("LCKD*/LCKD*Lib/**/*.py")])
ENGINE_FILES = sorted((ROOT / "LCKDSegmentation/lckd").rglob("*.py"))
TRAINER_FILES = sorted((ROOT / "LCKDTraining/lckd_training").rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(node: ast.AST) -> set[str]:
    """Top-level packages that one import statement names, but light modules of the engine; none if it is relative."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module and node.module not in LIGHT:
        return {node.module.split(".")[0]}
    return set()


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported: all but the bodies of functions, and what only types need."""
    for child in ast.iter_child_nodes(node):
        for_types = isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING"
        if not for_types and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from run_at_import(child)


def test_there_are_files_to_look_at() -> None:
    assert len(SLICER_FILES) >= 4
    assert ENGINE_FILES
    assert TRAINER_FILES


@pytest.mark.parametrize("path", SLICER_FILES, ids=name_of)
def test_slicer_files_import_nothing_heavy_at_file_scope(path: Path) -> None:
    found = set().union(*map(imported, run_at_import(ast.parse(path.read_bytes()))))
    assert found <= set(sys.stdlib_module_names) | SLICER | LIBS


def test_light_modules_of_the_engine_load_the_standard_library_alone(
    subprocess_environment: dict[str, str],
) -> None:
    code = f"import sys; before = set(sys.modules); import {', '.join(LIGHT)}; print(*(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=subprocess_environment, capture_output=True, text=True, check=True
    )
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert "lckd" in loaded
    assert loaded <= set(sys.stdlib_module_names) | {"lckd", "lckd_training"}


@pytest.mark.parametrize("path", ENGINE_FILES, ids=name_of)
def test_engine_knows_neither_slicer_nor_trainer(path: Path) -> None:
    found = set().union(*map(imported, ast.walk(ast.parse(path.read_bytes()))))
    forbidden = SLICER | LIBS | {"PySide6", "PyQt5", "PythonQt"}
    # The command line is the one door to both: it may load the trainer when that is asked for.
    if name_of(path).startswith("LCKDSegmentation/lckd/cli"):
        at_file_scope = set().union(*map(imported, run_at_import(ast.parse(path.read_bytes()))))
        assert "lckd_training" not in at_file_scope
    else:
        forbidden |= {"lckd_training"}
    assert not found & forbidden


@pytest.mark.parametrize("path", TRAINER_FILES, ids=name_of)
def test_trainer_does_not_know_slicer(path: Path) -> None:
    found = set().union(*map(imported, ast.walk(ast.parse(path.read_bytes()))))
    assert not found & (SLICER | LIBS)
