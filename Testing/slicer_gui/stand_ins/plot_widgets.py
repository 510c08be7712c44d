"""The views of charts, as far as pictures are taken of them: what they draw are the titles of their charts."""

from __future__ import annotations

from typing import ClassVar

import slicer
import vtk
from PySide6 import QtWidgets

from .pythonqt import StandInWidget

SIZE = (160, 120)


class qMRMLPlotView(QtWidgets.QWidget, StandInWidget):
    """What shows the chart: a real window of VTK, offscreen, with the title of the chart in it."""

    isStandIn: ClassVar[bool] = True
    cppSignals: ClassVar[dict[str, str]] = {}

    def __init__(self, node: slicer.vtkMRMLPlotViewNode) -> None:
        super().__init__()
        chart = node.GetPlotChartNode()
        text = vtk.vtkTextActor()
        text.SetInput(chart.GetTitle() if chart is not None else "")
        renderer = vtk.vtkRenderer()
        renderer.AddViewProp(text)
        renderer.SetBackground(1.0, 1.0, 1.0)
        text.GetTextProperty().SetColor(0.0, 0.0, 0.0)
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(True)
        self._window.SetSize(*SIZE)
        self._window.AddRenderer(renderer)

    def renderWindow(self) -> vtk.vtkRenderWindow:
        """The window that is drawn into."""
        return self._window


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
