"""The few widgets of Slicer that show MRML nodes, on real Qt widgets and a real scene."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import shiboken6
import slicer
from PySide6 import QtCore, QtWidgets

from .pythonqt import StandInWidget


class qMRMLWidget(QtWidgets.QWidget, StandInWidget):
    """A widget that has a scene."""

    isStandIn: ClassVar[bool] = True
    cppSignals: ClassVar[dict[str, str]] = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}
    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: slicer.vtkMRMLScene | None = None

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        """The scene, None before one was set."""
        return self._scene

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        """Take a scene and tell the widgets that are connected in the ``.ui``."""
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qMRMLNodeComboBox(QtWidgets.QWidget, StandInWidget):
    """Chooses a node of some classes of the scene, in the order of the scene; hidden nodes are left out."""

    isStandIn: ClassVar[bool] = True
    cppSignals: ClassVar[dict[str, str]] = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "_validNodeChanged",
        "nodeActivated(vtkMRMLNode*)": "nodeActivated",
        "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
    }
    currentNodeChanged = QtCore.Signal(object)
    _validNodeChanged = QtCore.Signal(bool)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeActivated = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: slicer.vtkMRMLScene | None = None
        self._observed: list[tuple[Any, int]] = []
        self._types: list[str] = []
        self._baseName = ""
        self._noneDisplay = "None"
        self._attributes: list[tuple[str, str, str | None]] = []
        self._enabled = dict.fromkeys(("none", "hidden", "childTypes", "selectNew"), False) | {"childTypes": True}
        self._buttons = dict.fromkeys(("add", "remove", "rename", "edit"), True) | {"edit": False, "rename": False}
        self._shown: str | None = ""
        self._combo = QtWidgets.QComboBox()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        # As in qMRMLNodeComboBox::setComboBox: with it, the Tab key passes over the selector.
        self._combo.setFocusProxy(self)
        self._combo.currentIndexChanged.connect(lambda _index: self._tellIfChanged())
        self._combo.activated.connect(lambda _index: self.nodeActivated.emit(self.currentNode()))
        self._typeLabels: dict[str, str] = {}

    def mrmlScene(self) -> slicer.vtkMRMLScene | None:
        """The scene, None before one was set."""
        return self._scene

    def setMRMLScene(self, scene: slicer.vtkMRMLScene | None) -> None:
        """Take a scene and follow what is added to it, removed from it and renamed in it."""
        if scene is self._scene:
            return
        self._stopObserving()
        self._scene = scene
        if scene is not None:
            events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndBatchProcessEvent, scene.EndCloseEvent)
            for event in events:
                self._observed.append((scene, scene.AddObserver(event, self._follower())))
        self._update()

    def _follower(self) -> Callable[..., None]:
        """As in C++, the scene does not keep the widget alive."""
        widget, observed = weakref.ref(self), self._observed

        def follow(*_arguments: Any) -> None:
            if widget() is not None and shiboken6.isValid(widget()):
                widget()._update()
                return
            for subject, tag in observed:
                subject.RemoveObserver(tag)

        return follow

    def _stopObserving(self) -> None:
        for subject, tag in self._observed:
            subject.RemoveObserver(tag)
        self._observed.clear()

    def currentNode(self) -> slicer.vtkMRMLNode | None:
        """The chosen node."""
        identifier = self._combo.currentData
        return self._scene.GetNodeByID(identifier) if self._scene is not None and identifier else None

    def setCurrentNode(self, node: slicer.vtkMRMLNode | str | None) -> None:
        """Choose a node, by itself or by its ID; a node that is not offered means none."""
        identifier = node if isinstance(node, str) or node is None else node.GetID()
        self._combo.setCurrentIndex(self._combo.findData(identifier or ""))

    def setCurrentNodeID(self, identifier: str) -> None:
        """Choose a node by its ID."""
        self.setCurrentNode(identifier)

    def setCurrentNodeIndex(self, index: int) -> None:
        """Choose the node at a place among those offered."""
        self._combo.setCurrentIndex(index + bool(self._enabled["none"]))

    def nodeCount(self) -> int:
        """How many nodes are offered."""
        return self._combo.count - bool(self._enabled["none"])

    def nodeFromIndex(self, index: int) -> slicer.vtkMRMLNode | None:
        """The node at a place among those offered."""
        return self._scene.GetNodeByID(self._combo.itemData(index + bool(self._enabled["none"])))

    def addAttribute(self, nodeType: str, name: str, value: Any = None) -> None:
        """Offer nodes of a class only if they have an attribute (with this value, unless it is None)."""
        self._attributes.append((nodeType, name, None if value is None else str(value)))
        self._update()

    def setNodeTypeLabel(self, label: str, nodeType: str) -> None:
        """Say what a node of a class is called in the items that add and rename."""
        self._typeLabels[nodeType] = label

    def addNode(self, nodeType: str | None = None) -> slicer.vtkMRMLNode:
        """Add a node, as the item "Create new" does."""
        kind = nodeType or self._types[0]
        node = self._scene.CreateNodeByClass(kind)
        node.UnRegister(None)
        for _type, name, value in self._attributes:
            node.SetAttribute(name, value or "")
        node.SetName(self._scene.GenerateUniqueName(self._baseName or node.GetNodeTagName()))
        self._scene.AddNode(node)
        self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        """Remove the chosen node from the scene."""
        self._scene.RemoveNode(self.currentNode())

    def _isOffered(self, node: slicer.vtkMRMLNode) -> bool:
        if node.GetHideFromEditors() and not self._enabled["hidden"]:
            return False
        exact = any(node.GetClassName() == name for name in self._types)
        if not exact and not (self._enabled["childTypes"] and any(node.IsA(name) for name in self._types)):
            return False
        rules = [(name, value) for cls, name, value in self._attributes if node.IsA(cls)]
        return all(
            node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name)) for name, value in rules
        )

    def _update(self) -> None:
        """Offer the nodes of now, keep the choice if it is still there, else choose the first or none."""
        if self._scene is not None and self._scene.IsBatchProcessing():
            return
        nodes = [self._scene.GetNthNode(i) for i in range(self._scene.GetNumberOfNodes())] if self._scene else []
        offered = [node for node in nodes if self._isOffered(node)]
        before = self._combo.currentData
        self._combo.blockSignals(True)
        self._combo.clear()
        if self._enabled["none"]:
            self._combo.addItem(self._noneDisplay, "")
        for node in offered:
            self._combo.addItem(node.GetName(), node.GetID())
        index = self._combo.findData(before or "")
        new = [node.GetID() for node in offered if node.GetID() not in getattr(self, "_offered", [])]
        if self._enabled["selectNew"] and new and hasattr(self, "_offered"):
            index = self._combo.findData(new[-1])
        if index < 0 and not self._enabled["none"] and offered and before is None:
            index = 0
        self._combo.setCurrentIndex(index if index >= 0 or not self._enabled["none"] else 0)
        self._combo.blockSignals(False)
        self._offered = [node.GetID() for node in offered]
        self._tellIfChanged()

    def _tellIfChanged(self) -> None:
        identifier = self._combo.currentData or ""
        if identifier == self._shown:
            return
        self._shown = identifier
        self.currentNodeChanged.emit(self.currentNode())
        self._validNodeChanged.emit(bool(identifier))
        self.currentNodeIDChanged.emit(identifier)

    def _setTypes(self, types: list[str]) -> None:
        self._types = list(types)
        self._update()

    def _setNoneDisplay(self, text: str) -> None:
        self._noneDisplay = text
        self._update()

    def _switch(key: str) -> QtCore.Property:
        def write(self: qMRMLNodeComboBox, value: bool) -> None:
            self._enabled[key] = bool(value)
            self._update()

        return QtCore.Property(bool, lambda self: self._enabled[key], write)

    def _button(key: str) -> QtCore.Property:
        return QtCore.Property(
            bool, lambda self: self._buttons[key], lambda self, value: self._buttons.__setitem__(key, bool(value))
        )

    nodeTypes = QtCore.Property(list, lambda self: tuple(self._types), _setTypes)
    noneDisplay = QtCore.Property(str, lambda self: self._noneDisplay, _setNoneDisplay)
    baseName = QtCore.Property(str, lambda self: self._baseName, lambda self, name: setattr(self, "_baseName", name))
    currentNodeID = QtCore.Property(str, lambda self: self._combo.currentData or "", setCurrentNodeID)
    noneEnabled = _switch("none")
    showHidden = _switch("hidden")
    showChildNodeTypes = _switch("childTypes")
    selectNodeUponCreation = _switch("selectNew")
    addEnabled = _button("add")
    removeEnabled = _button("remove")
    renameEnabled = _button("rename")
    editEnabled = _button("edit")


class qMRMLSegmentsTableView(qMRMLWidget):
    """The table of the segments of a segmentation: name and visibility."""

    isStandIn: ClassVar[bool] = True

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node: slicer.vtkMRMLSegmentationNode | None = None
        self._table = QtWidgets.QTableWidget(0, 1)
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)

    def tableWidget(self) -> QtWidgets.QTableWidget:
        """The table itself."""
        return self._table

    def segmentationNode(self) -> slicer.vtkMRMLSegmentationNode | None:
        """The segmentation shown."""
        return self._node

    def setSegmentationNode(self, node: slicer.vtkMRMLSegmentationNode | None) -> None:
        """Show the segments of a segmentation."""
        self._node = node
        segmentation = node.GetSegmentation() if node is not None else None
        count = segmentation.GetNumberOfSegments() if segmentation is not None else 0
        self._table.setRowCount(count)
        for row in range(count):
            self._table.setItem(row, 0, QtWidgets.QTableWidgetItem(segmentation.GetNthSegment(row).GetName()))

    segmentCount = QtCore.Property(int, lambda self: self._table.rowCount)


WIDGETS = {cls.__name__: cls for cls in (qMRMLWidget, qMRMLNodeComboBox, qMRMLSegmentsTableView)}
