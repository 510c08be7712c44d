"""Slice views that compare: which view shows which image and segmentation, linked, at the tumor.

Everything goes through nodes of the scene; the views themselves belong to the application.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import slicer
import vtk
from slicer.i18n import tr as _

from lckd.errors import UsageError

#: Numbers of the layouts in the application, far from those of Slicer and of most extensions.
TWO_UP_LAYOUT, FOUR_UP_LAYOUT = 8721, 8722
#: Layout names of the slice views for comparison; the application makes their nodes when a layout is first shown.
VIEW_NAMES = ("LCKD1", "LCKD2", "LCKD3", "LCKD4")
#: The slice views for comparison move with each other, not with those of the user, which are of group 0 or 1.
VIEW_GROUP = 87
_VIEW_COLOR = "#7A6FAC"
_ROWS = {TWO_UP_LAYOUT: [VIEW_NAMES[:2]], FOUR_UP_LAYOUT: [VIEW_NAMES[:2], VIEW_NAMES[2:]]}
#: Attributes of the layout node: the layout that this module showed last, and the user's before it.
_SHOWN, _FORMER = "LCKD.ShownLayout", "LCKD.FormerLayout"


@dataclass(frozen=True)
class Panel:
    """What one slice view shows: an image, a segmentation over it, and a name for the corner."""

    background: slicer.vtkMRMLScalarVolumeNode
    segmentation: slicer.vtkMRMLSegmentationNode | None = None
    label: str = ""


def registerLayouts(layoutNode: slicer.vtkMRMLLayoutNode) -> None:
    """Make the two-up and the four-up layout known, and show the one that a loaded scene was saved in.

    To be called when the application starts and when a scene was loaded; again is harmless.
    """
    for number, rows in _ROWS.items():
        layoutNode.AddLayoutDescription(number, layoutDescription(rows))
    if layoutNode.GetScene() is not None:
        # A scene file holds the group of a view as true or false only.
        for sliceNode in comparisonSliceNodes(layoutNode.GetScene()):
            sliceNode.SetViewGroup(VIEW_GROUP)
    if isSideBySide(layoutNode) and not layoutNode.GetCurrentLayoutDescription():
        layoutNode.SetViewArrangement(layoutNode.GetViewArrangement())


def layoutOf(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLLayoutNode:
    """Return the node that says which views are shown.

    :raises UsageError: the application has no views
    """
    layoutNode = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if layoutNode is None:
        raise _noViews()
    return layoutNode


def isSideBySide(layoutNode: slicer.vtkMRMLLayoutNode) -> bool:
    """Return whether a layout for comparison is shown."""
    return layoutNode.GetViewArrangement() in _ROWS


def isChanged(layoutNode: slicer.vtkMRMLLayoutNode) -> bool:
    """Return whether a layout is shown that this module chose, so that there is a way back to the user's."""
    return isSideBySide(layoutNode) or layoutNode.GetAttribute(_SHOWN) == str(layoutNode.GetViewArrangement())


def changeLayout(layoutNode: slicer.vtkMRMLLayoutNode, change: Callable[[], object]) -> None:
    """Do something that shows another layout, and remember the user's one before for `showFormerLayout`."""
    before, wasChanged = layoutNode.GetViewArrangement(), isChanged(layoutNode)
    change()
    after = layoutNode.GetViewArrangement()
    if after != before:
        if not wasChanged:
            layoutNode.SetAttribute(_FORMER, str(before))
        layoutNode.SetAttribute(_SHOWN, str(after))


def showSideBySide(layoutNode: slicer.vtkMRMLLayoutNode, number: int) -> None:
    """Show a layout for comparison; no view stays maximized."""
    registerLayouts(layoutNode)
    layoutNode.RemoveAllMaximizedViewNodes()
    changeLayout(layoutNode, lambda: layoutNode.SetViewArrangement(number))


