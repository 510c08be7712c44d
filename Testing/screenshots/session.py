"""A session of the module without Slicer's desktop: its panel, real views, the real worker.

Views are Slicer's own displayable managers, rendered offscreen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from panel_session import PanelSession, application
from slice_views import SliceViews

#: Size (width, height) of views, in pixels.
LARGE, SMALL = (440, 420), (440, 318)
#: Width of what slice views show, in mm.
FIELD_OF_VIEW = 175.0
#: Slice views by layout name. Those of Slicer's standard layout (Red, …) belong to the stand-in of its layout manager.
SLICES = {name: name for name in ("Axial", "Sagittal", "Coronal")}
COMPARED = {"LCKD1": "Axial", "LCKD2": "Axial"}


class Session(PanelSession):
    """The sample case in a scene with its views, and the panel.

    Attributes:
        volumes: the volumes of the sample case by sequence.
    """

    def __init__(self) -> None:
        app = application()
        import slicer
        import slicer.i18n  # before real_scene brings its own
        from real_scene import threed_view

        from LCKDSegmentationLib.SampleCase import loadSampleCase

        self.scene = slicer.mrmlScene
        self.volumes = loadSampleCase(self.scene)
        sizes = {name: (kind, LARGE) for name, kind in SLICES.items()}
        sizes |= {name: (kind, SMALL) for name, kind in COMPARED.items()}
        self._views = SliceViews(app._core, sizes, self.volumes["t1c"])
        self._space = threed_view(app._core, LARGE)
        super().__init__(*segmentation_panel())

    def slices(self, names: Iterable[str] = SLICES) -> list[np.ndarray]:
        """Pictures of slice views, zoomed alike."""
        return self._views.pictures(names, FIELD_OF_VIEW)

    def space(self) -> np.ndarray:
        """A picture of the 3-D view."""
        from real_scene import picture

        self._space.reset_view()
        return picture(self._space).copy()


def segmentation_panel() -> tuple[Any, str, type, tuple[str, ...]]:
    """The panel of the module that segments, and what `PanelSession` wants to know about it."""
    from panel_parts import FakeDialogs, FakeRequirements, real_client

    from LCKDSegmentationLib.Logic import SegmentationLogic
    from LCKDSegmentationLib.Parameters import MODULE_NAME, SegmentationParameters
    from LCKDSegmentationLib.Widget import SegmentationWidget

    widget = SegmentationWidget(SegmentationLogic(real_client()), FakeDialogs(), FakeRequirements())
    return widget, MODULE_NAME, SegmentationParameters, ("sequences", "model", "result", "compare", "batch")


@contextmanager
def opened() -> Iterator[Session]:
    """A session, whose worker and files are gone afterwards."""
    session = Session()
    try:
        yield session
    finally:
        session.widget.cleanUp()
