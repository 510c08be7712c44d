"""Gives PySide6's own classes the habits of PythonQt, with which Slicer's Python code sees Qt.

The classes themselves are changed, not subclassed: Slicer's code asks ``type(widget) == qt.QLabel``, and what Qt
returns (a header, a layout's item, a child of a loaded ``.ui``) has the habits too. What is imitated was read in
PythonQt's PythonQtClassInfo.cpp (which members there are), PythonQtInstanceWrapper.cpp (attributes) and
PythonQtSignalReceiver.cpp (signals).
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType, ModuleType
from typing import Any, ClassVar

from PySide6 import QtCore, QtGui, QtNetwork, QtWidgets

QT_MODULES = (QtCore, QtGui, QtWidgets, QtNetwork)
_connectByString = QtCore.QObject.connect
_disconnectByString = QtCore.QObject.disconnect
_loading: list[bool] = []
_plainSetAttribute = QtCore.QObject.__mro__[1].__setattr__


class PropertyAttribute:
    """A Qt property seen as an attribute: ``label.text`` is the text, ``label.text = "a"`` sets it."""

    def __init__(self, name: str, method: Any, setter: Any) -> None:
        self.name = name
        self.method = method
        self.setter = setter

    def __get__(self, instance: QtCore.QObject | None, owner: type) -> Any:
        """Read the property; on the class, the function of the same name is meant."""
        if instance is None:
            return self.method if self.method is not None else self
        if type(self.method).__name__ == "method_descriptor":
            return self.method.__get__(instance, owner)()
        return instance.property(self.name)

    def __set__(self, instance: QtCore.QObject, value: Any) -> None:
        """Write the property, and refuse what it does not accept."""
        if self.setter is not None:
            self.setter(instance, value)
        elif not instance.setProperty(self.name, value):
            raise AttributeError(f"Property '{self.name}' of {type(instance).__name__} does not accept {value!r}")


class StandInWidget:
    """What a stand-in for a class of CTK or qMRML says about itself.

    ``cppSignals`` maps a C++ signature with a class that Qt does not know to the name of the Python signal.
    """

    cppSignals: ClassVar[dict[str, str]] = {}


def giveHabits() -> None:
    """Change the classes of PySide6 for the rest of the process; again is harmless."""
    if hasattr(QtCore.QObject, "className"):
        return
    keepConstants()
    for cls in _classes():
        _propertiesBecomeAttributes(cls)
        if "__getattribute__" in vars(cls):
            cls.__getattribute__ = _withOurConnect(cls.__getattribute__)
        if "__setattr__" in vars(cls):
            cls.__setattr__ = _setAttribute
        if hasattr(cls, "exec"):
            cls.exec_ = cls.exec
    QtCore.QObject.name = vars(QtCore.QObject)["objectName"]
    QtCore.QObject.className = lambda self: self.metaObject().className()


def keepConstants() -> None:
    """PySide6 6.12 drops references to these with signals; before Python 3.12 they are counted, and run out."""
    if sys.version_info < (3, 12):
        for value in (True, False, None):
            ctypes.c_ssize_t.from_address(id(value)).value += 1 << 40


def connect(sender: QtCore.QObject, signal: str, function: Callable[..., Any]) -> bool:
    """``widget.connect("clicked(bool)", function)``; PythonQt returns False for an unknown signal, this raises."""
    receiver = _takingItsArguments(function)
    name = _standInSignal(sender, signal)
    if name is not None:
        getattr(sender, name).connect(receiver)
    else:
        _connectByString(sender, "2" + _knownSignature(sender, signal), receiver)
    _receivers(sender).append((_normalized(signal), function, receiver))
    return True


def disconnect(sender: QtCore.QObject, signal: str, function: Callable[..., Any] | None = None) -> bool:
    """Undo ``connect``; False when there was no such connection."""
    kept, found = [], False
    for known, known_function, receiver in _receivers(sender):
        if known != _normalized(signal) or (function is not None and known_function != function):
            kept.append((known, known_function, receiver))
            continue
        found = True
        name = _standInSignal(sender, signal)
        if name is not None:
            getattr(sender, name).disconnect(receiver)
        else:
            _disconnectByString(sender, "2" + _knownSignature(sender, signal), receiver)
    _receivers(sender)[:] = kept
    return found


@contextmanager
def childAttributesIgnored() -> Iterator[None]:
    """While a ``.ui`` is loaded: PySide6 wants to make every named child an attribute, which PythonQt does not."""
    _loading.append(True)
    yield
    _loading.pop()


def makeQtModule(loader: type) -> ModuleType:
    """Return the module ``qt``: the classes of PySide6's modules under one name, with `loader` as ``QUiLoader``."""
    giveHabits()
    qt = ModuleType("qt", "Stand-in for Slicer's module qt, made of PySide6")
    for module in QT_MODULES:
        for name in dir(module):
            if name.startswith(("Q", "q")):
                setattr(qt, name, getattr(module, name))
    qt.Signal = QtCore.Signal
    qt.Slot = QtCore.Slot
    qt.QUiLoader = loader
    return qt


