"""The panel with the real worker, a tiny model and made volumes in a real scene: every button that does real work."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer
from phantoms import write_case, write_tiny_model
from PIL import Image
from stand_ins import plot_widgets

from LCKDSegmentationLib.ComparisonViews import barTitle
from LCKDSegmentationLib.Parameters import Division, Rerun
from LCKDSegmentationLib.Views import tumorCenter

Wait = Callable[..., None]


def choose(widget: Any, division: Division) -> None:
    """Choose how the segmentation is divided, as a user does."""
    index = list(Division).index(division)
    widget.ui.divisionSelector.currentIndex = index
    widget.ui.divisionSelector.activated.emit(index)


def segment_ids(node: Any) -> list[str]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]


def nodes_of(scene: Any, name: str) -> list[Any]:
    return [scene.GetNthNodeByClass(index, name) for index in range(scene.GetNumberOfNodesByClass(name))]


def test_segment_brings_an_overlay_with_volumes(
    widget: Any, volumes: dict[str, Any], segment: Callable[[], Any], scene: Any
) -> None:
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    node = segment()
    assert segment_ids(node) == ["ET", "NCR", "ED"]
    assert widget.ui.resultSelector.currentNode() is node
    assert widget.ui.volumesTable.rowCount == 5
    assert float(widget.ui.volumesTable.item(2, 1).text()) > 0
    assert "From FLAIR, T1c, T2; imputed: T1; model: tiny." in widget.ui.resultLabel.text
    assert "Not for clinical use." in widget.ui.resultLabel.text
    composites = nodes_of(scene, "vtkMRMLSliceCompositeNode")
    assert composites
    assert {composite.GetBackgroundVolumeID() for composite in composites} == {volumes["t1c"].GetID()}
    widget.ui.opacitySlider.value = 0.75
    assert node.GetDisplayNode().GetOpacity2DFill() == 0.75
    widget.ui.show3DBox.checked = True
    assert node.GetDisplayNode().GetVisibility3D()
    assert node.GetSegmentation().ContainsRepresentation("Closed surface")


@pytest.mark.usefixtures("volumes")
def test_segmenting_again_replaces_or_adds_and_decodes(
    widget: Any, segment: Callable[[], Any], scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = segment()
    widget.ui.useT2.checked = False
    asked = []
    request = widget.logic.client.request
    monkeypatch.setattr(
        widget.logic.client, "request", lambda do, *args, **fields: (asked.append(do), request(do, *args, **fields))[1]
    )
    assert segment() is first
    assert asked == ["decode"]
    assert first.GetAttribute("LCKD.Subset") == "flair+t1c"
    widget.panel.parameters.rerun = Rerun.ADD
    second = segment()
    assert second is not first
    assert len(nodes_of(scene, "vtkMRMLSegmentationNode")) == 2


@pytest.mark.usefixtures("volumes")
def test_result_is_added_where_the_one_to_replace_was_deleted_meanwhile(
    widget: Any, segment: Callable[[], Any], scene: Any, wait_until: Wait
) -> None:
    first = segment()
    widget.ui.segmentButton.click()
    scene.RemoveNode(first)
    wait_until(lambda: not widget.segment.isRunning, 60)
    (node,) = nodes_of(scene, "vtkMRMLSegmentationNode")
    assert node is not first
    assert widget.panel.parameters.segmentation is node


@pytest.mark.usefixtures("volumes")
def test_division_changes_the_segmentation_at_hand(widget: Any, segment: Callable[[], Any]) -> None:
    node = segment()
    choose(widget, Division.REGIONS)
    assert segment_ids(node) == ["ET", "TC", "WT"]
    assert widget.panel.parameters.segmentation is node
    choose(widget, Division.TISSUES)
    assert segment_ids(node) == ["ET", "NCR", "ED"]


@pytest.mark.usefixtures("volumes")
def test_progress_is_scrolled_into_view(widget: Any, app: Any, wait_until: Wait) -> None:
    import qt

    area = qt.QScrollArea()
    area.setWidget(widget)
    area.setWidgetResizable(True)
    area.resize(500, 300)
    area.show()
    app.processEvents()

    def is_seen(label: Any) -> bool:
        return area.viewport().rect.contains(label.mapTo(area.viewport(), qt.QPoint(0, label.height - 1)))

    try:
        assert not is_seen(widget.ui.segmentButton)
        widget.ui.segmentButton.click()
        app.processEvents()
        assert is_seen(widget.ui.segmentStatus)
        wait_until(lambda: not widget.segment.isRunning, 60)
        app.processEvents()
        assert is_seen(widget.ui.messageLabel)
    finally:
        area.takeWidget()
        area.deleteLater()


@pytest.mark.usefixtures("volumes")
def test_probabilities_and_uncertainty_become_volumes(widget: Any, segment: Callable[[], Any], scene: Any) -> None:
    widget.ui.probabilitiesBox.checked = True
    widget.ui.uncertaintyBox.checked = True
    segment()
    maps = {node.GetAttribute("LCKD.Map") for node in nodes_of(scene, "vtkMRMLScalarVolumeNode")} - {None}
    assert {name.replace("_", "-") for name in maps} == {
        *("probability-ET", "probability-TC", "probability-WT"),
        "uncertainty",
    }


def test_cancel_and_scene_close_in_the_middle(
    widget: Any, volumes: dict[str, Any], wait_until: Wait, scene: Any
) -> None:
    before = scene.GetNumberOfNodes()
    widget.ui.segmentButton.click()
    wait_until(lambda: widget.logic.current is not None and widget.logic.current.stage != "", 60)
    widget.ui.segmentButton.click()
    wait_until(lambda: not widget.segment.isRunning, 30)
    assert widget.ui.messageLabel.text == "The segmentation was cancelled."
    assert scene.GetNumberOfNodes() == before
    widget.ui.segmentButton.click()
    folder = widget.logic.case.path
    widget.closeScene()
    scene.Clear()
    assert not folder.exists()
    assert not widget.logic.client.isRunning
    assert volumes["t2"].GetScene() is None


@pytest.fixture
def compared(widget: Any, volumes: dict[str, Any], wait_until: Wait) -> Iterator[Any]:
    """A comparison of two sequences: three subsets."""
    widget.ui.useT2.checked = False
    widget.ui.compareButton.click()
    assert widget.ui.compareButton.text == "Cancel"
    counts = []

    def is_done() -> bool:
        counts.append(widget.ui.compareTable.rowCount)
        return not widget.compare.isRunning

    wait_until(is_done, 240)
    assert widget.ui.compareMessageLabel.text.startswith("The comparison is done."), widget.ui.messageLabel.text
    assert {3, 6} <= set(counts), "the table did not fill as results arrived"
    yield widget
    widget.views.stopFollowing()


def test_comparison_fills_its_table_and_shows_rows(
    compared: Any, scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ui = compared.ui
    assert ui.compareTable.rowCount == 9
    cells = [ui.compareTable.item(6, column).text() for column in range(5)]
    assert cells[0] == "FLAIR, T1c"
    assert (cells[3], cells[4]) == ("1.000", "0.0")
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    red = scene.GetNodeByID("vtkMRMLSliceNodeRed")
    red.SetSliceOffset(-500.0)
    ui.compareTable.selectRow(0)
    (flair,) = nodes_of(scene, "vtkMRMLSegmentationNode")
    assert flair.GetAttribute("LCKD.Subset") == "flair"
    assert red.GetSliceOffset() == pytest.approx(tumorCenter(flair)[2]), "there is something to be seen"
    red.SetSliceOffset(-500.0)
    ui.compareTable.selectRow(3)
    assert red.GetSliceOffset() == -500.0, "the user's place stays"
    assert not flair.GetDisplayNode().GetVisibility()
    ui.compareTable.selectRow(0)
    assert flair.GetDisplayNode().GetVisibility()
    assert len(nodes_of(scene, "vtkMRMLSegmentationNode")) == 2
    assert not ui.differenceButton.enabled
    assert "two subsets" in ui.differenceButton.toolTip
    ui.compareTable.setRangeSelected(_range(3), True)
    assert compared.views.selected == ["flair", "t1c"]
    ui.differenceRegion.currentIndex = 2
    ui.differenceButton.click()
    difference = nodes_of(scene, "vtkMRMLSegmentationNode")[-1]
    assert difference.GetAttribute("LCKD.Difference") == "WT flair t1c"
    legend = "WT: white is in both, orange only in FLAIR, blue only in T1c."
    assert ui.compareMessageLabel.text == legend
    colors = {name: difference.GetSegmentation().GetSegment(name).GetColor() for name in ("onlyA", "onlyB", "both")}
    assert colors["onlyA"][0] > 0.8 > colors["onlyA"][1] > 0.5 > colors["onlyA"][2], "orange"
    assert colors["onlyB"][2] > 0.8 > 0.5 > colors["onlyB"][0], "blue"
    assert min(colors["both"]) > 0.7, "white"
    assert not ui.formerLayoutButton.enabled
    assert "side by side or a chart first" in ui.formerLayoutButton.toolTip
    manager = slicer.app.layoutManager()
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    fitted: list[int] = []
    monkeypatch.setattr(compared.views, "_fit", lambda nodes, _center: fitted.append(len(nodes)))
    for button in (ui.twoUpButton, ui.fourUpButton):
        button.click()
        assert ui.compareMessageLabel.text == legend, "no error took its place"
    assert fitted == [], "the views have no size yet"
    slicer.app.processEvents()
    assert fitted == [2, 4]
    assert manager.sliceViewNames() == ("LCKD1", "LCKD2", "LCKD3", "LCKD4")
    labels = {node.GetLayoutName(): node.GetLayoutLabel() for node in nodes_of(scene, "vtkMRMLSliceNode")}
    assert (labels["LCKD1"], labels["LCKD2"]) == ("F", "T1c"), "longer ones are cut off in the bar of a view"
    assert [barTitle(name) for name in ("t1+t1c+t2", "flair+t1+t1c+t2")] == ["T1+T1c+T2", "all four"]
    assert not flair.GetDisplayNode().IsDisplayableInView("vtkMRMLSliceNodeRed")
    ui.formerLayoutButton.click()
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    assert flair.GetDisplayNode().IsDisplayableInView("vtkMRMLSliceNodeRed")
    assert not ui.formerLayoutButton.enabled
    names = {node.GetLayoutName() for node in nodes_of(scene, "vtkMRMLSliceNode")}
    assert {"LCKD1", "LCKD2", "LCKD3", "LCKD4"} <= names
    assert "What costs most Dice" in ui.importanceLabel.text
    for button, title, labels in (
        (ui.diceChartButton, "Dice by subset", ["F", "T1c", "F+T1c"]),
        (ui.importanceChartButton, "What each sequence is worth", ["FLAIR", "T1c"]),
    ):
        button.click()
        assert shown_chart(scene).GetTitle() == title
        assert bar_labels() == labels
    assert ui.formerLayoutButton.enabled
    ui.formerLayoutButton.click()
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    ui.diceChartButton.click()
    (view,) = nodes_of(scene, "vtkMRMLPlotViewNode")
    view.SetPlotChartNodeID(scene.AddNewNodeByClass("vtkMRMLPlotChartNode", "of the user").GetID())
    assert "FLAIR" not in bar_labels()
    view.SetPlotChartNodeID(compared.views._run.outcome.nodes.dice.chart.GetID())
    assert bar_labels() == ["F", "T1c", "F+T1c"]
    table, chart = compared.views._actions
    compared.panel.dialogs.answers["saveFile"] = str(tmp_path / "table.csv")
    table.trigger()
    with (tmp_path / "table.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 9
    assert float(rows[6]["dice"]) == 1.0
    compared.panel.dialogs.answers["saveFile"] = str(tmp_path / "chart.png")
    chart.trigger()
    assert ui.compareMessageLabel.text == f"Written: {tmp_path / 'chart.png'}"
    assert shown_chart(scene).GetTitle() == "Dice by subset"
    with Image.open(tmp_path / "chart.png") as picture:
        assert picture.size == plot_widgets.SIZE
        assert len(picture.getcolors()) > 2, "nothing is drawn"
    monkeypatch.setattr(slicer.app, "_layoutManager", EmptyLayout())
    compared.panel.dialogs.answers["saveFile"] = str(tmp_path / "none.png")
    chart.trigger()
    assert "shown in no view" in ui.compareMessageLabel.text
    assert not (tmp_path / "none.png").exists()


class EmptyLayout:
    """A layout without a view of charts."""

    plotViewCount = 0


def shown_chart(scene: Any) -> Any:
    """The chart in the view of charts of the layout."""
    (view,) = nodes_of(scene, "vtkMRMLPlotViewNode")
    return view.GetPlotChartNode()


def bar_labels() -> list[str]:
    """What stands below the bars in the view of charts."""
    import vtk

    axis = slicer.app.layoutManager().plotWidget(0).plotView().chart().GetAxis(vtk.vtkAxis.BOTTOM)
    labels = axis.GetTickLabels()
    return [labels.GetValue(index) for index in range(labels.GetNumberOfValues())]


def _range(row: int) -> Any:
    import qt

    return qt.QTableWidgetSelectionRange(row, 0, row, 4)


@pytest.mark.usefixtures("volumes")
def test_subsets_are_chosen_by_ticking(widget: Any) -> None:
    import qt

    ui = widget.ui
    assert ui.subsetList.count == 7
    ui.noSubsetsButton.click()
    assert ui.compareButton.toolTip == "Tick at least one subset."
    ui.subsetList.item(1).setCheckState(qt.Qt.Checked)
    assert list(widget.panel.parameters.compareSubsets) == ["t1c"]
    assert ui.compareButton.enabled
    ui.allSubsetsButton.click()
    assert list(widget.panel.parameters.compareSubsets) == []
    ui.useFlair.checked = False
    assert [ui.subsetList.item(row).text() for row in range(3)] == ["T1c", "T2", "T1c, T2"]


def test_devices_come_from_the_worker(widget: Any, wait_until: Wait) -> None:
    widget.enter()
    assert widget.ui.deviceLabel.text == "Looking for devices…"
    wait_until(lambda: "Looking" not in widget.ui.deviceLabel.text, 60)
    assert widget.ui.deviceSelector.findData("cpu") >= 0
    index = widget.ui.deviceSelector.findData("cpu")
    widget.ui.deviceSelector.activated.emit(index)
    assert widget.panel.parameters.device == "cpu"
    assert widget.ui.deviceLabel.text.startswith("CPU: ")


def test_models_are_added_shown_and_deleted(
    widget: Any, wait_until: Wait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LCKD_MODELS", str(tmp_path / "models"))
    widget.models.readModels()
    assert widget.ui.modelSelector.currentText == "tiny (not found)"
    assert widget.models.problem() == "The model tiny is not on this computer; choose another one."
    dialogs = widget.panel.dialogs
    dialogs.answers = {"folder": str(write_tiny_model(tmp_path / "another")), "confirm": [False, True]}
    widget.models.addFromFolder()
    assert widget.ui.addModelButton.text == "Cancel"
    wait_until(lambda: widget.ui.addModelButton.text == "Add…", 120)
    assert widget.ui.messageLabel.text == "The model was added and is chosen now."
    assert widget.ui.modelSelector.currentText == "another"
    widget.models.addFromFolder()
    wait_until(lambda: widget.ui.addModelButton.text == "Add…", 120)
    taken = "<b>There is already a model called another.</b> Delete that one first, or rename the new one."
    assert widget.ui.messageLabel.text == taken
    widget.ui.openModelsButton.click()
    assert dialogs.asked[-1] == "openFolder another"
    widget.ui.deleteModelButton.click()
    assert (tmp_path / "models" / "another").exists()
    widget.ui.deleteModelButton.click()
    assert not (tmp_path / "models" / "another").exists()
    assert widget.ui.modelSelector.currentText == "small (embedded)"
    assert not widget.ui.deleteModelButton.enabled
    dialogs.answers = {"file": str(tmp_path / "no.zip")}
    widget.models.addFromZip()
    wait_until(lambda: widget.ui.addModelButton.text == "Add…", 120)
    assert "There is no file or folder" in widget.ui.messageLabel.text
    dialogs.answers = {"text": ["http://example.org/model.zip", "0" * 64]}
    widget.models.addFromAddress()
    wait_until(lambda: widget.ui.addModelButton.text == "Add…", 120)
    assert "https" in widget.ui.messageLabel.text


def test_batch_runs_the_command_and_lists_its_cases(widget: Any, wait_until: Wait, tmp_path: Path) -> None:
    root = tmp_path / "study"
    write_case(root / "good")
    (write_case(root / "bad") / "t1.nii.gz").write_bytes(b"no image")
    ui = widget.ui
    widget.panel.parameters.device = "cpu"
    ui.batchInputEdit.currentPath = str(root)
    ui.batchOutputEdit.currentPath = str(tmp_path / "results")
    ui.batchButton.click()
    assert ui.batchButton.text == "Cancel"
    wait_until(lambda: not widget.batch.isRunning, 240)
    states = {ui.batchTable.item(row, 0).text(): ui.batchTable.item(row, 1).text() for row in range(2)}
    assert states["good"] == "Done"
    assert states["bad"].startswith("Failed: ")
    assert ui.batchMessageLabel.text.startswith("1 done, 0 were done before, 1 failed.")
    report = json.loads((tmp_path / "results" / "good" / "report.json").read_text())
    assert (report["model"]["name"], report["device"]) == ("tiny", "cpu")


def test_batch_is_cancelled_with_its_processes(widget: Any, wait_until: Wait, tmp_path: Path) -> None:
    write_case(tmp_path / "study" / "one")
    widget.panel.parameters.batchInput = str(tmp_path / "study")
    widget.panel.parameters.batchOutput = str(tmp_path / "results")
    widget.ui.batchButton.click()
    process = int(widget.batch._button.run._process._process.processId())
    assert Path(f"/proc/{process}").exists()
    widget.ui.batchButton.click()
    assert not widget.batch.isRunning
    assert widget.ui.batchMessageLabel.text.startswith("The batch was cancelled.")
    assert not Path(f"/proc/{process}").exists()
    assert widget.ui.batchButton.text == "Run batch"
