"""What the newest checkpoint of a run makes of a case: which case, when, and what remains where it fails."""

from collections.abc import Callable

import pytest
import qt
from training_parts import FakeLogic, FakeRun, checked, choose, entries, step, temporary_models

from lckd.errors import InputError
from LCKDTrainingLib.TrainingPanel import TrainingPanel
from LCKDTrainingLib.WatchSection import WatchSection

DAMAGED = InputError("CHECKPOINT_DAMAGED", "The checkpoint cannot be read.", "Delete it.")


@pytest.fixture
def saved(watch: WatchSection, panel: TrainingPanel, watched: FakeRun) -> FakeRun:
    """The run that is shown has saved a checkpoint, and there is a case to segment."""
    watched.save(2)
    panel.dataCases["b"] = checked("b")
    watch.update()
    return watched


def test_cases_with_a_label_are_offered_those_not_learned_from_first(
    watch: WatchSection, panel: TrainingPanel, watched: FakeRun
) -> None:
    watch.update()
    assert not panel.ui.latestCaseSelector.enabled
    panel.dataCases = {name: checked(name) for name in "abd"}
    panel.dataCases["c"] = checked("c", present=("flair", "t1c"))
    panel.dataCases["e"] = checked("e", label=False)
    panel.dataCases["f"] = checked("f", fault="It is cut short.")
    panel.parameters.watchedCase = "c"
    watch.update()
    selector = panel.ui.latestCaseSelector
    assert entries(selector) == ["b (elects teachers)", "c (test)", "d", "a (learned from)"]
    assert selector.currentText == "c (test)"
    subsets = panel.ui.latestSubsetSelector
    assert [subsets.itemData(index) for index in range(subsets.count)] == ["flair", "t1c", "flair+t1c"]
    assert subsets.currentText == "FLAIR, T1c"
    choose(selector, 0)
    assert panel.parameters.watchedCase == "b"
    assert subsets.count == 15


def test_newest_segmentation_says_what_it_waits_for(
    watch: WatchSection, panel: TrainingPanel, watched: FakeRun
) -> None:
    watch.update()
    assert panel.ui.latestButton.toolTip == "The run has saved no checkpoint yet."
    watched.save(2)
    watch.update()
    assert panel.ui.latestButton.toolTip == "Check the data first, so that its cases are known."
    panel.dataCases["b"] = checked("b")
    watch.update()
    assert panel.ui.latestButton.enabled


def test_a_refused_or_cancelled_model_leaves_nothing(panel: TrainingPanel, saved: FakeRun, logic: FakeLogic) -> None:
    before = temporary_models()
    panel.ui.latestButton.click()
    assert (logic.last.what, logic.last.asked.run, logic.last.asked.overwrite) == ("export", str(saved.folder), True)
    assert panel.ui.latestButton.text == "Cancel"
    assert len(temporary_models()) == len(before) + 1
    logic.last.end(DAMAGED)
    assert "The checkpoint cannot be read." in panel.ui.watchMessageLabel.text
    assert temporary_models() == before
    panel.ui.latestButton.click()
    panel.ui.latestButton.click()
    assert panel.ui.watchMessageLabel.text == "The segmentation was cancelled."
    assert temporary_models() == before
    panel.ui.latestButton.click()
    logic.last.end()
    assert "cannot be shown: it is missing or damaged" in panel.ui.watchMessageLabel.text
    assert temporary_models() == before


def test_each_checkpoint_is_segmented_with_once_where_that_is_wanted(
    watch: WatchSection, panel: TrainingPanel, saved: FakeRun, logic: FakeLogic, wait_until: Callable[..., None]
) -> None:
    panel.ui.latestAutoBox.checked = True
    assert len(logic.commands) == 1
    logic.last.end(DAMAGED)
    saved.add(step(3))
    wait_until(lambda: not watch._isStale)
    assert len(logic.commands) == 1, "the same checkpoint again"
    saved.save(4)
    saved.add(step(4))
    wait_until(lambda: len(logic.commands) == 2)
    panel.isEntered = False
    watch.stop()
    saved.save(6)
    saved.add(step(5))
    qt.QThread.msleep(100)
    qt.QCoreApplication.processEvents()
    assert len(logic.commands) == 2, "it is segmented although nobody sees it"
