"""What both panels are to Qt: one ``.ui`` file, always as tall as all of its text needs."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer


class PanelWidget(qt.QWidget):
    """Shows a ``.ui`` file.

    Slicer puts a module that is opened again into a new place of its layout, and leaves the former one behind. Qt tells
    only the former one that the panel needs another height for its width, so that Slicer's own panel would keep the
    height it once had, cut lines of text and squeeze tables. So the height is not left to the layout, but set here.

    :param uiFile: the ``.ui`` file
    """

    def __init__(self, uiFile: Path, parent: qt.QWidget | None = None) -> None:
        qt.QWidget.__init__(self, parent)
        self.root = slicer.util.loadUI(str(uiFile))
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.root)
        self.ui = slicer.util.childWidgetVariables(self.root)
        self._wrapped = [label for label in self.root.findChildren(qt.QLabel) if label.wordWrap]
        for label in self._wrapped:
            # Else a word too long for the panel, such as the name of a file, would make the panel that wide.
            label.setMinimumWidth(1)
        for box in self.root.findChildren(qt.QComboBox):
            if box.focusProxy() is not None and box.focusProxy().isAncestorOf(box):
                # Slicer's selectors of nodes refer the keyboard to themselves, where no key is taken.
                box.setFocusProxy(None)
        self._timer = qt.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.connect("timeout()", self._arrangeAnew)
        self.root.installEventFilter(self)

    def hasHeightForWidth(self) -> bool:
        """Say that the least height holds for any width."""
        return False

    def eventFilter(self, watched: qt.QObject, event: qt.QEvent) -> bool:
        """Follow the width and the content of the panel; no event is kept from it."""
        if event.type() in (qt.QEvent.LayoutRequest, qt.QEvent.Resize):
            self.setMinimumHeight(max(0, self.root.heightForWidth(self.root.width)))
            self._timer.start()
        return False

    def _arrangeAnew(self) -> None:
        """Arrange sections anew in which lines are cut.

        When the lines of several labels change, Qt shares out the height of a form by what they were before.
        """
        for label in self._wrapped:
            if label.visible and label.height < label.heightForWidth(label.width):
                label.parentWidget().layout().invalidate()
                label.parentWidget().layout().activate()
