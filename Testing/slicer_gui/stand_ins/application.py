"""``slicer.app`` and what hangs on it: a real QApplication, a real scene and real logics of slicer-core."""

from __future__ import annotations

import tempfile
from typing import Any, ClassVar

import slicer
from PySide6 import QtCore, QtWidgets
from trame_slicer.core import SlicerApp

from .desktop_tree import keep_tree_like_the_desktop
from .plot_widgets import qMRMLPlotWidget
from .pythonqt import StandInWidget


class qSlicerExtensionsManagerModel(QtCore.QObject, StandInWidget):
    """The extensions: those that a test says are installed."""

    isStandIn: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self._installed: set[str] = set()
        self._onServer: set[str] = set()

    def isExtensionInstalled(self, extensionName: str) -> bool:
        """Whether an extension is installed."""
        return extensionName in self._installed

    def installExtensionFromServer(self, extensionName: str, restart: bool = True, update: bool = False) -> bool:
        """Install an extension, if a test has put it on the server."""
        if extensionName not in self._onServer:
            return False
        self._installed.add(extensionName)
        return True


class qSlicerModuleManager(QtCore.QObject, StandInWidget):
    """The manager of modules, for the signal that a module goes away."""

    isStandIn: ClassVar[bool] = True
    moduleAboutToBeUnloaded = QtCore.Signal(str)


class qSlicerLayoutManager(QtCore.QObject, StandInWidget):
    """The layout of the views, as the layout node of the scene has it; the views themselves are not made.

    For each slice node there is the node that says which volumes are shown, which Slicer's slice views make.
    """

    isStandIn: ClassVar[bool] = True
    layoutChanged = QtCore.Signal(int)

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        super().__init__()
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLScene(scene)
        scene.AddObserver(scene.NodeAddedEvent, lambda *_arguments: self._makeComposites())

    def _makeComposites(self) -> None:
        scene = self.mrmlScene()
        slices, composites = (
            {scene.GetNthNodeByClass(i, kind).GetLayoutName() for i in range(scene.GetNumberOfNodesByClass(kind))}
            for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode")
        )
        for name in slices - composites:
            composite = slicer.vtkMRMLSliceCompositeNode()
            composite.SetLayoutName(name)
            composite.SetSingletonTag(name)
            scene.AddNode(composite)

    def mrmlScene(self) -> slicer.vtkMRMLScene:
        """The scene of the views."""
        return self._logic.GetMRMLScene()

    def layoutLogic(self) -> slicer.vtkMRMLLayoutLogic:
        """The logic that makes the view nodes of a layout."""
        return self._logic

    def setLayout(self, layout: int) -> None:
        """Choose a layout by its number."""
        if layout != self.layout:
            self._logic.GetLayoutNode().SetViewArrangement(layout)
            self.layoutChanged.emit(layout)

    def sliceViewNames(self) -> tuple[str, ...]:
        """The layout names of the slice views of the layout of now."""
        views = self._logic.GetViewNodes()
        nodes = [views.GetItemAsObject(index) for index in range(views.GetNumberOfItems())]
        return tuple(node.GetLayoutName() for node in nodes if node.IsA("vtkMRMLSliceNode"))

    def plotWidget(self, id: int) -> qMRMLPlotWidget:
        """The view of charts with that number in the layout of now."""
        return qMRMLPlotWidget(self._plotViewNodes()[id])

    def _plotViewNodes(self) -> list[slicer.vtkMRMLPlotViewNode]:
        views = self._logic.GetViewNodes()
        nodes = [views.GetItemAsObject(index) for index in range(views.GetNumberOfItems())]
        return [node for node in nodes if node.IsA("vtkMRMLPlotViewNode")]

    plotViewCount = QtCore.Property(int, lambda self: len(self._plotViewNodes()))
    layout = QtCore.Property(int, lambda self: self._logic.GetLayoutNode().GetViewArrangement(), setLayout)


class qSlicerApplication(QtWidgets.QApplication, StandInWidget):
    """The application."""

    isStandIn: ClassVar[bool] = True
    startupCompleted = QtCore.Signal()

    def __init__(self) -> None:
        super().__init__(["Slicer"])
        self.setApplicationName("Slicer")
        self._core = SlicerApp()
        keep_tree_like_the_desktop(self._core.scene)
        self._temporary = tempfile.TemporaryDirectory(prefix="slicer-app-")
        # As Slicer: qt.QSettings() without arguments is the same file.
        self.setOrganizationName("Slicer")
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, self._temporary.name)
        self._settings = QtCore.QSettings()
        # The application logic does not keep it alive.
        self._plotsLogic = self._core.register_module_logic(slicer.vtkSlicerPlotsLogic(), logic_name="Plots")
        self._layoutManager = qSlicerLayoutManager(self._core.scene)
        self._moduleManager = qSlicerModuleManager()
        self._extensions = qSlicerExtensionsManagerModel()
        self._testing = True

    def mrmlScene(self) -> slicer.vtkMRMLScene:
        """The scene."""
        return self._core.scene

    def applicationLogic(self) -> slicer.vtkSlicerApplicationLogic:
        """The logic of the application."""
        return self._core.app_logic

    def moduleLogic(self, moduleName: str) -> Any:
        """The logic of a core module that slicer-core has."""
        return self._core.app_logic.GetModuleLogic(moduleName)

    def settings(self) -> QtCore.QSettings:
        """The user's settings, in a file that goes away with the process."""
        return self._settings

    def userSettings(self) -> QtCore.QSettings:
        """The same as `settings`."""
        return self._settings

    def layoutManager(self) -> qSlicerLayoutManager:
        """The manager of the views."""
        return self._layoutManager

    def moduleManager(self) -> qSlicerModuleManager:
        """The manager of the modules."""
        return self._moduleManager

    def extensionsManagerModel(self) -> qSlicerExtensionsManagerModel:
        """The extensions."""
        return self._extensions

    def testingEnabled(self) -> bool:
        """Whether message boxes are only logged, as when Slicer runs with ``--testing``."""
        return self._testing

    def environment(self) -> QtCore.QProcessEnvironment:
        """The environment of the application."""
        return QtCore.QProcessEnvironment.systemEnvironment()

    temporaryPath = QtCore.Property(str, lambda self: self._temporary.name)