def showFormerLayout(layoutNode: slicer.vtkMRMLLayoutNode) -> None:
    """Show the layout before the first one that this module chose; four views if that is not known."""
    former = int(layoutNode.GetAttribute(_FORMER) or slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    isKnown = layoutNode.IsLayoutDescription(former)
    layoutNode.RemoveAllMaximizedViewNodes()
    layoutNode.SetViewArrangement(former if isKnown else slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)


def layoutDescription(rows: Sequence[Sequence[str]]) -> str:
    """Return a layout of axial slice views as XML: rows of the views' layout names."""
    items = "".join(f"<item>{_row(names)}</item>" for names in rows)
    return f'<layout type="vertical" split="true">{items}</layout>'


def comparisonSliceNodes(scene: slicer.vtkMRMLScene, count: int = len(VIEW_NAMES)) -> list[slicer.vtkMRMLSliceNode]:
    """Return the slice nodes of the first `count` views for comparison that exist, in their order."""
    found = {node.GetLayoutName(): node for node in _nodesOf(scene, "vtkMRMLSliceNode")}
    return [found[name] for name in VIEW_NAMES[:count] if name in found]


def showPanels(
    scene: slicer.vtkMRMLScene, sliceNodes: Sequence[slicer.vtkMRMLSliceNode], panels: Sequence[Panel]
) -> None:
    """Show one panel in each slice view, in the same orientation, at the same place, linked.

    A segmentation of a panel is shown in the views of its panels only, and in 3-D views as before. Views for
    comparison without a panel are emptied.

    :param sliceNodes: at least as many as panels
    :raises UsageError: there are fewer views than panels
    """
    if len(sliceNodes) < len(panels) or not sliceNodes:
        raise _noViews()
    composites = [compositeOf(scene, sliceNode) for sliceNode in sliceNodes]
    used = sliceNodes[: len(panels)]
    for sliceNode in comparisonSliceNodes(scene):
        if sliceNode not in used:
            _setVolume(compositeOf(scene, sliceNode), None)
            sliceNode.SetLayoutLabel(sliceNode.GetLayoutName()[-1])
    views: dict[str, list[str]] = {}
    for sliceNode, composite, panel in zip(sliceNodes, composites, panels, strict=False):
        sliceNode.SetViewGroup(VIEW_GROUP)
        _setVolume(composite, panel.background.GetID())
        if panel.label:
            sliceNode.SetLayoutLabel(panel.label)
        if panel.segmentation is not None:
            views.setdefault(panel.segmentation.GetID(), []).append(sliceNode.GetID())
    for segmentationID, viewIDs in views.items():
        showOnlyIn(scene, scene.GetNodeByID(segmentationID), viewIDs)
    linkSlices(scene, sliceNodes)
    alignWithFirst(sliceNodes)


def showAlone(segmentation: slicer.vtkMRMLSegmentationNode) -> None:
    """Show a segmentation in all views and hide the others that this module made; those of the user stay."""
    for node in _ourSegmentations(segmentation.GetScene()):
        if node is not segmentation:
            node.GetDisplayNode().SetVisibility(False)
    showEverywhere(segmentation)
    segmentation.GetDisplayNode().SetVisibility(True)


def showOnlyIn(
    scene: slicer.vtkMRMLScene, segmentation: slicer.vtkMRMLSegmentationNode, sliceViewIDs: Sequence[str]
) -> None:
    """Show a segmentation in these slice views and in all 3-D views."""
    display = segmentation.GetDisplayNode()
    modifying = display.StartModify()
    display.RemoveAllViewNodeIDs()
    for viewID in (*sliceViewIDs, *(node.GetID() for node in _nodesOf(scene, "vtkMRMLViewNode"))):
        display.AddViewNodeID(viewID)
    display.SetVisibility(True)
    display.EndModify(modifying)


def showEverywhere(segmentation: slicer.vtkMRMLSegmentationNode) -> None:
    """Show a segmentation in all views again."""
    segmentation.GetDisplayNode().RemoveAllViewNodeIDs()


def leaveSideBySide(scene: slicer.vtkMRMLScene) -> None:
    """Show what was shown in views for comparison only in all views again: the first one, the others hidden.

    Hidden, since several segmentations over each other in one view cannot be told apart.
    """
    viewIDs = [sliceNode.GetID() for sliceNode in comparisonSliceNodes(scene)]
    limited: dict[slicer.vtkMRMLSegmentationNode, int] = {}
    for node in _ourSegmentations(scene):
        places = [place for place, one in enumerate(viewIDs) if node.GetDisplayNode().IsViewNodeIDPresent(one)]
        if places:
            limited[node] = places[0]
    first = min(limited, key=lambda node: limited[node], default=None)
    for node in limited:
        if node is not first:
            node.GetDisplayNode().SetVisibility(False)
        showEverywhere(node)


def linkSlices(scene: slicer.vtkMRMLScene, sliceNodes: Sequence[slicer.vtkMRMLSliceNode], linked: bool = True) -> None:
    """Let slice views move together also while the mouse moves; what they show stays their own."""
    for sliceNode in sliceNodes:
        composite = compositeOf(scene, sliceNode)
        composite.SetLinkedControl(linked)
        composite.SetHotLinkedControl(linked)


def allSliceNodes(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSliceNode]:
    """Return the slice views of all layouts."""
    return list(_nodesOf(scene, "vtkMRMLSliceNode"))


def jumpToTumor(
    sliceNodes: Sequence[slicer.vtkMRMLSliceNode], segmentation: slicer.vtkMRMLSegmentationNode
) -> tuple[float, float, float] | None:
    """Move slices to the center of what is segmented and return it (world RAS, mm); None if nothing is."""
    center = tumorCenter(segmentation)
    jumpTo(sliceNodes, center)
    return center


def jumpTo(sliceNodes: Sequence[slicer.vtkMRMLSliceNode], center: tuple[float, float, float] | None) -> None:
    """Show the slices through a point (world RAS, mm), if there is one.

    They are not centered there: the image would be cut off at the other side.
    """
    for sliceNode in sliceNodes if center is not None else ():
        sliceNode.JumpSliceByOffsetting(*center)


def tumorCenter(segmentation: slicer.vtkMRMLSegmentationNode) -> tuple[float, float, float] | None:
    """Return the segmented voxel nearest to the centroid of what is segmented (world RAS, mm); None if nothing is.

    A voxel, since the centroid of a ring lies where nothing is segmented.
    """
    import numpy as np
    from vtk.util.numpy_support import vtk_to_numpy

    merged = slicer.vtkOrientedImageData()
    allSegments = vtk.vtkStringArray()
    segmentation.GetSegmentation().GetSegmentIDs(allSegments)
    extent = slicer.vtkSegmentation.EXTENT_UNION_OF_EFFECTIVE_SEGMENTS
    segmentation.GenerateMergedLabelmapForAllSegments(merged, extent, None, allSegments)
    scalars = merged.GetPointData().GetScalars()
    if scalars is None or scalars.GetNumberOfTuples() == 0:
        return None
    indices = np.argwhere(vtk_to_numpy(scalars).reshape(merged.GetDimensions()[::-1]))
    if not len(indices):
        return None
    nearest = indices[np.argmin(((indices - indices.mean(axis=0)) ** 2).sum(axis=1))]
    start = merged.GetExtent()[::2]
    toRas = vtk.vtkMatrix4x4()
    merged.GetImageToWorldMatrix(toRas)
    local = toRas.MultiplyPoint((*(float(first + index) for first, index in zip(start, nearest[::-1], strict=True)), 1))
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(segmentation.GetParentTransformNode(), None, transform)
    return tuple(transform.TransformPoint(local[:3]))


def compositeOf(scene: slicer.vtkMRMLScene, sliceNode: slicer.vtkMRMLSliceNode) -> slicer.vtkMRMLSliceCompositeNode:
    """Return the node that says which volumes a slice view shows.

    :raises UsageError: the view was not made
    """
    name = sliceNode.GetLayoutName()
    for node in _nodesOf(scene, "vtkMRMLSliceCompositeNode"):
        if node.GetLayoutName() == name:
            return node
    raise _noViews()


def alignWithFirst(sliceNodes: Sequence[slicer.vtkMRMLSliceNode]) -> None:
    """Show the same place at the same size as the first slice view."""
    first, *others = sliceNodes
    for other in others:
        other.GetSliceToRAS().DeepCopy(first.GetSliceToRAS())
        other.SetFieldOfView(*first.GetFieldOfView())
        other.UpdateMatrices()


def _setVolume(composite: slicer.vtkMRMLSliceCompositeNode, volumeID: str | None) -> None:
    """Show this volume and no other one; None: show none."""
    composite.SetBackgroundVolumeID(volumeID)
    composite.SetForegroundVolumeID(None)
    composite.SetLabelVolumeID(None)


def _ourSegmentations(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSegmentationNode]:
    """Those that this module made and that can be shown."""
    return [
        node
        for node in _nodesOf(scene, "vtkMRMLSegmentationNode")
        if (node.GetAttribute("LCKD.Model") or node.GetAttribute("LCKD.Difference")) and node.GetDisplayNode()
    ]


def _noViews() -> UsageError:
    return UsageError(
        "NO_SLICE_VIEWS",
        _("There are not enough slice views to show the segmentations in."),
        _("Open the main window of 3D Slicer and try again."),
    )


def _nodesOf(scene: slicer.vtkMRMLScene, className: str) -> list[slicer.vtkMRMLNode]:
    return [scene.GetNthNodeByClass(index, className) for index in range(scene.GetNumberOfNodesByClass(className))]


def _row(names: Sequence[str]) -> str:
    return f'<layout type="horizontal" split="true">{"".join(f"<item>{_view(name)}</item>" for name in names)}</layout>'


def _view(name: str) -> str:
    properties = {
        "orientation": "Axial",
        "viewlabel": name[-1],
        "viewcolor": _VIEW_COLOR,
        "viewgroup": VIEW_GROUP,
    }
    inside = "".join(f'<property name="{key}" action="default">{value}</property>' for key, value in properties.items())
    return f'<view class="vtkMRMLSliceNode" singletontag="{name}">{inside}</view>'
