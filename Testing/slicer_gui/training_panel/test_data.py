"""The data of a training: cases are checked, listed, left out and shown."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import qt
from training_parts import FakeLogic, FakeRun, checked, texts, type_in

from lckd.errors import InputError, LckdError
from lckd_training.config import TrainingConfig
from LCKDTrainingLib import LatestSegmentation, Widget
from LCKDTrainingLib.Parameters import TrainingParameters
from LCKDTrainingLib.Widget import TrainingWidget


def test_check_lists_the_cases_with_fault_and_remedy(
    widget: TrainingWidget, logic: FakeLogic, check: Callable[..., None], data: str
) -> None:
    ui = widget.ui
    assert ui.showCaseButton.toolTip == ui.useAllButton.toolTip == "Check the data first."
    ui.checkButton.click()
    assert (ui.checkButton.text, logic.last.asked) == ("Cancel", data)
    assert ui.trainButton.toolTip == "Wait for the end of the check, or cancel it."
    logic.last.tell("stage", stage="check")
    logic.last.tell("progress", fraction=0.5)
    assert ui.checkProgress.value == 500
    assert ui.checkStatus.text.startswith("Checking")
    some = ("flair", "t1c")
    cases = [checked("a", present=some), checked("b", label=False, present=some)]
    cases.append(checked("c", fault="It is cut short.", present=("t1c",)))
    logic.last.tell("result", checks=cases)
    logic.last.end(LckdError("CASES_UNUSABLE", "1 of 3 cases cannot be used.", "Do what is said."))
    assert texts(ui.dataTable) == [
        ["a", "FLAIR, T1c", "yes", "Ready"],
        ["b", "FLAIR, T1c", "no", "No label"],
        ["c", "T1c", "yes", "Fault: It is cut short."],
    ]
    words = "3 cases: 1 to learn from; 1 with a fault, never used; 1 without a label, not used."
    assert ui.dataMessageLabel.text == f"{words} {ui.trainButton.toolTip}"
    assert ui.trainButton.toolTip.startswith("Tick at least two cases with labels")
    ui.dataTable.selectRow(2)
    assert "c: c/t1c.nii.gz: It is cut short. Copy the image again." in ui.dataLabel.text
    assert "Missing: FLAIR, T1, T2." in ui.dataLabel.text
    assert "ET 1.2 mL, TC 2.5 mL, WT 10.0 mL" in ui.dataTable.item(0, 1).toolTip()
    assert set(widget.panel.dataCases) == {"a", "b", "c"}


def test_data_without_a_label_say_at_once_what_is_missing(widget: TrainingWidget, check: Callable[..., None]) -> None:
    check(checked("a", label=False), checked("b", label=False))
    words = widget.ui.dataMessageLabel.text
    assert words.startswith("2 cases: 0 to learn from; 2 without a label, not used. No case can be learned from:")
    assert words.endswith("as a file whose name ends in seg or, in a table, in the column label.")


def test_data_that_come_back_can_be_trained_with_again(
    make_widget: Callable[..., TrainingWidget],
    parameters: TrainingParameters,
    tmp_path: Path,
    wait_until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Widget, "LOOK_MILLISECONDS", 20)
    widget = make_widget()
    parameters.data, parameters.runFolder = str(tmp_path / "drive"), str(tmp_path / "run")
    widget.setParameters(parameters)
    assert not widget.ui.trainButton.enabled
    assert widget.ui.trainButton.toolTip == "The folder or table of the cases does not exist."
    (tmp_path / "drive").mkdir()
    wait_until(lambda: widget.ui.trainButton.enabled)


def test_a_case_is_left_out_by_its_box(widget: TrainingWidget, check: Callable[..., None], folder: Path) -> None:
    check(*map(checked, "abc"), checked("d", fault="It is empty."), checked("e", label=False))
    item = widget.ui.dataTable.item(0, 0)
    item.setCheckState(qt.Qt.Unchecked)
    assert list(widget.panel.parameters.excluded) == ["a"]
    assert "2 to learn from" in widget.ui.dataMessageLabel.text
    assert "1 left out by you" in widget.ui.dataMessageLabel.text
    for row in (3, 4):
        assert widget.ui.dataTable.item(row, 0).checkState() == qt.Qt.Unchecked
        assert not widget.ui.dataTable.item(row, 0).flags() & qt.Qt.ItemIsUserCheckable
    widget.ui.trainButton.click()
    # The faulty one is left out as well, or the trainer would refuse them all.
    order = widget.logic.orders[-1]
    assert TrainingConfig().overridden([f"exclude={order.settings['exclude']}"]).exclude == ("a", "d")
    widget.logic.current.becomes("interrupted")
    widget.ui.useAllButton.click()
    assert list(widget.panel.parameters.excluded) == []
    assert widget.ui.dataTable.item(0, 0).checkState() == qt.Qt.Checked


def test_cases_stay_as_they_are_while_the_training_goes_on(
    widget: TrainingWidget, check: Callable[..., None], run: FakeRun
) -> None:
    run.becomes("interrupted")
    check(*map(checked, "abc"))
    run.becomes("training")
    widget.ui.dataTable.item(0, 0).setCheckState(qt.Qt.Unchecked)
    assert widget.ui.dataTable.item(0, 0).checkState() == qt.Qt.Checked
    assert list(widget.panel.parameters.excluded) == []
    assert widget.ui.useAllButton.toolTip == "The training is going on. Pause it to change this."


def test_a_whole_data_set_is_listed_at_once(widget: TrainingWidget, check: Callable[..., None], folder: Path) -> None:
    names = [f"BraTS2021_{number:05}" for number in range(1251)]
    started = time.perf_counter()
    check(*map(checked, names))
    widget.ui.dataTable.item(7, 0).setCheckState(qt.Qt.Unchecked)
    # As it once was, it took a minute.
    assert time.perf_counter() - started < 10
    assert widget.ui.dataMessageLabel.text == "1251 cases: 1250 to learn from; 1 left out by you."


def test_names_of_cases_can_be_read_to_their_end(widget: TrainingWidget, check: Callable[..., None]) -> None:
    check(checked("BraTS-GLI-00005-000"), checked("BraTS-GLI-00005-001", fault="It is cut short, and more than that."))
    table = widget.ui.dataTable
    table.setFixedWidth(420)
    widget.show()
    qt.QCoreApplication.processEvents()
    assert table.columnWidth(0) >= table.sizeHintForColumn(0)


def test_without_labels_nothing_can_be_learned(
    widget: TrainingWidget, check: Callable[..., None], folder: Path
) -> None:
    check(checked("a", label=False), checked("b", label=False))
    for button in (widget.ui.trainButton, widget.ui.estimateButton):
        assert not button.enabled
        assert button.toolTip.startswith("No case can be learned from: each needs a label")
    check(checked("a"), checked("b", label=False))
    assert widget.ui.trainButton.toolTip.startswith("Tick at least two cases with labels")
    check(checked("a"), checked("b"))
    assert widget.ui.trainButton.enabled
    widget.ui.dataTable.item(1, 0).setCheckState(qt.Qt.Unchecked)
    assert widget.ui.trainButton.toolTip.startswith("Tick at least two cases with labels")


def test_what_was_found_is_forgotten_with_other_data(
    widget: TrainingWidget, check: Callable[..., None], tmp_path: Path
) -> None:
    check(checked("a"), checked("b"))
    widget.ui.dataEdit.currentPath = str(tmp_path)
    assert (widget.panel.dataCases, widget.ui.dataTable.rowCount, widget.ui.dataMessageLabel.text) == ({}, 0, "")


def test_a_check_can_be_cancelled_and_may_fail(
    widget: TrainingWidget, logic: FakeLogic, check: Callable[..., None]
) -> None:
    ui = widget.ui
    ui.checkButton.click()
    ui.checkButton.click()
    assert (ui.checkButton.text, ui.dataMessageLabel.text) == ("Check the data", "The check was cancelled.")
    check(error=InputError("NO_CASES", "There is no case in <x>.", "Choose another folder."))
    assert ui.dataMessageLabel.text == "<b>There is no case in &lt;x&gt;.</b> Choose another folder."
    type_in(ui.batchEdit, "4")
    assert "There is no case" in ui.dataMessageLabel.text, "a change elsewhere has taken the message away"
    widget.panel.parameters.data = ""
    assert ui.dataMessageLabel.text == "", "this was said of other data"


def test_folder_and_table_are_asked_for(widget: TrainingWidget, tmp_path: Path) -> None:
    ui, answers = widget.ui, widget.panel.dialogs.answers
    answers["folder"], answers["file"] = str(tmp_path), str(tmp_path / "cases.csv")
    ui.dataFolderButton.click()
    assert ui.dataEdit.currentPath == widget.panel.parameters.data == str(tmp_path)
    ui.dataTableButton.click()
    assert ui.dataEdit.currentPath == widget.panel.parameters.data == str(tmp_path / "cases.csv")
    answers["folder"] = ""
    ui.dataFolderButton.click()
    assert widget.panel.parameters.data == str(tmp_path / "cases.csv"), "a cancelled dialog changes nothing"


def test_a_case_is_shown_by_double_click_and_by_button(
    widget: TrainingWidget, check: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown_cases: list[str] = []

    def load(panel: Any, name: str) -> None:
        assert panel is widget.panel
        shown_cases.append(name)
        if name == "b":
            raise InputError("UNREADABLE", "t1c.nii.gz is damaged.", "Copy it again.")

    monkeypatch.setattr(LatestSegmentation, "loadCase", load)
    check(checked("a"), checked("b"), checked("c", fault="Two files are alike.", present=()))
    ui = widget.ui
    assert ui.showCaseButton.toolTip == "Choose a case in the table."
    ui.dataTable.selectRow(0)
    ui.dataTable.cellDoubleClicked.emit(0, 1)
    assert shown_cases == ["a"]
    ui.dataTable.selectRow(1)
    ui.showCaseButton.click()
    assert shown_cases == ["a", "b"]
    assert ui.dataMessageLabel.text == "<b>t1c.nii.gz is damaged.</b> Copy it again."
    ui.dataTable.selectRow(2)
    assert ui.showCaseButton.toolTip == "It is not known which files this case has."