def _withOurConnect(readAttribute: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """PySide6 answers `connect` of an object before it looks at the class, so that this has to come first."""

    def getAttribute(instance: QtCore.QObject, name: str) -> Any:
        value = readAttribute(instance, name)
        ours = {"connect": connect, "disconnect": disconnect}.get(name)
        if ours is None:
            return value
        # PySide6 calls its own connect for itself, with a signature that begins with "2".
        return lambda *args: ours(instance, *args) if args and re.match("[a-z]", str(args[0])) else value(*args)

    return getAttribute


def _classes() -> Iterator[type]:
    for module in QT_MODULES:
        for cls in [getattr(module, name) for name in dir(module)]:
            if isinstance(cls, type) and issubclass(cls, QtCore.QObject):
                yield cls


def _propertiesBecomeAttributes(cls: type) -> None:
    meta = cls.staticMetaObject
    for index in range(meta.propertyCount()):
        name = meta.property(index).name()
        own = vars(cls).get(name)
        # This one is the static function only; the property is written by setSingleShot.
        if (cls, name) == (QtCore.QTimer, "singleShot"):
            continue
        # An overridden getter (sizeHint) hides the property of the base class and has to be replaced as well.
        if index < meta.propertyOffset() and own is None:
            continue
        setter = getattr(cls, f"set{name[0].upper()}{name[1:]}", None)
        setattr(cls, name, PropertyAttribute(name, own, setter))


def _receivers(sender: QtCore.QObject) -> list[tuple[str, Callable[..., Any], Callable[..., Any]]]:
    if "_pythonQtReceivers" not in sender.__dict__:
        sender.__dict__["_pythonQtReceivers"] = []
    return sender.__dict__["_pythonQtReceivers"]


def _takingItsArguments(function: Callable[..., Any]) -> Callable[..., Any]:
    """PythonQt drops the arguments of a signal that a Python function does not take."""
    plain, bound = (function.__func__, 1) if isinstance(function, MethodType) else (function, 0)
    if not isinstance(plain, FunctionType) or plain.__code__.co_flags & 0x04:
        return lambda *arguments: function(*arguments)
    count = plain.__code__.co_argcount - bound
    return lambda *arguments: function(*arguments[:count])


def _normalized(signal: str) -> str:
    return bytes(QtCore.QMetaObject.normalizedSignature(signal)).decode()


def _standInSignal(sender: QtCore.QObject, signal: str) -> str | None:
    if not isinstance(sender, StandInWidget):
        return None
    for cls in type(sender).__mro__:
        name = vars(cls).get("cppSignals", {}).get(_normalized(signal))
        if name is not None:
            return name
    return None


def _knownSignature(sender: QtCore.QObject, signal: str) -> str:
    signature = _normalized(signal)
    if sender.metaObject().indexOfSignal(signature) < 0:
        raise AttributeError(f"{sender.metaObject().className()} has no signal {signal}")
    return signature


def _setAttribute(instance: QtCore.QObject, name: str, value: Any) -> None:
    """As PythonQt: only an object of a Python class takes new attributes, and none in place of a method of C++."""
    cls = type(instance)
    found = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
    if isinstance(found, QtCore.Property):
        found.fset(instance, value)
        return
    # PySide6 itself stores a signal on the object when it is first asked for.
    if isinstance(found, QtCore.Signal):
        _plainSetAttribute(instance, name, value)
        return
    if any(type(vars(base).get(name)).__name__ == "method_descriptor" for base in cls.__mro__):
        raise AttributeError(f"Slot '{name}' can not be overwritten on {cls.__name__} object")
    # What a stand-in needs for itself is its own affair.
    fromCpp = cls.__module__.startswith("PySide6.") or ("isStandIn" in vars(cls) and not name.startswith("_"))
    if fromCpp and not hasattr(type(found), "__set__"):
        if _loading:
            return
        raise AttributeError(f"'{name}' does not exist on {cls.__name__} and creating it is not allowed")
    _plainSetAttribute(instance, name, value)
