"""The panel follows the layout: what happens when views side by side come and go."""

from collections.abc import Iterator
from typing import Any

import pytest
import slicer
from panel_parts import small_volume

from LCKDSegmentationLib.Views import (
    FOUR_UP_LAYOUT,
    TWO_UP_LAYOUT,
    Panel,
    changeLayout,
    comparisonSliceNodes,
    showPanels,
)
from LCKDSegmentationLib.Views import showSideBySide as show

RED = "vtkMRMLSliceNodeRed"


@pytest.fixture
def followed(widget: Any, scene: Any) -> Iterator[Any]:
    """The panel, following the layout of the scene, which shows four views."""
    manager, four = slicer.app.layoutManager(), slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    before = manager.layout
    manager.setLayout(four)
    widget.views.followLayout(scene)
    yield widget
    widget.views.stopFollowing()
    manager.setLayout(before)


@pytest.fixture
def ours(scene: Any) -> Any:
    """A segmentation such as this module makes."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    node.SetAttribute("LCKD.Model", "tiny")
    node.CreateDefaultDisplayNodes()
    return node


def layout_of(scene: Any) -> Any:
    return scene.GetFirstNodeByClass("vtkMRMLLayoutNode")


def test_a_way_back_is_offered_while_side_by_side(followed: Any, scene: Any) -> None:
    button = followed.ui.formerLayoutButton
    assert not button.enabled
    show(layout_of(scene), TWO_UP_LAYOUT)
    assert button.enabled
    button.click()
    assert slicer.app.layoutManager().layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    assert not button.enabled


def test_a_way_back_is_offered_after_a_chart(followed: Any, scene: Any) -> None:
    button, manager, node = followed.ui.formerLayoutButton, slicer.app.layoutManager(), layout_of(scene)
    four, red = node.SlicerLayoutFourUpView, node.SlicerLayoutOneUpRedSliceView
    changeLayout(node, lambda: node.SetViewArrangement(node.SlicerLayoutFourUpPlotView))
    show(node, TWO_UP_LAYOUT)
    changeLayout(node, lambda: node.SetViewArrangement(node.SlicerLayoutFourUpPlotView))
    assert button.enabled
    button.click()
    assert manager.layout == four
    changeLayout(node, lambda: node.SetViewArrangement(node.SlicerLayoutFourUpPlotView))
    manager.setLayout(red)
    assert not button.enabled
    changeLayout(node, lambda: node.SetViewArrangement(node.SlicerLayoutFourUpPlotView))
    button.click()
    assert manager.layout == red


def test_segmentations_come_back_with_the_layout_menu(followed: Any, scene: Any, ours: Any) -> None:
    show(layout_of(scene), FOUR_UP_LAYOUT)
    showPanels(scene, comparisonSliceNodes(scene), [Panel(small_volume(scene, "FLAIR"), ours)])
    show(layout_of(scene), TWO_UP_LAYOUT)
    assert not ours.GetDisplayNode().IsDisplayableInView(RED)
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert ours.GetDisplayNode().IsDisplayableInView(RED)
    assert ours.GetDisplayNode().GetVisibility()


def test_following_twice_and_stopping_leaves_one_and_no_observer(followed: Any, scene: Any, ours: Any) -> None:
    calls: list[int] = []
    followed.views.update = lambda: calls.append(1)
    followed.views.followLayout(scene)
    calls.clear()
    layout_of(scene).Modified()
    assert calls == [1]
    followed.views.stopFollowing()
    layout_of(scene).Modified()
    assert calls == [1]


def test_new_views_fit_the_image_once_they_have_a_size(followed: Any, scene: Any) -> None:
    import vtk

    show(layout_of(scene), TWO_UP_LAYOUT)
    views = comparisonSliceNodes(scene, 2)
    volume = small_volume(scene, "FLAIR", (60, 50, 40))
    showPanels(scene, views, [Panel(volume)] * 2)
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLScene(scene)
    logic.SetSliceNode(views[0])
    logic.SetSliceCompositeNode(next(c for c in composites(scene) if c.GetLayoutName() == "LCKD1"))
    logics = vtk.vtkCollection()
    logics.AddItem(logic)
    application = slicer.app.applicationLogic()
    before = application.GetSliceLogics()
    application.SetSliceLogics(logics)
    try:
        for view in views:
            view.SetDimensions(200, 100, 1)
        followed.views._fit(views, (30.0, 20.0, 10.0))
    finally:
        application.SetSliceLogics(before)
    width, height = views[0].GetFieldOfView()[:2]
    assert height == pytest.approx(50, rel=0.1)
    assert width == pytest.approx(2 * height)
    assert views[1].GetFieldOfView() == views[0].GetFieldOfView()
    assert [view.GetSliceToRAS().GetElement(2, 3) for view in views] == [10.0, 10.0]


def composites(scene: Any) -> list[Any]:
    kind = "vtkMRMLSliceCompositeNode"
    return [scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind))]
