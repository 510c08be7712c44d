"""What the tests of both module files share: the application's world around a module, and the module's own widget."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import slicer
import stand_ins
from panel_parts import make_python_slicer

ROOT = Path(__file__).parents[2]


def module_file(name: str) -> Path:
    """Where the application finds the module of a name."""
    return ROOT / name / f"{name}.py"


@contextmanager
def known_module(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The module is known to the application, and PythonSlicer is on the PATH."""
    from LCKDSegmentationLib.WorkerClient import shutdownSharedWorkerClient

    stand_ins.registerModule(name, str(module_file(name)))
    make_python_slicer(folder)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LCKD_MODELS", str(folder / "models"))
    yield
    shutdownSharedWorkerClient()


class ModuleParent(slicer.qMRMLWidget):
    """The widget of a module in Slicer (``qSlicerScriptedLoadableModuleWidget``)."""

    def __init__(self) -> None:
        import qt

        super().__init__()
        self.setLayout(qt.QVBoxLayout())
        self.setMRMLScene(slicer.mrmlScene)
        self.isEntered = True
        self.reloads = 0

    def reload(self) -> None:
        self.reloads += 1
