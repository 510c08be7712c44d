"""Layouts, panels, links and jumps, by the nodes of the scene."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from scene_cases import SHAPE, add_transform, oblique, tumor, values_of

from lckd.errors import UsageError


@pytest.fixture
def slices(run):
    """Four slice nodes named as those of the comparison, with their composite nodes."""
    from LCKDSegmentationLib.Views import VIEW_NAMES

    made = []
    for name in VIEW_NAMES:
        for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
            node = run.scene.CreateNodeByClass(kind)
            node.SetLayoutName(name)
            node.SetName(name)
            made.append(run.scene.AddNode(node))
    return made[::2]


def test_layouts_are_registered(run):
    from LCKDSegmentationLib.Views import FOUR_UP_LAYOUT, TWO_UP_LAYOUT, VIEW_NAMES, registerLayouts

    layout = run.scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    registerLayouts(layout)
    for number, count in ((TWO_UP_LAYOUT, 2), (FOUR_UP_LAYOUT, 4)):
        layout.SetViewArrangement(number)
        root = ElementTree.fromstring(layout.GetCurrentLayoutDescription())
        views = [view.get("singletontag") for view in root.iter("view")]
        assert views == list(VIEW_NAMES[:count])
        assert {view.get("class") for view in root.iter("view")} == {"vtkMRMLSliceNode"}


def layout_with_logic(scene):
    """The layout node, with the logic that makes its view nodes."""
    import slicer

    logic = slicer.vtkMRMLLayoutLogic()
    logic.SetMRMLScene(scene)
    return logic.GetLayoutNode(), logic


def test_a_scene_saved_side_by_side_shows_its_layout(run):
    from LCKDSegmentationLib.Views import FOUR_UP_LAYOUT, isSideBySide, registerLayouts

    layout = run.scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    layout.SetViewArrangement(FOUR_UP_LAYOUT)
    assert not layout.GetCurrentLayoutDescription()
    registerLayouts(layout)
    assert "LCKD4" in layout.GetCurrentLayoutDescription()
    assert isSideBySide(layout)


def test_a_saved_scene_opens_in_its_layout_with_its_views_in_their_group(run):
    from LCKDSegmentationLib.Views import (
        TWO_UP_LAYOUT,
        VIEW_GROUP,
        comparisonSliceNodes,
        registerLayouts,
        showFormerLayout,
        showSideBySide,
    )

    scene = run.scene
    layout, _logic = layout_with_logic(scene)
    registerLayouts(layout)
    showSideBySide(layout, TWO_UP_LAYOUT)
    scene.SetSaveToXMLString(1)
    scene.Commit()
    saved = scene.GetSceneXMLString()
    showFormerLayout(layout)
    scene.Clear(0)
    scene.SetLoadFromXMLString(1)
    scene.SetSceneXMLString(saved)
    scene.Import()
    scene.SetLoadFromXMLString(0)
    assert scene.GetFirstNodeByClass("vtkMRMLLayoutNode") is layout
    assert layout.GetViewArrangement() == TWO_UP_LAYOUT
    assert "LCKD2" in layout.GetCurrentLayoutDescription()
    registerLayouts(layout)
    assert [node.GetViewGroup() for node in comparisonSliceNodes(scene)] == [VIEW_GROUP] * 2
    showFormerLayout(layout)
    assert layout.GetViewArrangement() != TWO_UP_LAYOUT


def test_the_layout_of_the_user_stays_when_layouts_are_registered(run):
    from LCKDSegmentationLib.Views import isSideBySide, registerLayouts

    layout, _logic = layout_with_logic(run.scene)
    before = layout.GetViewArrangement(), layout.GetCurrentLayoutDescription()
    registerLayouts(layout)
    assert (layout.GetViewArrangement(), layout.GetCurrentLayoutDescription()) == before
    assert not isSideBySide(layout)


def test_views_for_comparison_move_with_each_other_only(run, slices):
    from LCKDSegmentationLib.Views import (
        FOUR_UP_LAYOUT,
        VIEW_GROUP,
        Panel,
        comparisonSliceNodes,
        registerLayouts,
        showPanels,
        showSideBySide,
    )

    layout, _logic = layout_with_logic(run.scene)
    slices[0].SetViewGroup(1)
    registerLayouts(layout)
    assert slices[0].GetViewGroup() == VIEW_GROUP
    slices[0].SetViewGroup(1)
    showPanels(run.scene, slices[:1], [Panel(run.volume)])
    assert slices[0].GetViewGroup() == VIEW_GROUP
    for node in slices:
        run.scene.RemoveNode(node)
    showSideBySide(layout, FOUR_UP_LAYOUT)
    made = comparisonSliceNodes(run.scene)
    assert [node.GetViewGroup() for node in made] == [VIEW_GROUP] * 4
    assert run.scene.GetNodeByID("vtkMRMLSliceNodeRed").GetViewGroup() == 0


def test_the_former_layout_comes_back(run):
    import slicer

    from LCKDSegmentationLib.Views import FOUR_UP_LAYOUT, TWO_UP_LAYOUT, showFormerLayout, showSideBySide

    layout, _logic = layout_with_logic(run.scene)
    layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    layout.AddMaximizedViewNode(run.scene.GetNodeByID("vtkMRMLSliceNodeRed"))
    showSideBySide(layout, TWO_UP_LAYOUT)
    assert layout.GetNumberOfMaximizedViewNodes() == 0
    assert layout.GetViewArrangement() == TWO_UP_LAYOUT
    showSideBySide(layout, FOUR_UP_LAYOUT)
    layout.AddMaximizedViewNode(run.scene.GetNodeByID("vtkMRMLSliceNodeRed"))
    showFormerLayout(layout)
    assert layout.GetNumberOfMaximizedViewNodes() == 0
    assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView
    for unknown in (None, "99999"):
        layout.SetAttribute("LCKD.FormerLayout", unknown)
        showFormerLayout(layout)
        assert layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView


def test_views_without_a_panel_are_emptied(run, slices):
    from LCKDSegmentationLib.Views import Panel, compositeOf, showPanels

    showPanels(run.scene, slices, [Panel(run.volume, label="a patient")] * 4)
    compositeOf(run.scene, slices[3]).SetForegroundVolumeID(run.volume.GetID())
    showPanels(run.scene, slices, [Panel(run.volume, label="another one")] * 3)
    composites = [compositeOf(run.scene, view) for view in slices]
    volume = run.volume.GetID()
    assert [one.GetBackgroundVolumeID() for one in composites] == [volume, volume, volume, None]
    assert composites[3].GetForegroundVolumeID() is None
    assert [view.GetLayoutLabel() for view in slices] == ["another one"] * 3 + ["4"]
    showPanels(run.scene, slices[:2], [Panel(run.volume)] * 2)
    assert compositeOf(run.scene, slices[2]).GetBackgroundVolumeID() is None


def test_after_side_by_side_the_first_segmentation_is_in_all_views(run, slices):
    from LCKDSegmentationLib.Views import Panel, leaveSideBySide, showPanels

    full, less = run.bring().segmentation, run.bring(present=("t1c",)).segmentation
    user = run.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "of the user")
    user.CreateDefaultDisplayNodes()
    user.GetDisplayNode().AddViewNodeID(slices[0].GetID())
    red = run.scene.AddNewNodeByClass("vtkMRMLSliceNode")
    showPanels(run.scene, slices, [Panel(run.volume, less), Panel(run.volume, full)])
    assert not less.GetDisplayNode().IsDisplayableInView(red.GetID())
    leaveSideBySide(run.scene)
    for node in (full, less):
        assert node.GetDisplayNode().IsDisplayableInView(red.GetID())
    assert [node.GetDisplayNode().GetVisibility() for node in (full, less)] == [0, 1]
    assert not user.GetDisplayNode().IsDisplayableInView(red.GetID())
    full.GetDisplayNode().SetVisibility(True)
    leaveSideBySide(run.scene)
    assert full.GetDisplayNode().GetVisibility(), "what was not side by side is left alone"


def test_without_views_one_is_told_so(run, slices):
    from LCKDSegmentationLib.Views import Panel, compositeOf, layoutOf, showPanels

    def lonely():
        node = run.scene.AddNewNodeByClass("vtkMRMLSliceNode")
        node.SetLayoutName("Lonely")
        compositeOf(run.scene, node)

    layout = run.scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if layout is not None:
        run.scene.RemoveNode(layout)
    attempts = [
        lambda: showPanels(run.scene, [], [Panel(run.volume)]),
        lambda: showPanels(run.scene, slices[:1], [Panel(run.volume)] * 2),
        lonely,
        lambda: layoutOf(run.scene),
    ]
    for attempt in attempts:
        with pytest.raises(UsageError, match="not enough slice views"):
            attempt()


def test_each_view_shows_its_panel_only(run, slices):
    from LCKDSegmentationLib.Views import Panel, comparisonSliceNodes, compositeOf, showEverywhere, showPanels

    full, less = run.bring().segmentation, run.bring(present=("t1c",)).segmentation
    views = comparisonSliceNodes(run.scene, 2)
    assert views == slices[:2]
    showPanels(run.scene, views, [Panel(run.inputs["flair"], full, "all"), Panel(run.volume, less, "T1c")])
    shown = [[node.GetDisplayNode().IsDisplayableInView(view.GetID()) for node in (full, less)] for view in slices]
    assert shown == [[True, False], [False, True], [False, False], [False, False]]
    composites = [compositeOf(run.scene, view) for view in views]
    assert [one.GetBackgroundVolumeID() for one in composites] == [run.inputs["flair"].GetID(), run.volume.GetID()]
    assert [one.GetLinkedControl() for one in composites] == [1, 1]
    assert [view.GetLayoutLabel() for view in views] == ["all", "T1c"]
    showPanels(run.scene, slices[2:], [Panel(run.volume, full)])
    assert not full.GetDisplayNode().IsDisplayableInView(slices[0].GetID())
    assert full.GetDisplayNode().IsDisplayableInView(slices[2].GetID())
    showEverywhere(full)
    assert full.GetDisplayNode().IsDisplayableInView(slices[3].GetID())


def test_one_segmentation_can_be_shown_on_several_images(run, slices):
    from LCKDSegmentationLib.Views import Panel, showPanels

    node = run.bring().segmentation
    showPanels(run.scene, slices, [Panel(volume, node) for volume in run.inputs.values()])
    shown = [node.GetDisplayNode().IsDisplayableInView(view.GetID()) for view in slices]
    assert shown == [True, True, False, False]


def test_panels_lie_at_the_same_place(run, slices):
    from LCKDSegmentationLib.Views import Panel, showPanels

    slices[0].SetOrientationToCoronal()
    slices[0].JumpSliceByCentering(3, 4, 5)
    showPanels(run.scene, slices, [Panel(run.volume)] * 4)
    places = [values_of(view.GetSliceToRAS()) for view in slices]
    for place in places[1:]:
        np.testing.assert_array_equal(place, places[0])
    assert places[0][1, 3] == pytest.approx(4)


@pytest.mark.parametrize("moved", [False, True])
def test_jump_goes_to_the_tumor(run, slices, moved):
    from LCKDSegmentationLib.Views import jumpToTumor

    motion = np.eye(4)
    if moved:
        transform = add_transform(run.scene)
        motion = values_of(transform.GetMatrixTransformToParent())
        run.volume.SetAndObserveTransformNodeID(transform.GetID())
    labels = np.zeros(SHAPE, np.uint8)
    labels[5:8, 10:13, 20:23] = 2
    before = values_of(slices[0].GetSliceToRAS())
    center = jumpToTumor(slices[:1], run.bring(labels).segmentation)
    expected = motion @ oblique() @ (21, 11, 6, 1)
    np.testing.assert_allclose(center, expected[:3], atol=1e-9)
    after = values_of(slices[0].GetSliceToRAS())
    inPlane = np.linalg.inv(after) @ expected
    assert inPlane[2] == pytest.approx(0, abs=1e-9), "the slice goes through the tumor"
    moved_by = np.linalg.inv(before) @ after[:, 3]
    np.testing.assert_allclose(moved_by[:2], 0, atol=1e-9, err_msg="what is seen of the image does not move")


def test_jump_to_a_ring_hits_the_ring(run):
    from LCKDSegmentationLib.Views import tumorCenter

    labels = np.where(tumor() == 1, 0, tumor())
    labels[7:14, 10:17, 13:20] = 0
    index = np.linalg.inv(oblique()) @ (*tumorCenter(run.bring(labels).segmentation), 1)
    i, j, k = np.rint(index[:3]).astype(int)
    assert labels[k, j, i]


def test_jump_without_a_tumor_stays(run, slices):
    from LCKDSegmentationLib.Views import jumpToTumor

    before = values_of(slices[0].GetSliceToRAS())
    assert jumpToTumor(slices, run.bring(np.zeros(SHAPE, np.uint8)).segmentation) is None
    np.testing.assert_array_equal(values_of(slices[0].GetSliceToRAS()), before)
