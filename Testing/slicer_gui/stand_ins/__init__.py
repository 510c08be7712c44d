"""Slicer's Python world without Slicer: real Qt (PySide6), real MRML (slicer-core), and the few classes in between.

``install()`` makes ``qt``, ``ctk`` and ``slicer`` importable as in Slicer. What is real: all of Qt, the scene, the
nodes and the logics, ``slicer.util`` (slicer-core), ``slicer.i18n``, ``slicer.parameterNodeWrapper``,
``slicer.ScriptedLoadableModule`` and ``slicer.packaging`` (Slicer's own files, in ``third_party/slicer``). What is a
stand-in: the classes of ``ctk_widgets``, ``mrml_widgets`` and ``application``. They offer only names that Slicer's
classes have, which ``names.json`` lists and a test holds against them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

NAMES_FILE = Path(__file__).with_name("names.json")
THIRD_PARTY = Path(__file__).parents[1] / "third_party" / "slicer"


def install() -> Any:
    """Put ``qt``, ``ctk`` and the rest of ``slicer`` in place, once in a process; return ``slicer.app``."""
    import slicer

    if hasattr(slicer, "app"):
        return slicer.app
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from . import pythonqt, ui_loader

    sys.modules["qt"] = pythonqt.makeQtModule(ui_loader.QUiLoader)
    from . import ctk_widgets, mrml_widgets
    from .application import qSlicerApplication

    ui_loader.QUiLoader.standIns |= ctk_widgets.WIDGETS | mrml_widgets.WIDGETS
    sys.modules["ctk"] = _ctkModule(ctk_widgets.WIDGETS)
    for name, cls in (classesWithoutStandIn("qMRML") | mrml_widgets.WIDGETS).items():
        setattr(slicer, name, cls)
    slicer.__path__.append(str(THIRD_PARTY))
    slicer.app = qSlicerApplication()
    slicer.mrmlScene = slicer.app.mrmlScene()
    slicer.modules = SimpleNamespace()
    for name in ("Volumes", "Segmentations", "Terminologies", "SubjectHierarchy", "Plots"):
        registerModule(name, "")
    return slicer.app


def registerModule(name: str, path: str) -> None:
    """Make a module known as ``slicer.modules.<name>``, with its file and, for core modules, its logic."""
    import slicer

    module = SimpleNamespace(name=name, path=path, logic=lambda: slicer.app.moduleLogic(name))
    setattr(slicer.modules, name.lower(), module)


def recordedNames() -> dict[str, dict[str, Any]]:
    """What Slicer's classes offer to Python, by class: ``source`` (project, revision, file) and ``names``."""
    return json.loads(NAMES_FILE.read_text(encoding="utf-8"))["classes"]


def classesWithoutStandIn(prefix: str) -> dict[str, type]:
    """Classes that Slicer's own code compares with, as ``type(widget) == ctk.ctkCheckBox``; none can be made."""
    names = json.loads(NAMES_FILE.read_text(encoding="utf-8"))["compared"]
    return {name: type(name, (), {"__init__": _refuse}) for name in names if name.startswith(prefix)}


def _refuse(instance: object, *_arguments: object) -> None:
    raise NotImplementedError(f"There is no stand-in for {type(instance).__name__}")


def _ctkModule(widgets: dict[str, type]) -> ModuleType:
    ctk = ModuleType("ctk", "Stand-in for Slicer's module ctk")
    vars(ctk).update(classesWithoutStandIn("ctk") | widgets)
    return ctk
