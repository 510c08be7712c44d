"""The section "Result": how the segmentation is shown, and the volumes of what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from .About import disclaimer
from .Panel import Panel, fillTable, prepareTable, setEnabledWithReason

if TYPE_CHECKING:
    from .Parameters import SegmentationParameters
    from .Runs import SegmentRun

STATUS_MILLISECONDS = 10000


class ResultSection:
    """Shows one segmentation; what it shows is kept in the segmentation's own nodes."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        ui = panel.ui
        prepareTable(ui.volumesTable, [_("Region"), _("Volume (mL)")], shownRows=5)
        ui.resultSelector.addAttribute("vtkMRMLSegmentationNode", "LCKD.Model")
        ui.opacitySlider.connect("valueChanged(double)", self._setOpacity)
        ui.show3DBox.connect("toggled(bool)", self._show3D)
        ui.divisionSelector.connect("activated(int)", self._divideAnew)
        ui.resultSelector.connect("nodeActivated(vtkMRMLNode*)", self._showChosen)

    @property
    def segmentation(self) -> slicer.vtkMRMLSegmentationNode | None:
        """The segmentation that is shown here."""
        return self._panel.parameters.segmentation if self._panel.parameters is not None else None

    def take(self, run: SegmentRun, parameters: SegmentationParameters) -> None:
        """Keep a new result in the parameter set it was made from, and show it, if that is the one on screen."""
        if parameters.parameterNode.GetScene() is not None:
            parameters.segmentation = run.segmentation
        shown = self._panel.parameters
        if shown is None or shown.parameterNode is not parameters.parameterNode:
            return
        if self._panel.isEntered:
            showOverVolume(run.segmentation, run.job.inputs[run.segmentation.GetAttribute("LCKD.Grid")])
        else:
            slicer.util.showStatusMessage(_("The tumor segmentation is done."), STATUS_MILLISECONDS)

    def update(self) -> None:
        """Show the segmentation of now."""
        from .TumorSegments import countAnew

        node, ui = self.segmentation, self._panel.ui
        display = node.GetDisplayNode() if node is not None else None
        problem = "" if display is not None else _("There is no segmentation yet.")
        setEnabledWithReason(ui.opacitySlider, problem, _("How much the segments hide the image in slices."))
        setEnabledWithReason(ui.show3DBox, problem, _("Show the segments as surfaces in the 3-D views."))
        if display is not None:
            ui.opacitySlider.blockSignals(True)
            ui.opacitySlider.value = display.GetOpacity2DFill()
            ui.opacitySlider.blockSignals(False)
            ui.show3DBox.blockSignals(True)
            ui.show3DBox.checked = bool(display.GetVisibility3D())
            ui.show3DBox.blockSignals(False)
        else:
            ui.show3DBox.blockSignals(True)
            ui.show3DBox.checked = False
            ui.show3DBox.blockSignals(False)
        isCounted = node is None or countAnew(node)
        rows = _volumeRows(node) if node is not None else []
        fillTable(ui.volumesTable, [_("Region"), _("Volume (mL)")], rows)
        ui.volumesTable.setVisible(bool(rows))
        ui.resultLabel.text = _origin(node, isCounted) if node is not None else _("There is no segmentation yet.")

    def _setOpacity(self, opacity: float) -> None:
        from .SegmentationNodes import setOpacity

        if self.segmentation is not None:
            setOpacity(self.segmentation, opacity)

    def _show3D(self, shown: bool) -> None:
        from .SegmentationNodes import showSurface

        if self.segmentation is not None:
            showSurface(self.segmentation, shown)

    def _divideAnew(self, _index: int) -> None:
        """The user chooses another division: the segmentation at hand follows, with the user's corrections in it."""
        from .TumorSegments import divideAnew

        node, parameters = self.segmentation, self._panel.parameters
        if node is not None and node.GetAttribute("LCKD.Model"):
            self._panel.try_(lambda: divideAnew(node, parameters.division.value))
            self._panel.changed()

    def _showChosen(self, node: slicer.vtkMRMLSegmentationNode | None) -> None:
        """The user chooses a segmentation: one wants to see it."""
        from .Views import showAlone

        if node is not None:
            showAlone(node)


def showOverVolume(segmentation: slicer.vtkMRMLSegmentationNode, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show a volume in all slice views, and move them to the middle of what is segmented over it."""
    from .Views import allSliceNodes, jumpToTumor, showAlone

    showAlone(segmentation)
    scene = segmentation.GetScene()
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        composite = scene.GetNthNodeByClass(index, "vtkMRMLSliceCompositeNode")
        composite.SetBackgroundVolumeID(volume.GetID())
    jumpToTumor(allSliceNodes(scene), segmentation)


def _volumeRows(node: slicer.vtkMRMLSegmentationNode) -> list[list[str]]:
    """Name and milliliters of each region, from the table that belongs to a segmentation."""
    from .OwnedNodes import TABLE_ROLE

    table = node.GetNodeReference(TABLE_ROLE)
    if table is None:
        return []
    rows = range(table.GetNumberOfRows())
    return [[table.GetCellText(row, 1), f"{table.GetTable().GetColumn(2).GetValue(row):.2f}"] for row in rows]


def _origin(node: slicer.vtkMRMLSegmentationNode, isCounted: bool) -> str:
    """From what and by which model a segmentation was made, and whether the user has changed it.

    :param isCounted: whether the table holds the volumes of the segments as they are now
    """
    from lckd.sequences import parse_subset, subset_title

    from .TumorSegments import isUnchanged

    def title(attribute: str) -> str:
        names = node.GetAttribute(attribute) or ""
        return subset_title(parse_subset(names)) if names else _("none")

    return "\n".join(
        [
            _("From {sequences}; imputed: {imputed}; model: {model}.").format(
                sequences=title("LCKD.Subset"),
                imputed=title("LCKD.Imputed"),
                model=node.GetAttribute("LCKD.Model") or _("unknown"),
            ),
            *([_("No tumor was found.")] if node.GetAttribute("LCKD.Empty") == "1" else []),
            *([] if isUnchanged(node) else [_changeWords(isCounted)]),
            disclaimer(),
        ]
    )


def _changeWords(isCounted: bool) -> str:
    if isCounted:
        return _("Changed by hand; the volumes are those of the changed segmentation.")
    return _("Changed by hand; the volumes are still those from before, as the segments or their image are others now.")
