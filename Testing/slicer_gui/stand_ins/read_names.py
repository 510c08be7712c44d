"""Reads from the C++ headers of Slicer and CTK what their classes offer to Python, and writes ``names.json``.

    python Testing/slicer_gui/stand_ins/read_names.py SLICER_GIT_DIR CTK_GIT_DIR

PythonQt offers properties, public slots, signals, methods marked Q_INVOKABLE, enumerators, and what a class of
decorators adds; it does not offer other public methods.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

SLICER = "v5.12.3"
#: What SuperBuild/External_CTK.cmake of that tag names.
CTK = "5056664a20a3d0a393bb6d91f040525581e0dcdf"
#: Class: project, header, classes of Slicer and CTK it inherits.
CLASSES = {
    "ctkCollapsibleButton": ("CTK", "Libs/Widgets/ctkCollapsibleButton.h"),
    "ctkSliderWidget": ("CTK", "Libs/Widgets/ctkSliderWidget.h"),
    "ctkPathLineEdit": ("CTK", "Libs/Widgets/ctkPathLineEdit.h"),
    "qMRMLWidget": ("Slicer", "Libs/MRML/Widgets/qMRMLWidget.h"),
    "qMRMLNodeComboBox": ("Slicer", "Libs/MRML/Widgets/qMRMLNodeComboBox.h"),
    "qMRMLSegmentsTableView": (
        "Slicer",
        "Modules/Loadable/Segmentations/Widgets/qMRMLSegmentsTableView.h",
        "qMRMLWidget",
    ),
    "qSlicerExtensionsManagerModel": ("Slicer", "Base/QTCore/qSlicerExtensionsManagerModel.h"),
    "qSlicerModuleManager": ("Slicer", "Base/QTCore/qSlicerModuleManager.h"),
    "qMRMLPlotWidget": ("Slicer", "Libs/MRML/Widgets/qMRMLPlotWidget.h"),
    "ctkVTKChartView": ("CTK", "Libs/Visualization/VTK/Widgets/ctkVTKChartView.h"),
    "qMRMLPlotView": ("Slicer", "Libs/MRML/Widgets/qMRMLPlotView.h", "ctkVTKChartView"),
    "qMRMLLayoutManager": ("Slicer", "Libs/MRML/Widgets/qMRMLLayoutManager.h"),
    "qSlicerLayoutManager": ("Slicer", "Base/QTGUI/qSlicerLayoutManager.h", "qMRMLLayoutManager"),
    "qSlicerCoreApplication": ("Slicer", "Base/QTCore/qSlicerCoreApplication.h"),
    "qSlicerApplication": ("Slicer", "Base/QTGUI/qSlicerApplication.h", "qSlicerCoreApplication"),
}
DECORATORS = ("Base/QTCore/qSlicerBaseQTCorePythonQtDecorators.h",)
#: Where Slicer compares the class of a widget with classes that need no stand-in.
COMPARING = ("Base/Python/slicer/parameterNodeWrapper/guiConnectors.py",)
SECTION = re.compile(r"^(public|protected|private)?\s*(slots|signals|Q_SLOTS|Q_SIGNALS)?\s*:")
FUNCTION = re.compile(r"(\w+)\s*\(")


def main(slicer: str, ctk: str) -> None:
    """Write ``names.json`` beside this file."""
    folders = {"Slicer": (slicer, SLICER), "CTK": (ctk, CTK)}
    decorated = [line for path in DECORATORS for line in _text(*folders["Slicer"], path).splitlines()]
    classes = {}
    for name, (project, path, *bases) in CLASSES.items():
        names = names_of(name, _text(*folders[project], path)) | _decorations(name, decorated)
        for base in bases:
            names |= set(classes[base]["names"])
        source = {"project": project, "revision": folders[project][1], "file": path}
        classes[name] = {"source": source, "names": sorted(names)}
    compared = set()
    for path in COMPARING:
        compared |= set(re.findall(r"\b(?:ctk|slicer)\.((?:ctk|qMRML)\w+)", _text(*folders["Slicer"], path)))
    content = {"classes": classes, "compared": sorted(compared)}
    target = Path(__file__).with_name("names.json")
    target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def names_of(name: str, header: str) -> set[str]:
    """The names that the class offers, from the text of its header."""
    body = re.search(rf"^class [A-Z_0-9\s]*\b{name}\b[^;{{]*\{{(.*?)^\}};", header, re.MULTILINE | re.DOTALL)
    if body is None:
        raise SystemExit(f"{name} is not declared in its header")
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", body[1], flags=re.DOTALL)
    found = set(re.findall(r"Q_PROPERTY\s*\(\s*[\w:<>*, ]+?\s+(\w+)\s+READ", text))
    for enum in re.findall(r"enum\s+(?:class\s+)?\w*[^{};]*\{([^}]*)\}", text):
        found |= set(re.findall(r"(?:^|,)\s*([A-Za-z]\w*)", enum))
    section = ""
    for line in text.splitlines():
        heading = SECTION.match(line.strip())
        if heading:
            visible = heading[2] in ("signals", "Q_SIGNALS") or (heading[1] == "public" and heading[2])
            section = "offered" if visible else ""
        elif section == "offered" or "Q_INVOKABLE" in line:
            function = FUNCTION.search(line)
            if function:
                found.add(function[1])
    return found - {name, "Q_PROPERTY", "Q_UNUSED"}


def _decorations(name: str, lines: list[str]) -> set[str]:
    static = {match for line in lines for match in re.findall(rf"static_{name}_(\w+)\s*\(", line)}
    return static | {match for line in lines for match in re.findall(rf"(\w+)\({name}\*", line)}


def _text(git_dir: str, revision: str, path: str) -> str:
    command = ["git", "--git-dir", git_dir, "show", f"{revision}:{path}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
