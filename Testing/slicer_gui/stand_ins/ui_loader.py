"""``qt.QUiLoader`` for ``.ui`` files with widgets of CTK and qMRML."""

from __future__ import annotations

from typing import Any, ClassVar
from xml.etree import ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from .pythonqt import StandInWidget, childAttributesIgnored


class QUiLoader(QtUiTools.QUiLoader):
    """Makes the stand-ins for classes that Qt does not know, with their properties and connections."""

    standIns: ClassVar[dict[str, type[QtWidgets.QWidget]]] = {}

    def load(self, device: QtCore.QIODevice, parent: QtWidgets.QWidget | None = None) -> QtWidgets.QWidget:
        """Load a ``.ui``; Qt itself sees only what it can handle, the rest is done here afterwards."""
        root = ElementTree.fromstring(bytes(device.readAll().data()))
        later = self._takeProperties(root)
        connections = _takeConnections(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        with childAttributesIgnored():
            widget = super().load(buffer, parent)
        if widget is None:
            return widget
        found = {child.objectName: child for child in [widget, *widget.findChildren(QtCore.QObject)]}
        for owner, name, value in later:
            if not hasattr(type(found[owner]), name):
                raise AttributeError(f"{owner} in the .ui has no property {name}")
            setattr(found[owner], name, value)
        for sender, signal, receiver, slot in connections:
            found[sender].connect(signal, getattr(found[receiver], slot.split("(")[0]))
        return widget

    def createWidget(self, name: str, parent: QtWidgets.QWidget | None = None, objectName: str = "") -> Any:
        """Make one widget; a class that nobody knows is an error here, while Qt only warns."""
        if name in self.standIns:
            widget = self.standIns[name](parent)
            widget.setObjectName(objectName)
            return widget
        if name not in self.availableWidgets() and name not in ("Line", "QLayoutWidget"):
            raise AttributeError(f"The .ui asks for {name}, for which there is no stand-in")
        return super().createWidget(name, parent, objectName)

    def _takeProperties(self, root: ElementTree.Element) -> list[tuple[str, str, Any]]:
        """Take out the properties of stand-ins that their Qt base class does not have."""
        taken = []
        for element in root.iter("widget"):
            cls = self.standIns.get(element.get("class", ""))
            if cls is None:
                continue
            base = next(base for base in cls.__mro__ if base.__module__.startswith("PySide6."))
            for item in element.findall("property"):
                if base.staticMetaObject.indexOfProperty(item.get("name")) < 0:
                    element.remove(item)
                    taken.append((element.get("name"), item.get("name"), _value(item[0], cls)))
        return taken


def _takeConnections(root: ElementTree.Element) -> list[tuple[str, str, str, str]]:
    """Take out the connections whose signal carries an object of MRML."""
    taken = []
    for section in root.findall("connections"):
        for item in section.findall("connection"):
            if "vtk" in item.findtext("signal", ""):
                section.remove(item)
                taken.append(tuple(item.findtext(key) for key in ("sender", "signal", "receiver", "slot")))
    return taken


def _value(element: ElementTree.Element, cls: type[StandInWidget]) -> Any:
    text = element.text or ""
    if element.tag == "bool":
        return text == "true"
    if element.tag in ("number", "double"):
        return int(text) if element.tag == "number" else float(text)
    if element.tag == "stringlist":
        return [item.text or "" for item in element]
    if element.tag in ("set", "enum"):
        flags = [getattr(cls, name.split("::")[-1]) for name in text.split("|")]
        return sum(flags)
    return text
