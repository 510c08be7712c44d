"""A run becomes a model: named, written with its scores, added to the models of the user."""

from pathlib import Path

import pytest
import slicer
from training_parts import FakeLogic, FakeRun, watched_run, write_evaluation

from lckd.errors import InputError, UsageError
from LCKDTrainingLib import ModelExport
from LCKDTrainingLib.TrainingPanel import TrainingPanel
from LCKDTrainingLib.UseSection import UseSection


def test_a_model_needs_a_name_that_a_model_can_have(
    use: UseSection, panel: TrainingPanel, watched: FakeRun, tmp_path: Path
) -> None:
    watched.save(2)
    use.update()
    ui = panel.ui
    assert ui.exportNameEdit.text == "run-1"
    assert ui.exportButton.enabled
    for bad in ("", "a b", "-a", "x" * 65):
        ui.exportNameEdit.text = bad
        assert not ui.useButton.enabled
        assert "name" in ui.exportButton.toolTip
    ui.exportNameEdit.text = "mine"
    second = panel.logic.current = watched_run(tmp_path / "second run!")
    second.save(1)
    use.update()
    assert ui.exportNameEdit.text == "mine", "a name that the user gave is replaced"
    assert ModelExport.modelName(second.folder) == "second-run"
    ui.exportNameEdit.text = ""
    for run, name in ((watched, ""), (None, ""), (second, "second-run"), (None, "second-run"), (watched, "run-1")):
        panel.logic.current = run
        use.update()
        assert ui.exportNameEdit.text == (name or "run-1"), "the name is that of a run of before"
    panel.logic.current = second
    use.update()
    ui.bestBox.checked = True
    assert ui.exportButton.toolTip == "The run has no best checkpoint yet: it has elected no teachers."


def test_a_model_is_written_where_the_user_wants_it_with_its_scores(
    use: UseSection, panel: TrainingPanel, watched: FakeRun, logic: FakeLogic, tmp_path: Path
) -> None:
    watched.save(2)
    scores = write_evaluation(watched.folder / "evaluations" / "0000002", 0.5)
    for run in (None, watched):
        logic.current = run
        use.update()
    panel.ui.exportButton.click()
    assert logic.commands == [], "nothing was chosen"
    (tmp_path / "run-1").mkdir(exist_ok=True)
    panel.dialogs.answers |= {"folder": str(tmp_path), "confirm": [False, True]}
    panel.ui.exportButton.click()
    assert logic.commands == [], "what is there was to stay"
    panel.ui.exportButton.click()
    asked = logic.last.asked
    assert (asked.model, asked.overwrite, asked.evaluation) == (tmp_path / "run-1", True, str(scores))
    assert panel.ui.useButton.toolTip == "Wait until the model has been made."
    logic.last.end()
    assert panel.ui.exportMessageLabel.text.startswith(f"The model was written: {tmp_path / 'run-1'}")
    assert panel.ui.exportButton.enabled
    watched.save(4)
    panel.dialogs.answers = {"folder": str(tmp_path / "new")}
    panel.ui.exportButton.click()
    assert logic.last.asked.evaluation == "", "the scores are of another checkpoint"
    logic.last.end(InputError("NO_CHECKPOINT", "There is no checkpoint.", "Choose a run."))
    assert "There is no checkpoint." in panel.ui.exportMessageLabel.text


@pytest.mark.usefixtures("users_models")
def test_a_name_that_a_model_has_is_refused_before_anything_is_made(
    use: UseSection, panel: TrainingPanel, watched: FakeRun, logic: FakeLogic
) -> None:
    watched.save(2)
    panel.ui.exportNameEdit.text = "tiny"
    use.update()
    panel.ui.useButton.click()
    assert "There already is a model called tiny." in panel.ui.exportMessageLabel.text
    assert logic.commands == []
    assert panel.ui.useButton.enabled


def test_without_a_main_window_it_is_said_where_the_model_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise RuntimeError("Could not find moduleSelector in the main window")

    monkeypatch.setattr(slicer.util, "selectModule", refuse)
    with pytest.raises(UsageError, match="cannot be opened"):
        ModelExport.segmentWith("mine")
