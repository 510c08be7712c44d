"""The section "Result": how the segmentation is shown, and the volumes of what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from .About import disclaimer
from .Panel import Panel, fillTable, prepareTable, setEnabledWithReason

if TYPE_CHECKING:
    from .Runs import SegmentRun


class ResultSection:
    """Shows one segmentation; what it shows is kept in the segmentation's own nodes."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._run: SegmentRun | None = None
        self._isDividing = False
        ui = panel.ui
        prepareTable(ui.volumesTable, [_("Region"), _("Volume (mL)")])
        ui.resultSelector.addAttribute("vtkMRMLSegmentationNode", "LCKD.Model")
        ui.opacitySlider.connect("valueChanged(double)", self._setOpacity)
        ui.show3DBox.connect("toggled(bool)", self._show3D)

    @property
    def segmentation(self) -> slicer.vtkMRMLSegmentationNode | None:
        """The segmentation that is shown here."""
        return self._panel.parameters.segmentation if self._panel.parameters is not None else None

    def take(self, run: SegmentRun) -> None:
        """Show a new result: over its volume in all slice views, at the tumor."""
        self._run = run
        self._panel.parameters.segmentation = run.segmentation
        showOverVolume(run.segmentation, run.job.inputs[run.segmentation.GetAttribute("LCKD.Grid")])

    def forget(self) -> None:
        """The files of the last run are gone."""
        self._run = None

    def update(self) -> None:
        """Show the segmentation of now, divided as is chosen now."""
        self._divideAnew()
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
        rows = _volumeRows(node) if node is not None else []
        fillTable(ui.volumesTable, [_("Region"), _("Volume (mL)")], rows)
        ui.volumesTable.setVisible(bool(rows))
        ui.resultLabel.text = _origin(node) if node is not None else _("There is no segmentation yet.")

    def _setOpacity(self, opacity: float) -> None:
        from .SegmentationNodes import setOpacity

        if self.segmentation is not None:
            setOpacity(self.segmentation, opacity)

    def _show3D(self, shown: bool) -> None:
        from .SegmentationNodes import showSurface

        if self.segmentation is not None:
            showSurface(self.segmentation, shown)

    def _divideAnew(self) -> None:
        """Divide the result at hand as chosen; one whose files are gone stays as it is."""
        run, parameters = self._run, self._panel.parameters
        if run is None or parameters is None or run.imported is None or run.segmentation is not self.segmentation:
            return
        division = parameters.division.value
        if division == run.division or self._isDividing:
            return
        # Nodes that change meanwhile bring the panel up to date, which would begin it again.
        self._isDividing = True
        if not self._panel.logic.redivide(run, division):
            self._run = None
        self._isDividing = False


def showOverVolume(segmentation: slicer.vtkMRMLSegmentationNode, volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Show a volume in all slice views, and move them to the middle of what is segmented over it."""
    from .Views import jumpToTumor

    scene = segmentation.GetScene()
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")):
        composite = scene.GetNthNodeByClass(index, "vtkMRMLSliceCompositeNode")
        composite.SetBackgroundVolumeID(volume.GetID())
    count = scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")
    jumpToTumor([scene.GetNthNodeByClass(index, "vtkMRMLSliceNode") for index in range(count)], segmentation)


def _volumeRows(node: slicer.vtkMRMLSegmentationNode) -> list[list[str]]:
    """Name and milliliters of each region, from the table that belongs to a segmentation."""
    from .SceneImport import TABLE_ROLE

    table = node.GetNodeReference(TABLE_ROLE)
    if table is None:
        return []
    rows = range(table.GetNumberOfRows())
    return [[table.GetCellText(row, 1), f"{table.GetTable().GetColumn(2).GetValue(row):.2f}"] for row in rows]


def _origin(node: slicer.vtkMRMLSegmentationNode) -> str:
    """From what and by which model a segmentation was made."""
    from lckd.sequences import parse_subset, subset_title

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
            disclaimer(),
        ]
    )
