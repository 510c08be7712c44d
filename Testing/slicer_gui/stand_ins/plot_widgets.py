"""The views of charts, as far as pictures are taken of them: what they draw are the titles of their charts."""

from __future__ import annotations

from typing import ClassVar

import slicer
import vtk
from PySide6 import QtWidgets

from .pythonqt import StandInWidget

SIZE = (160, 120)
#: What each view draws, by the address of its node: it stays while the layouts change.
_drawings: dict[str, tuple[vtk.vtkContextView, vtk.vtkChartXY]] = {}


class qMRMLPlotView(QtWidgets.QWidget, StandInWidget):
    """What shows the chart: a real chart of VTK, offscreen, with the title and the bars of the chart node."""

    isStandIn: ClassVar[bool] = True
    cppSignals: ClassVar[dict[str, str]] = {}

    def __init__(self, node: slicer.vtkMRMLPlotViewNode) -> None:
        super().__init__()
        view, self._chart = _drawings.setdefault(node.GetAddressAsString(""), (vtk.vtkContextView(), vtk.vtkChartXY()))
        self._window = view.GetRenderWindow()
        self._window.SetOffScreenRendering(True)
        self._window.SetSize(*SIZE)
        if view.GetScene().GetNumberOfItems() == 0:
            view.GetScene().AddItem(self._chart)
        view.GetRenderer().SetBackground(1.0, 1.0, 1.0)
        shown = node.GetPlotChartNode()
        self._chart.SetTitle((shown.GetTitle() if shown is not None else None) or "")
        self._chart.ClearPlots()
        for index in range(shown.GetNumberOfPlotSeriesNodes() if shown is not None else 0):
            series = shown.GetNthPlotSeriesNode(index)
            bars, values = self._chart.AddPlot(vtk.vtkChart.BAR), series.GetYColumnName()
            bars.SetUseIndexForXSeries(True)
            bars.SetInputData(series.GetTableNode().GetTable(), values, values)

    def renderWindow(self) -> vtk.vtkRenderWindow:
        """The window that is drawn into."""
        return self._window

    def chart(self) -> vtk.vtkChartXY:
        """What is drawn, with its axes."""
        return self._chart


class qMRMLPlotWidget(QtWidgets.QWidget, StandInWidget):
    """A view of charts with its node."""

    isStandIn: ClassVar[bool] = True
    cppSignals: ClassVar[dict[str, str]] = {}

    def __init__(self, node: slicer.vtkMRMLPlotViewNode) -> None:
        super().__init__()
        self._node = node
        self._view = qMRMLPlotView(node)

    def mrmlPlotViewNode(self) -> slicer.vtkMRMLPlotViewNode:
        """The node that says which chart is shown."""
        return self._node

    def plotView(self) -> qMRMLPlotView:
        """What shows the chart."""
        return self._view
