"""The panel with the real trainer and the real worker: cases are checked, a run is watched, evaluated and used."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import qt
import slicer
from panel_parts import FakeClient, FakeDialogs, FakeRequirements, make_python_slicer
from phantoms import make_case, write_case
from training_parts import checked, make_panel, nodes_of, parameter_set, temporary_models, texts

from lckd.models import list_models
from lckd_training.config import TrainingConfig
from lckd_training.run.train import train
from LCKDSegmentationLib.Logic import SegmentationLogic
from LCKDSegmentationLib.Parameters import SegmentationParameters
from LCKDSegmentationLib.Views import TWO_UP_LAYOUT, VIEW_NAMES, comparisonSliceNodes, compositeOf, layoutOf
from LCKDSegmentationLib.Widget import SegmentationWidget
from LCKDTrainingLib.LatestSegmentation import Wish
from LCKDTrainingLib.Logic import TrainingLogic
from LCKDTrainingLib.Parameters import TrainingParameters
from LCKDTrainingLib.TrainingPanel import TrainingPanel
from LCKDTrainingLib.UseSection import UseSection
from LCKDTrainingLib.WatchSection import WatchSection
from LCKDTrainingLib.Widget import TrainingWidget


@pytest.fixture(scope="module")
def run_folder(cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of four iterations with two checkpoints; a folder to be copied, not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "first run"
    settings = ["iterations=4", "election_interval=2", "checkpoint_interval=2", "patch=16", "subsets_per_step=1"]
    config = TrainingConfig.preset("smoke").overridden([*settings, "election=[b]", "test=[c]"])
    train(cases, config, folder)
    return folder


@pytest.fixture
def real(scene: Any, run_folder: Path, cases: Path, tmp_path: Path) -> Iterator[TrainingPanel]:
    """A panel with the real logic, which watches the real run."""
    make_python_slicer(tmp_path)
    logic = TrainingLogic(lambda: sys.executable)
    logic.attach(str(run_folder))
    panel = make_panel(scene, logic)
    panel.parameters.data, panel.parameters.device = str(cases), "cpu"
    panel.dataCases = {name: checked(name, cases / name) for name in "abc"}
    yield panel
    logic.close()


@pytest.fixture
def watch(real: TrainingPanel, client: Any) -> Iterator[WatchSection]:
    """Watches the real run and segments with the real worker, from FLAIR and T1c."""
    section = WatchSection(real, SegmentationLogic(client))
    real.changed = section.update
    real.parameters.watchedSubset = "flair+t1c"
    section.update()
    yield section
    section.close()


@pytest.fixture
def segmentation_module(scene: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the modules that were gone to; going to LCKDSegmentation makes its panel."""
    gone_to: list[str] = []

    def select(name: str) -> None:
        gone_to.append(name)
        made = SegmentationWidget(SegmentationLogic(FakeClient()), FakeDialogs(), FakeRequirements())
        made.setScene(scene)
        made.setParameters(SegmentationParameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "LCKD")))
        made.enter()
        monkeypatch.setattr(slicer.modules, "LCKDSegmentationWidget", SimpleNamespace(panel=made), raising=False)

    monkeypatch.setattr(slicer.util, "selectModule", select)
    return gone_to


def test_the_real_trainer_tells_settings_and_cases(
    make_widget: Callable[..., TrainingWidget],
    parameters: TrainingParameters,
    tmp_path: Path,
    wait_until: Callable[..., None],
) -> None:
    write_case(tmp_path / "cases" / "good", make_case())
    (write_case(tmp_path / "cases" / "bad", make_case(), labels=False) / "t1.nii.gz").write_bytes(b"no image")
    made = make_widget(TrainingLogic(lambda: sys.executable))
    made.setParameters(parameters)
    made.ui.dataEdit.currentPath = str(tmp_path / "cases")
    wait_until(lambda: made.ui.iterationsEdit.text == "3000", 60)
    made.ui.checkButton.click()
    wait_until(lambda: not made.data.isRunning, 60)
    assert [row[0] for row in texts(made.ui.dataTable)] == ["bad", "good"]
    words = "2 cases: 1 to learn from; 1 with a fault, never used. Tick at least two cases with labels"
    assert made.ui.dataMessageLabel.text.startswith(words)
    # The fakes tell of cases as the trainer does.
    for name, imitated in (("good", checked("good")), ("bad", checked("bad", label=False, fault="It is damaged."))):
        real = made.panel.dataCases[name]
        assert set(imitated) <= set(real)
        told = set(imitated) - {"convention"}  # which only the names of cases tell
        assert {key: type(real[key]) for key in told} == {key: type(imitated[key]) for key in told}
    assert set(made.panel.dataCases["bad"]["findings"][0]) == set(checked("x", fault="y")["findings"][0])


