"""The panel in a scroll area like Slicer's: all of its text is to be read, and tables show their rows."""

from collections.abc import Iterator
from typing import Any

import pytest
import qt
from panel_parts import FakeClient, FakeDialogs, FakeRequirements, small_volume

from LCKDSegmentationLib.Logic import SegmentationLogic
from LCKDSegmentationLib.Parameters import SegmentationParameters
from LCKDSegmentationLib.Widget import SegmentationWidget

WIDTH, NARROW = 420, 360
LONG_NAME = "Mustermann_" + "a_name_as_scanners_export_it_" * 5 + "flair"


class ModulePanel:
    """As Slicer's own (qSlicerModulePanel): a module is taken out of the layout, whose item is left behind."""

    def __init__(self, panel: SegmentationWidget) -> None:
        self.panel = panel
        self.module = qt.QWidget()
        inner = qt.QVBoxLayout(self.module)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.addWidget(panel)
        inner.addStretch(1)
        self.area = qt.QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setWidget(qt.QWidget())
        self.layout = qt.QVBoxLayout(self.area.widget())
        self.area.resize(WIDTH, 500)
        self.area.show()
        self.leftBehind: list[Any] = []

    def enter(self) -> None:
        self.layout.insertWidget(0, self.module, 1)
        self.module.setVisible(True)
        settle()

    def leave(self) -> None:
        self.leftBehind.append(self.layout.takeAt(0))
        self.module.setVisible(False)
        self.module.setParent(None)
        settle()


def settle() -> None:
    for _round in range(5):
        qt.QCoreApplication.processEvents()


def cut(widget: SegmentationWidget) -> list[str]:
    """Labels of which not all lines are to be seen."""
    labels = [label for label in widget.root.findChildren(qt.QLabel) if label.wordWrap and label.visible]
    return [label.objectName for label in labels if label.height < label.heightForWidth(label.width)]


@pytest.fixture
def module_panel(scene: Any) -> Iterator[ModulePanel]:
    made = SegmentationWidget(SegmentationLogic(FakeClient()), FakeDialogs(), FakeRequirements())
    made.setScene(scene)
    made.setParameters(SegmentationParameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "LCKD")))
    panel = ModulePanel(made)
    yield panel
    made.cleanUp()
    panel.area.deleteLater()
    panel.module.deleteLater()


def test_all_text_is_to_be_read_also_after_another_module(module_panel: ModulePanel) -> None:
    widget = module_panel.panel
    module_panel.enter()
    module_panel.leave()
    module_panel.enter()
    assert cut(widget) == []
    for count in (40, 5, 400, 120):
        widget.panel.say("What one should know. " * count)
        widget.ui.volumesTable.setVisible(count > 5)
        settle()
        assert cut(widget) == []
        assert widget.ui.disclaimerLabel.mapTo(widget, qt.QPoint(0, 0)).y() < widget.height
    module_panel.area.resize(NARROW, 500)
    settle()
    assert cut(widget) == []


def test_tables_show_rows(module_panel: ModulePanel) -> None:
    ui = module_panel.panel.ui
    for section in (ui.compareSection, ui.batchSection):
        section.collapsed = False
    module_panel.enter()
    ui.volumesTable.setVisible(True)
    settle()
    for table, rows in ((ui.volumesTable, 5), (ui.compareTable, 9), (ui.batchTable, 5)):
        table.setRowCount(rows)
        assert table.viewport().height >= sum(table.rowHeight(row) for row in range(rows)), table.objectName
    assert ui.subsetList.viewport().height >= 6 * ui.subsetList.fontMetrics().height()


def test_long_names_do_not_make_the_panel_wide(module_panel: ModulePanel, scene: Any) -> None:
    widget = module_panel.panel
    module_panel.enter()
    small_volume(scene, LONG_NAME)
    widget.ui.detectButton.click()
    assert widget.panel.parameters.flair is not None
    widget.panel.say(f"{LONG_NAME} is told of.")
    widget.ui.modelSelector.addItem(LONG_NAME)
    settle()
    assert widget.root.minimumSizeHint.width() < WIDTH
    assert cut(widget) == []
    for label in (widget.ui.detectionLabel, widget.ui.messageLabel):
        longest = max(
            label.fontMetrics().horizontalAdvance(part) for part in label.text.replace(" ", "\u200b").split("\u200b")
        )
        assert longest < NARROW - 40, "no part is cut at the side"
        assert label.text.replace("\u200b", "").count(LONG_NAME) == 1


def test_a_path_can_be_copied_from_a_message(module_panel: ModulePanel) -> None:
    module_panel.panel.panel.say("Written: /data/a_case/a_table.csv")
    assert module_panel.panel.ui.messageLabel.text == "Written: /data/a_case/a_table.csv"


def test_the_tab_key_stops_at_every_choice_of_a_volume(module_panel: ModulePanel) -> None:
    ui = module_panel.panel.ui
    module_panel.enter()
    ui.useFlair.setFocus()
    stops = []
    for _press in range(8):
        widget = qt.QApplication.focusWidget()
        stops.append(widget.objectName or widget.parentWidget().objectName)
        widget.window().focusNextChild()
    assert stops == [
        name
        for sequence in ("flair", "t1", "t1c", "t2")
        for name in (f"use{sequence[0].upper()}{sequence[1:]}", f"{sequence}Selector")
    ]
