"""A real MRML scene with real displayable managers, rendered offscreen, without Slicer's desktop.

slicer-core is Slicer's own C++; what it lacks, the translation of Slicer's Python layer, gives the text back.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from trame_slicer.core import SlicerApp
from trame_slicer.views import DirectViewFactory, SliceView, ThreeDView, ViewLayoutDefinition

sys.path.append(str(Path(__file__).parents[1] / "slicer_gui"))

from stand_ins.desktop_tree import keep_tree_like_the_desktop

_translation = types.ModuleType("slicer.i18n")
_translation.tr = lambda text: text
sys.modules.setdefault("slicer.i18n", _translation)


def start_application() -> SlicerApp:
    """Slicer's scene and logic; views are rendered offscreen."""
    application = SlicerApp()
    keep_tree_like_the_desktop(application.scene)
    application.view_manager.register_factory(DirectViewFactory(do_render_offscreen=True))
    return application


def slice_view(
    application: SlicerApp, name: str, orientation: str, size: tuple[int, int], background: object
) -> SliceView:
    """A slice view of `size` (width, height) pixels, its node called `name`, that shows a volume.

    To be made before anything lies over the volume: trame-slicer draws in the order of making, where Slicer's desktop
    draws the image first.
    """
    view = application.view_manager.create_view(ViewLayoutDefinition.slice_view(orientation, label=name))
    view.render_window().SetSize(*size)
    view.render()
    view.set_background_volume_id(background.GetID())
    view.fit_view_to_content()
    return view


def threed_view(application: SlicerApp, size: tuple[int, int]) -> ThreeDView:
    """A 3-D view of `size` (width, height) pixels."""
    view = application.view_manager.create_view(ViewLayoutDefinition.threed_view())
    # As in Slicer's desktop; with samples, translucent surfaces are not drawn.
    view.render_window().SetMultiSamples(0)
    view.render_window().SetSize(*size)
    view.render()
    return view


def picture(view: SliceView | ThreeDView) -> np.ndarray:
    """What the view shows: colors (height, width, 3), 0 to 255, top row first."""
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    view.render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(view.render_window())
    grab.SetInputBufferTypeToRGB()
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    width, height, _one = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[::-1]


def node_ids(scene: object) -> set[str]:
    """The IDs of all nodes of a scene."""
    return {scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())}


def items_below(tree: object, item: int) -> list[str]:
    """The names of all items below one of the subject hierarchy."""
    import vtk

    found = vtk.vtkIdList()
    tree.GetItemChildren(item, found, True)
    return [tree.GetItemName(found.GetId(index)) for index in range(found.GetNumberOfIds())]


def all_close(first: Iterable[Iterable[float]], second: Iterable[Iterable[float]]) -> bool:
    """Whether two matrices are equal but for the rounding of a few operations."""
    return bool(np.allclose(np.asarray(first), np.asarray(second), rtol=0, atol=1e-10))
