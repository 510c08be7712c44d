"""Layouts, panels, links and jumps, by the nodes of the scene."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from scene_cases import SHAPE, add_transform, oblique, tumor, values_of


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
    center = jumpToTumor(slices[:1], run.bring(labels).segmentation)
    expected = motion @ oblique() @ (21, 11, 6, 1)
    np.testing.assert_allclose(center, expected[:3], atol=1e-9)
    np.testing.assert_allclose(values_of(slices[0].GetSliceToRAS())[:3, 3], expected[:3], atol=1e-9)


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
