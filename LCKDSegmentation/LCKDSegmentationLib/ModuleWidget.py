"""What the widgets of both modules are to Slicer: they hold a panel, and keep it with the scene's parameter sets."""

from __future__ import annotations

import importlib
import sys
from typing import Any, ClassVar

import qt
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin


class ModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Puts a panel into Slicer.

    A module gives it `makeLogic`, `makePanel` and `isUntouched`. Its logic has ``wrap``, which returns the typed
    parameters of a node; its panel has ``setScene``, ``setParameters``, ``enter``, ``exit``, ``closeScene``,
    ``cleanUp``, the parameters that are shown in ``panel.parameters``, and a ``ui.parameterNodeSelector``.
    """

    #: The packages that are read anew when the module is reloaded.
    reloaded: ClassVar[tuple[str, ...]] = ()

    def __init__(self, parent: slicer.qMRMLWidget | None = None) -> None:
        # Before the other one, which calls setup() where it is given no parent.
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def makeLogic(self) -> Any:
        """Return the module's logic."""
        raise NotImplementedError

    def makePanel(self) -> Any:
        """Return the module's panel, which works with `logic`."""
        raise NotImplementedError

    def isUntouched(self, parameters: Any) -> bool:
        """Whether nothing is chosen in these parameters, so that those of a scene that is loaded may replace them."""
        raise NotImplementedError

    def setup(self) -> None:
        """Build the panel when the module is opened for the first time."""
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = self.makeLogic()
        self.panel = self.makePanel()
        self.panel.setScene(slicer.mrmlScene)
        self.layout.addWidget(self.panel)
        self.layout.addStretch(1)
        self.panel.ui.parameterNodeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self.onParameterNodeChosen)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        slicer.app.connect("aboutToQuit()", self.panel.cleanUp)
        self.showParameters()

    def enter(self) -> None:
        """The user opens this module."""
        self.showParameters()
        self.panel.enter()

    def exit(self) -> None:
        """The user opens another module; what is under way goes on."""
        self.panel.exit()

    def cleanup(self) -> None:
        """The module goes away."""
        self.removeObservers()
        slicer.app.disconnect("aboutToQuit()", self.panel.cleanUp)
        selector = self.panel.ui.parameterNodeSelector
        selector.disconnect("currentNodeChanged(vtkMRMLNode*)", self.onParameterNodeChosen)
        self.panel.cleanUp()

    def onReload(self) -> None:
        """Reload the files of the module, of its library and of the engine's parts that the application uses.

        The parameter set that is chosen is shown again.
        """
        shown = self.panel.panel.parameters
        for name in [name for name in sys.modules if name.partition(".")[0] in self.reloaded]:
            del sys.modules[name]
        importlib.invalidate_caches()
        ScriptedLoadableModuleWidget.onReload(self)
        anew = getattr(slicer.modules, f"{self.moduleName}Widget")
        if self.parent.isEntered:
            # Slicer makes a new widget, but does not tell it that the module is open.
            anew.enter()
        if shown is not None:
            anew.show(shown.parameterNode)

    def onParameterNodeChosen(self, node: slicer.vtkMRMLScriptedModuleNode | None) -> None:
        """The user chooses another parameter set, or has deleted the last one."""
        if slicer.mrmlScene.IsClosing() or slicer.mrmlScene.IsBatchProcessing():
            return
        shown = self.panel.panel.parameters
        if node is None:
            self.panel.setParameters(None)
            # Not now, while the last one is being deleted.
            qt.QTimer.singleShot(0, self.showParametersIfEntered)
        elif shown is None or shown.parameterNode is not node:
            self.panel.setParameters(self.logic.wrap(node))

    def onSceneStartClose(self, _caller: object = None, _event: str = "") -> None:
        """The scene is about to be closed."""
        self.panel.closeScene()

    def onSceneEndClose(self, _caller: object = None, _event: str = "") -> None:
        """The scene was closed: begin anew, if the module is open and no other scene is being loaded."""
        if not slicer.mrmlScene.IsBatchProcessing():
            self.showParametersIfEntered()

    def onSceneEndImport(self, _caller: object = None, _event: str = "") -> None:
        """A scene was loaded: show the parameters saved in it, unless something is chosen in those on screen."""
        shown = self.panel.panel.parameters
        saved = self.logic.getAllParameterNodes()
        if saved and (shown is None or self.isUntouched(shown)):
            self.show(saved[-1])
        else:
            self.showParametersIfEntered()

    def showParametersIfEntered(self) -> None:
        """Show parameters if the user has this module open; else when it is opened next."""
        if self.parent.isEntered:
            self.showParameters()

    def show(self, node: slicer.vtkMRMLScriptedModuleNode) -> None:
        """Show a parameter set."""
        self.panel.setParameters(self.logic.wrap(node))
        self.panel.ui.parameterNodeSelector.setCurrentNode(node)

    def showParameters(self) -> None:
        """Show the parameter set that is chosen; the first one, made if there is none, where none is."""
        shown = self.panel.panel.parameters
        if shown is None or shown.parameterNode.GetScene() is None:
            self.show(self.logic.getParameterNode().parameterNode)
