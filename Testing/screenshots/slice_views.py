"""Slice views of a scene, rendered offscreen by Slicer's own displayable managers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


class SliceViews:
    """Some slice views, to be made before anything lies over a volume.

    :param core: the scene and its logic
    :param views: orientation and size (width, height) in pixels by layout name
    :param volume: what they show at first
    """

    def __init__(self, core: Any, views: Mapping[str, tuple[str, tuple[int, int]]], volume: Any) -> None:
        from real_scene import slice_view
        from trame_slicer.views import DirectViewFactory

        core.view_manager.register_factory(DirectViewFactory(do_render_offscreen=True))
        self._scene = core.scene
        self._views = {name: slice_view(core, name, kind, size, volume) for name, (kind, size) in views.items()}

    def pictures(self, names: Iterable[str], field_of_view: float) -> list[np.ndarray]:
        """Pictures of views, colors (height, width, 3), all of them so many mm wide."""
        from real_scene import picture

        for name in names:
            node = self._scene.GetNodeByID(f"vtkMRMLSliceNode{name}")
            width, height = self._views[name].render_window().GetSize()
            node.SetFieldOfView(field_of_view, field_of_view * height / width, node.GetFieldOfView()[2])
        return [picture(self._views[name]).copy() for name in names]
