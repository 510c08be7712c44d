"""The training module as Slicer uses it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import qt
import slicer
import stand_ins

MODULE = Path(__file__).parents[2] / "LCKDTraining" / "LCKDTraining.py"


@pytest.fixture(autouse=True)
def module(scene: Any) -> None:
    stand_ins.registerModule("LCKDTraining", str(MODULE))


def test_module_tells_what_it_is() -> None:
    from LCKDTraining import LCKDTraining

    made = LCKDTraining(SimpleNamespace(path=str(MODULE)))
    assert made.parent.title == "Brain Tumor Training (LCKD)"
    assert not made.parent.icon.isNull()


def test_what_slicer_tests_in_itself() -> None:
    from LCKDTraining import LCKDTrainingTest

    case = LCKDTrainingTest("test_panelShowsARun")
    case.setUp()
    case.test_panelShowsARun()


def test_the_panel_is_built_and_says_what_cannot_be_read(tmp_path: Path) -> None:
    from LCKDTraining import LCKDTrainingWidget

    parent = slicer.qMRMLWidget()
    qt.QVBoxLayout(parent)
    widget = LCKDTrainingWidget(parent)
    widget.setup()
    assert widget.panel.stateLabel.text == "Choose the folder of a training run."
    widget.panel.runFolder.currentPath = str(tmp_path)
    assert "no readable training run" in widget.panel.stateLabel.text
    assert widget.panel.stepTable.rowCount == 0
