"""The few widgets of CTK that the panels use, on real Qt widgets."""

from __future__ import annotations

from typing import ClassVar

from PySide6 import QtCore, QtGui, QtWidgets

from .pythonqt import StandInWidget


class ctkCollapsibleButton(QtWidgets.QAbstractButton, StandInWidget):
    """A titled section that hides what it contains while it is collapsed (not checked)."""

    isStandIn: ClassVar[bool] = True
    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, text: str | QtWidgets.QWidget | None = None, parent: QtWidgets.QWidget | None = None) -> None:
        title, owner = (text, parent) if isinstance(text, str) else ("", text or parent)
        super().__init__(owner)
        self.setText(title)
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, self._titleHeight(), 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
        self.toggled.connect(self._showOrHideContents)

    def _titleHeight(self) -> int:
        return self.fontMetrics().height() + 8

    def _showOrHideContents(self, expanded: bool) -> None:
        """What somebody else has hidden stays hidden, as in CTK."""
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                self._showOrHide(child, expanded)
        self.updateGeometry()
        self.contentsCollapsed.emit(not expanded)

    def _showOrHide(self, child: QtWidgets.QWidget, expanded: bool) -> None:
        """Qt marks what is shown or hidden on purpose; what this section does gets no mark."""
        isMarked = child.testAttribute(QtCore.Qt.WA_WState_ExplicitShowHide)
        if isMarked and child.testAttribute(QtCore.Qt.WA_WState_Hidden):
            return
        child.setVisible(expanded)
        child.setAttribute(QtCore.Qt.WA_WState_ExplicitShowHide, False)

    def _isCollapsed(self) -> bool:
        return not self.isChecked()

    def _setCollapsed(self, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    collapsed = QtCore.Property(bool, _isCollapsed, _setCollapsed)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        """A child that is added while the section is collapsed stays hidden."""
        if event.added() and isinstance(event.child(), QtWidgets.QWidget) and not self.isChecked():
            self._showOrHide(event.child(), False)
        super().childEvent(event)

    def sizeHint(self) -> QtCore.QSize:
        """The size of the contents below the title."""
        title = QtCore.QSize(self.fontMetrics().horizontalAdvance(self.text) + 40, self._titleHeight())
        if self._isCollapsed() or self.layout() is None:
            return title
        return self.layout().sizeHint().expandedTo(title)

    def minimumSizeHint(self) -> QtCore.QSize:
        """Never smaller than the title."""
        return self.sizeHint()

    def hitButton(self, position: QtCore.QPoint) -> bool:
        """Only the title is a button."""
        return position.y() <= self._titleHeight()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        """Paint the title with an arrow."""
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect.setHeight(self._titleHeight())
        arrow = "▸" if self._isCollapsed() else "▾"
        option.text = f"{arrow} {self.text}"
        painter.drawControl(QtWidgets.QStyle.CE_PushButtonBevel, option)
        painter.drawText(option.rect.adjusted(8, 0, 0, 0), QtCore.Qt.AlignVCenter, option.text)


class ctkSliderWidget(QtWidgets.QWidget, StandInWidget):
    """A slider with a spin box for the same number."""

    isStandIn: ClassVar[bool] = True
    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self._box = QtWidgets.QDoubleSpinBox()
        self._box.setRange(0.0, 99.0)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._box.valueChanged.connect(self._showOnSlider)
        self._slider.valueChanged.connect(lambda step: self._box.setValue(self._box.minimum + step * self._step()))
        self._fitSlider()

    def _step(self) -> float:
        return 10.0**-self._box.decimals

    def _fitSlider(self) -> None:
        self._slider.setRange(0, round((self._box.maximum - self._box.minimum) / self._step()))

    def _showOnSlider(self, value: float) -> None:
        self._slider.blockSignals(True)
        self._slider.setValue(round((value - self._box.minimum) / self._step()))
        self._slider.blockSignals(False)
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def _setMinimum(self, minimum: float) -> None:
        self._box.setMinimum(minimum)
        self._fitSlider()

    def _setMaximum(self, maximum: float) -> None:
        self._box.setMaximum(maximum)
        self._fitSlider()

    def setDecimals(self, decimals: int) -> None:
        """Show so many digits after the point."""
        self._box.setDecimals(decimals)
        self._fitSlider()

    def setValue(self, value: float) -> None:
        """Set the number, within the limits."""
        self._box.setValue(value)

    value = QtCore.Property(float, lambda self: self._box.value, setValue)
    minimum = QtCore.Property(float, lambda self: self._box.minimum, _setMinimum)
    maximum = QtCore.Property(float, lambda self: self._box.maximum, _setMaximum)
    decimals = QtCore.Property(int, lambda self: self._box.decimals, setDecimals)
    singleStep = QtCore.Property(
        float, lambda self: self._box.singleStep, lambda self, step: self._box.setSingleStep(step)
    )
    prefix = QtCore.Property(str, lambda self: self._box.prefix, lambda self, text: self._box.setPrefix(text))
    suffix = QtCore.Property(str, lambda self: self._box.suffix, lambda self, text: self._box.setSuffix(text))


class ctkPathLineEdit(QtWidgets.QWidget, StandInWidget):
    """A path that can be typed or chosen; the dialog is not imitated."""

    isStandIn: ClassVar[bool] = True
    currentPathChanged = QtCore.Signal(str)
    validInputChanged = QtCore.Signal(bool)
    Dirs, Files, Drives, NoSymLinks, Readable, Writable, Executable = 1, 2, 4, 8, 16, 32, 64

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._values = {"filters": self.Files, "label": "", "settingKey": "", "showBrowse": True, "showHistory": True}
        self._nameFilters: list[str] = []
        self._combo = QtWidgets.QComboBox()
        self._combo.setEditable(True)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self._isValid = False
        self._combo.editTextChanged.connect(self._tell)

    def _tell(self, path: str) -> None:
        """An empty text is no valid input and is told only by that."""
        wasValid, self._isValid = self._isValid, bool(path)
        if path:
            self.currentPathChanged.emit(path)
        if wasValid != self._isValid:
            self.validInputChanged.emit(self._isValid)

    def comboBox(self) -> QtWidgets.QComboBox:
        """The field in which the path is typed."""
        return self._combo

    def setCurrentPath(self, path: str) -> None:
        """Show a path."""
        self._combo.setEditText(path)

    def addCurrentPathToHistory(self) -> None:
        """Offer the path of now again."""
        if self._combo.findText(self._combo.currentText) < 0:
            self._combo.addItem(self._combo.currentText)

    def _stored(kind: type | str, key: str) -> QtCore.Property:
        return QtCore.Property(
            kind, lambda self: self._values[key], lambda self, value: self._values.__setitem__(key, value)
        )

    currentPath = QtCore.Property(str, lambda self: self._combo.currentText, setCurrentPath)
    filters = _stored(int, "filters")
    label = _stored(str, "label")
    settingKey = _stored(str, "settingKey")
    showBrowseButton = _stored(bool, "showBrowse")
    showHistoryButton = _stored(bool, "showHistory")
    nameFilters = QtCore.Property(
        list, lambda self: tuple(self._nameFilters), lambda self, names: self._nameFilters.__init__(names)
    )


WIDGETS = {cls.__name__: cls for cls in (ctkCollapsibleButton, ctkSliderWidget, ctkPathLineEdit)}