def test_the_newest_segmentation_stands_beside_the_label(
    real: TrainingPanel, watch: WatchSection, scene: Any, wait_until: Callable[..., None], tmp_path: Path
) -> None:
    manager = slicer.app.layoutManager()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    before = temporary_models()
    real.ui.latestButton.click()
    wait_until(lambda: not watch.latest.isRunning, 120)
    words = real.ui.watchMessageLabel.text
    assert words.startswith("b after 4 iterations. Dice to the label: ET "), words
    assert "Not for clinical use." in words
    assert temporary_models() == before
    assert manager.layout == TWO_UP_LAYOUT
    label, latest = sorted(nodes_of(scene, "vtkMRMLSegmentationNode"), key=lambda node: node.GetName() != "b label")
    first, second = comparisonSliceNodes(scene, 2)
    assert (first.GetLayoutLabel(), second.GetLayoutLabel()) == ("4 iterations", "Label")
    for node, shown, hidden in ((latest, first, second), (label, second, first)):
        assert node.GetDisplayNode().IsDisplayableInView(shown.GetID())
        assert not node.GetDisplayNode().IsDisplayableInView(hidden.GetID())
    assert compositeOf(scene, first).GetBackgroundVolumeID() == compositeOf(scene, second).GetBackgroundVolumeID()
    assert latest.GetAttribute("LCKD.Subset") == "flair+t1c"
    shown = nodes_of(scene, "vtkMRMLSliceNode")
    # The third and fourth view for comparison are there where another test has needed them.
    others = [one for one in shown if one.GetLayoutName() not in VIEW_NAMES[2:]]
    grids = {compositeOf(scene, one).GetBackgroundVolumeID() for one in others}
    assert grids == {compositeOf(scene, first).GetBackgroundVolumeID()}, "views of other layouts show another case"
    first.JumpSliceByOffsetting(0, 0, first.GetSliceOffset() + 2)
    place = first.GetSliceOffset()
    sha = latest.GetAttribute("LCKD.ModelSHA256")

    # An earlier checkpoint: another model in the same worker, and the same segmentation takes its result.
    (newest,) = real.logic.current.folder.glob("checkpoints/0000004.pt")
    newest.rename(tmp_path / newest.name)
    try:
        real.ui.latestButton.click()
        wait_until(lambda: not watch.latest.isRunning, 120)
    finally:
        (tmp_path / newest.name).rename(newest)
    assert real.ui.watchMessageLabel.text.startswith("b after 2 iterations.")
    assert len(nodes_of(scene, "vtkMRMLSegmentationNode")) == 2
    assert latest.GetAttribute("LCKD.ModelSHA256") != sha, "the worker has used the model of before"
    assert first.GetSliceOffset() == pytest.approx(place), "the user was taken to another slice"
    layoutOf(scene).SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    assert latest.GetDisplayNode().GetVisibility()
    assert latest.GetDisplayNode().IsDisplayableInView("vtkMRMLSliceNodeRed")
    assert not label.GetDisplayNode().GetVisibility()
    # The next checkpoint leaves the user in the other layout, unless asked to show it.
    for isAsked in (False, True):
        watch.latest.start(Wish(real.logic.current.folder, real.dataCases["b"], "flair+t1c"))
        if isAsked:
            watch.latest.comeBack()
        wait_until(lambda: not watch.latest.isRunning, 120)
        assert real.ui.watchMessageLabel.text.startswith("b after 4 iterations.")
        assert (manager.layout == TWO_UP_LAYOUT) == isAsked

    watch.stop()
    scene.Clear(0)
    assert nodes_of(scene, "vtkMRMLSegmentationNode") == []


def test_a_scene_that_is_closed_meanwhile_gets_no_segmentation(
    real: TrainingPanel, watch: WatchSection, scene: Any, wait_until: Callable[..., None]
) -> None:
    """While the model is made, and while it segments."""
    before = temporary_models()
    for isSegmenting in (False, True):
        real.ui.latestButton.click()
        if isSegmenting:
            wait_until(lambda: watch.latest._run is not None, 120)
        assert watch.latest.isRunning
        watch.stop()
        scene.Clear(0)
        assert not watch.latest.isRunning
        assert temporary_models() == before
        assert nodes_of(scene, "vtkMRMLSegmentationNode") == []
        real.parameters = parameter_set(scene, "Next")
        watch.update()
    qt.QCoreApplication.processEvents()
    assert nodes_of(scene, "vtkMRMLSegmentationNode") == []


def test_a_run_is_evaluated_added_and_used(
    real: TrainingPanel,
    wait_until: Callable[..., None],
    segmentation_module: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LCKD_MODELS", str(tmp_path / "models"))
    use, before = UseSection(real), temporary_models()
    real.changed = use.update
    use.update()
    real.ui.evaluateButton.click()
    wait_until(lambda: real.ui.evaluateButton.text == "Evaluate", 120)
    words = real.ui.evaluateMessageLabel.text
    assert words.startswith("Mean Dice of 4 iterations on 1 case kept for testing."), words
    assert len(texts(real.ui.subsetTable)) == 16
    assert not real.ui.heatMapLabel.pixmap.isNull()
    assert temporary_models() == before
    assert real.ui.exportNameEdit.text == "first-run"
    real.ui.useButton.click()
    wait_until(lambda: real.ui.useButton.enabled and bool(segmentation_module), 120)
    assert segmentation_module == ["LCKDSegmentation"]
    assert temporary_models() == before
    (entry,) = [entry for entry in list_models() if entry.name == "first-run"]
    assert len(entry.card.dice) == 15, "the card has no scores"
    chosen = slicer.modules.LCKDSegmentationWidget.panel
    assert chosen.panel.parameters.model == "first-run"
    assert chosen.models.entry.path == entry.path
    assert chosen.ui.modelSelector.currentText == "first-run"
    use.close()
