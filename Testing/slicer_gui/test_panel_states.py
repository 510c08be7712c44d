"""What a user does besides pressing the buttons in order: other patients, other sets, deleted and edited nodes."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer
from panel_parts import read_volume, small_volume

from LCKDSegmentationLib.Parameters import NO_SUBSET, Division, SegmentationParameters

Wait = Callable[..., None]
Press = Callable[[], Any]


def another_set(widget: Any, scene: Any) -> SegmentationParameters:
    """Make a parameter set and show it."""
    parameters = SegmentationParameters(scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Another"))
    parameters.model = "tiny"
    widget.setParameters(parameters)
    return parameters


def choose_volumes(widget: Any, scene: Any, folder: Path, who: str) -> dict[str, Any]:
    """Choose FLAIR and T1c of a patient."""
    made = {s: read_volume(scene, folder / f"{s}.nii.gz", f"{who} {s}") for s in ("flair", "t1c")}
    for sequence in ("flair", "t1", "t1c", "t2"):
        widget.sequences.selector(sequence).setCurrentNode(made.get(sequence))
    return made


def compare(widget: Any, wait_until: Wait) -> None:
    """Compare FLAIR, T1c, and both."""
    widget.ui.useT2.checked = False
    widget.ui.compareButton.click()
    wait_until(lambda: not widget.compare.isRunning, 120)
    assert widget.ui.compareMessageLabel.text.startswith("The comparison is done."), widget.ui.compareMessageLabel.text


def segmentations(scene: Any) -> list[Any]:
    kind = "vtkMRMLSegmentationNode"
    return [scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind))]


def change_by_hand(node: Any, slices: int = 0) -> None:
    """Take one voxel away, or so many slices, as the Segment Editor does."""
    segment_id = node.GetSegmentation().GetNthSegmentID(2)
    array = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id)
    place = tuple(np.argwhere(array)[0])
    array = array.copy()
    array[place] = 0
    array[place[0] : place[0] + slices] = 0
    reference = node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, node, segment_id, reference)


@pytest.mark.usefixtures("volumes")
def test_the_result_of_another_patient_is_added(widget: Any, scene: Any, segment: Press, case_folder: Path) -> None:
    ann = segment()
    reference = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    volume = ann.GetNodeReference(reference)
    others = choose_volumes(widget, scene, case_folder, "Bob")
    bob = segment()
    assert bob is not ann
    assert ann.GetNodeReference(reference) is volume
    assert bob.GetNodeReference(reference) is others["t1c"]
    assert "it was kept" in widget.ui.messageLabel.text
    assert segment() is bob
    assert "kept" not in widget.ui.messageLabel.text


@pytest.mark.usefixtures("volumes")
def test_what_was_changed_by_hand_is_kept(widget: Any, scene: Any, segment: Press) -> None:
    first = segment()
    widget.ui.show3DBox.checked = True
    assert segment() is first, "a surface is no change"
    change_by_hand(first)
    second = segment()
    assert second is not first
    assert len(segmentations(scene)) == 2


@pytest.mark.usefixtures("volumes")
def test_volumes_follow_what_was_changed_by_hand(widget: Any, scene: Any, segment: Press) -> None:
    def shown(row: int) -> float:
        return float(widget.ui.volumesTable.item(row, 1).text())

    node = segment()
    made = shown(4)
    assert "Changed by hand" not in widget.ui.resultLabel.text
    change_by_hand(node, slices=3)
    widget.enter()
    volume = node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
    left = slicer.util.arrayFromSegmentBinaryLabelmap(node, "ED", volume).sum()
    assert shown(4) == pytest.approx(left * np.prod(volume.GetSpacing()) / 1000, abs=0.01)
    assert shown(4) < made
    assert "Changed by hand; the volumes are those of the changed" in widget.ui.resultLabel.text
    node.GetSegmentation().AddEmptySegment("mine", "mine")
    widget.enter()
    assert "the volumes are still those from before" in widget.ui.resultLabel.text
    node.GetSegmentation().RemoveSegment("mine")
    segment()
    assert "Changed by hand" not in widget.ui.resultLabel.text
    assert shown(4) == made


@pytest.mark.usefixtures("volumes")
def test_what_is_changed_by_hand_during_a_run_is_kept(
    widget: Any, scene: Any, segment: Press, wait_until: Wait
) -> None:
    node = segment()
    widget.ui.useT2.checked = False
    widget.ui.segmentButton.click()
    change_by_hand(node)
    edited = slicer.util.arrayFromSegmentBinaryLabelmap(node, "ED").copy()
    wait_until(lambda: not widget.segment.isRunning, 60)
    assert "it was kept" in widget.ui.messageLabel.text
    assert len(segmentations(scene)) == 2
    assert np.array_equal(slicer.util.arrayFromSegmentBinaryLabelmap(node, "ED"), edited)


@pytest.mark.usefixtures("volumes")
def test_division_keeps_what_was_changed_by_hand(widget: Any, segment: Press) -> None:
    node = segment()
    edema = slicer.util.arrayFromSegmentBinaryLabelmap(node, "ED").sum()
    change_by_hand(node)
    assert slicer.util.arrayFromSegmentBinaryLabelmap(node, "ED").sum() == edema - 1
    for division, ids in ((Division.REGIONS, ["ET", "TC", "WT"]), (Division.TISSUES, ["ET", "NCR", "ED"])):
        index = list(Division).index(division)
        widget.ui.divisionSelector.currentIndex = index
        widget.ui.divisionSelector.activated.emit(index)
        segmentation = node.GetSegmentation()
        assert [segmentation.GetNthSegmentID(number) for number in range(3)] == ids
    assert slicer.util.arrayFromSegmentBinaryLabelmap(node, "ED").sum() == edema - 1
    assert segment() is not node
    node.GetSegmentation().RemoveSegment("ED")
    widget.panel.parameters.segmentation = node
    widget.ui.divisionSelector.activated.emit(0)
    assert "no longer those of a result" in widget.ui.messageLabel.text


@pytest.mark.usefixtures("volumes")
def test_a_result_goes_to_the_set_it_was_asked_from(widget: Any, scene: Any, wait_until: Wait) -> None:
    first = widget.panel.parameters
    widget.ui.segmentButton.click()
    second = another_set(widget, scene)
    wait_until(lambda: not widget.segment.isRunning, 60)
    assert second.segmentation is None
    assert first.segmentation is segmentations(scene)[0]
    widget.setParameters(first)
    widget.ui.useT2.checked = False
    widget.ui.segmentButton.click()
    widget.setParameters(second)
    scene.RemoveNode(first.parameterNode)
    wait_until(lambda: not widget.segment.isRunning, 60)
    assert widget.ui.messageLabel.text.startswith("Done.")
    assert second.segmentation is None


@pytest.mark.parametrize("deleted", ["flair", "t1c"])
def test_a_volume_that_is_deleted_meanwhile(
    widget: Any, scene: Any, volumes: dict[str, Any], wait_until: Wait, deleted: str
) -> None:
    widget.ui.segmentButton.click()
    scene.RemoveNode(volumes[deleted])
    wait_until(lambda: not widget.segment.isRunning, 60)
    if deleted == "flair":
        assert widget.ui.messageLabel.text.startswith("Done.")
        assert len(segmentations(scene)) == 1
    else:
        assert "The result lies on the voxels of T1c, whose volume was deleted" in widget.ui.messageLabel.text
        assert segmentations(scene) == []


def test_rows_of_a_deleted_volume_say_so(widget: Any, scene: Any, volumes: dict[str, Any], wait_until: Wait) -> None:
    compare(widget, wait_until)
    scene.RemoveNode(volumes["t1c"])
    ui = widget.ui
    ui.compareTable.selectRow(0)
    assert "was deleted" in ui.compareMessageLabel.text
    ui.compareTable.setRangeSelected(_range(3), True)
    for button in (ui.differenceButton, ui.twoUpButton):
        widget.compare.message.say("")
        button.click()
        assert "was deleted" in ui.compareMessageLabel.text
    assert segmentations(scene) == []


def test_rows_of_volumes_that_have_changed_say_so(
    widget: Any, volumes: dict[str, Any], segment: Press, wait_until: Wait
) -> None:
    compare(widget, wait_until)
    volumes["flair"].GetImageData().Modified()
    segment()
    widget.ui.compareTable.selectRow(0)
    assert "Run the comparison again" in widget.ui.compareMessageLabel.text


def _range(row: int) -> Any:
    import qt

    return qt.QTableWidgetSelectionRange(row, 0, row, 4)


@pytest.mark.usefixtures("volumes")
def test_a_result_is_visible_after_a_comparison(widget: Any, scene: Any, segment: Press, wait_until: Wait) -> None:
    node = segment()
    compare(widget, wait_until)
    widget.ui.compareTable.selectRow(0)
    assert not node.GetDisplayNode().GetVisibility()
    (compared,) = (one for one in segmentations(scene) if one is not node)
    widget.ui.resultSelector.nodeActivated.emit(node)
    assert node.GetDisplayNode().GetVisibility()
    assert not compared.GetDisplayNode().GetVisibility()
    widget.ui.compareTable.selectRow(3)
    widget.panel.parameters.segmentation = node
    assert segment() is node
    assert node.GetDisplayNode().GetVisibility()


@pytest.mark.usefixtures("volumes")
def test_compared_segmentations_go_with_the_comparison(widget: Any, scene: Any, wait_until: Wait) -> None:
    compare(widget, wait_until)
    widget.ui.compareTable.selectRow(0)
    widget.ui.compareTable.selectRow(3)
    assert len(segmentations(scene)) == 2
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    tree.RemoveItem(widget.views._run.outcome.nodes.item)
    assert segmentations(scene) == []
    for kind in ("vtkMRMLTableNode", "vtkMRMLPlotChartNode", "vtkMRMLTextNode"):
        assert scene.GetNumberOfNodesByClass(kind) == 0


@pytest.mark.usefixtures("volumes")
def test_a_selected_row_stays_selected_when_rows_arrive(widget: Any, wait_until: Wait) -> None:
    widget.ui.useT2.checked = False
    widget.ui.compareButton.click()
    wait_until(lambda: widget.ui.compareTable.rowCount >= 3, 120)
    widget.ui.compareTable.selectRow(0)
    (chosen,) = widget.views.selected
    wait_until(lambda: not widget.compare.isRunning, 120)
    assert chosen == "flair+t1c"
    assert widget.views.selected == [chosen]
    assert widget.ui.compareTable.item(0, 0).text() == "FLAIR", "the order has changed"


@pytest.mark.usefixtures("volumes")
def test_each_set_has_its_own_comparison(widget: Any, scene: Any, wait_until: Wait) -> None:
    first = widget.panel.parameters
    compare(widget, wait_until)
    another_set(widget, scene)
    assert widget.ui.compareTable.rowCount == 0
    assert not widget.ui.exportButton.enabled
    widget.setParameters(first)
    assert widget.ui.compareTable.rowCount == 9
    assert widget.ui.exportButton.enabled


@pytest.mark.usefixtures("volumes")
def test_no_subset_ticked_is_remembered(widget: Any, scene: Any) -> None:
    import qt

    first = widget.panel.parameters
    widget.ui.noSubsetsButton.click()
    assert list(first.compareSubsets) == [NO_SUBSET]
    assert widget.ui.compareButton.toolTip == "Tick at least one subset."
    second = another_set(widget, scene)
    for sequence in ("flair", "t1c"):
        setattr(second, sequence, getattr(first, sequence))
    assert widget.ui.compareButton.enabled
    items = [widget.ui.subsetList.item(row) for row in range(widget.ui.subsetList.count)]
    assert [item.checkState() for item in items] == [qt.Qt.Checked] * 3
    widget.setParameters(first)
    assert not widget.ui.compareButton.enabled


def test_a_folder_that_is_deleted_from_the_field_stays_deleted(widget: Any, tmp_path: Path) -> None:
    widget.ui.batchInputEdit.currentPath = str(tmp_path)
    assert widget.panel.parameters.batchInput == str(tmp_path)
    widget.ui.batchInputEdit.comboBox().setEditText("")
    assert widget.panel.parameters.batchInput == ""
    widget.update_()
    assert widget.ui.batchInputEdit.currentPath == ""


@pytest.mark.usefixtures("volumes")
def test_views_are_left_alone_while_another_module_is_open(widget: Any, scene: Any, segment: Press) -> None:
    other = small_volume(scene, "of another module")
    composite = scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "c")
    composite.SetLayoutName("Red")
    composite.SetBackgroundVolumeID(other.GetID())
    widget.exit()
    segment()
    assert composite.GetBackgroundVolumeID() == other.GetID()
    widget.enter()
    segment()
    assert composite.GetBackgroundVolumeID() != other.GetID()


@pytest.mark.usefixtures("volumes")
def test_devices_are_known_after_the_run_that_installed_the_packages(
    widget: Any, segment: Press, wait_until: Wait
) -> None:
    widget.panel.requirements.absent = ["torch"]
    widget.enter()
    assert "once the required packages are installed" in widget.ui.deviceLabel.text
    segment()
    wait_until(lambda: widget.ui.deviceLabel.text.startswith("CPU: "), 30)


def test_a_map_of_our_own_is_no_sequence(widget: Any, volumes: dict[str, Any]) -> None:
    volumes["t2"].SetAttribute("LCKD.Map", "uncertainty")
    widget.update_()
    assert not widget.ui.segmentButton.enabled
    assert "T2 is a map" in widget.ui.segmentButton.toolTip


@pytest.fixture
def module_widget(scene: Any, users_models: None) -> Any:
    """The module's widget, entered."""
    from LCKDSegmentation import LCKDSegmentationWidget

    parent = slicer.qMRMLWidget()
    import qt

    qt.QVBoxLayout(parent)
    made = LCKDSegmentationWidget(parent)
    made.setup()
    made.parent = SimpleNamespace(isEntered=True)
    made.enter()
    yield made
    made.cleanup()


def test_opening_a_scene_shows_the_set_saved_in_it(module_widget: Any, scene: Any, tmp_path: Path) -> None:
    module_widget.panel.panel.parameters.threads = 7
    file = tmp_path / "scene.mrml"
    assert scene.Commit(str(file))
    module_widget.panel.panel.parameters.threads = 3
    scene.SetURL(str(file))
    assert scene.Connect()
    assert module_widget.panel.panel.parameters.threads == 7
    assert len(module_widget.logic.getAllParameterNodes()) == 1
    assert module_widget.panel.ui.parameterNodeSelector.currentNode().GetScene() is scene


def test_the_last_set_is_followed_by_a_new_one(module_widget: Any, scene: Any, wait_until: Wait) -> None:
    scene.RemoveNode(module_widget.panel.panel.parameters.parameterNode)
    wait_until(lambda: module_widget.panel.panel.parameters is not None)
    assert len(module_widget.logic.getAllParameterNodes()) == 1
    assert module_widget.panel.ui.segmentButton.toolTip.startswith("Choose at least one volume")
