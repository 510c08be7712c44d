"""What the sections of the panel share: widgets, logic, dialogs, the parameters of now, and the line for messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import qt
from slicer.i18n import tr as _

from .Logic import SegmentationLogic

if TYPE_CHECKING:
    from lckd.errors import LckdError

    from .Parameters import SegmentationParameters


class DialogsProtocol(Protocol):
    """The questions that the panel asks in windows of their own. What the user has cancelled is None or empty."""

    def folder(self, title: str) -> str:
        """Ask for a folder."""

    def file(self, title: str, filter: str) -> str:
        """Ask for an existing file."""

    def saveFile(self, title: str, filter: str, suffix: str) -> str:
        """Ask where to write a file with this ending."""

    def text(self, title: str, label: str) -> str:
        """Ask for a line of text."""

    def confirm(self, text: str) -> bool:
        """Ask whether to go on."""

    def openFolder(self, folder: Path) -> None:
        """Show a folder in the system's file manager."""


class RequirementsProtocol(Protocol):
    """Sees to it that what the engine needs is installed in the application's Python (`Requirements`)."""

    def missing(self) -> Sequence[object]:
        """Return what is missing; nothing is imported for it."""

    def ensure(self) -> None:
        """Install what is missing, after the user's consent.

        :raises LckdError: it is not there afterwards
        """


class Message:
    """One line for messages; each part of the panel that does work has one below its button."""

    def __init__(self, label: qt.QLabel) -> None:
        self._label = label
        self.say("")

    def say(self, text: str) -> None:
        """Show one message; an empty text takes it away."""
        self._show(qt.Qt.PlainText, text)

    def sayError(self, error: LckdError) -> None:
        """Show what went wrong and what to do about it."""
        self._show(qt.Qt.RichText, f"<b>{_escaped(error.message)}</b> {_escaped(error.action)}")

    def try_(self, action: Callable[[], Any]) -> bool:
        """Do something that may be refused; show the refusal. Return whether it was done."""
        from lckd.errors import LckdError

        try:
            action()
        except LckdError as error:
            self.sayError(error)
            return False
        return True

    def _show(self, textFormat: int, text: str) -> None:
        self._label.textFormat = textFormat
        self._label.text = breakable(text)
        self._label.setVisible(bool(text))


@dataclass
class Panel:
    """Shared by the sections.

    Attributes:
        ui: the widgets of the ``.ui`` by name.
        parameters: those that are shown; None while there is no scene.
        changed: brings the whole panel up to date.
        isEntered: whether the user sees the panel; while not, the views are left alone.
    """

    ui: Any
    logic: SegmentationLogic
    dialogs: DialogsProtocol
    requirements: RequirementsProtocol
    parameters: SegmentationParameters | None = None
    changed: Callable[[], None] = field(default=lambda: None)
    isEntered: bool = True

    def __post_init__(self) -> None:
        self.message = Message(self.ui.messageLabel)
        self.say, self.sayError, self.try_ = self.message.say, self.message.sayError, self.message.try_

    def ensureRequirements(self) -> bool:
        """See to it that the engine can run; what stands in the way is shown."""
        return self.try_(self.requirements.ensure)

    def setProblem(self) -> str:
        """Return why there is no parameter set to work with; empty if there is one."""
        return "" if self.parameters is not None else _("Make a parameter set first.")


def fillTable(table: qt.QTableWidget, headers: list[str], rows: list[list[str]]) -> None:
    """Replace the content of a table that cannot be edited."""
    table.setColumnCount(len(headers))
    table.setHorizontalHeaderLabels(headers)
    table.setRowCount(len(rows))
    for row, cells in enumerate(rows):
        for column, text in enumerate(cells):
            table.setItem(row, column, qt.QTableWidgetItem(text))


def prepareTable(table: qt.QTableWidget, headers: list[str], shownRows: int = 0) -> None:
    """Make a table read-only, chosen by whole rows, as wide as the panel.

    :param shownRows: so many rows are seen at least; 0: what the layout leaves for it
    """
    fillTable(table, headers, [])
    if shownRows:
        rowHeight = table.verticalHeader().minimumSectionSize
        table.verticalHeader().setDefaultSectionSize(rowHeight)
        frame = 2 * table.frameWidth
        table.setMinimumHeight(table.horizontalHeader().sizeHint.height() + shownRows * rowHeight + frame)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.verticalHeader().setVisible(False)
    table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
    table.setTabKeyNavigation(False)


def reveal(widget: qt.QWidget) -> None:
    """Scroll the panel, once it has its new size, so that a widget and a line or two below it can be seen."""
    area = widget
    while area is not None and not hasattr(area, "ensureWidgetVisible"):
        area = area.parentWidget()
    if area is not None:
        qt.QTimer.singleShot(0, lambda: area.ensureWidgetVisible(widget, 0, 3 * widget.height))


def setEnabledWithReason(widget: qt.QWidget, problem: str, toolTip: str) -> None:
    """Enable a widget unless there is a problem, which its tool tip then tells."""
    widget.enabled = not problem
    widget.toolTip = problem or toolTip


def showWarning(icon: qt.QLabel, label: qt.QLabel, text: str) -> None:
    """Show a warning with the warning sign of the style in use; an empty text hides both."""
    if text:
        size = icon.style().pixelMetric(qt.QStyle.PM_SmallIconSize)
        icon.setPixmap(icon.style().standardIcon(qt.QStyle.SP_MessageBoxWarning).pixmap(qt.QSize(size, size)))
    label.text = f"<b>{_escaped(breakable(text))}</b>" if text else ""
    icon.setVisible(bool(text))
    label.setVisible(bool(text))


def breakable(text: str) -> str:
    """Let a label break long names after their underscores; a path, which one may want to copy, stays as it is."""
    words = text.split(" ")
    return " ".join(word if "/" in word or "\\" in word else word.replace("_", "_\u200b") for word in words)


def _escaped(text: str) -> str:
    import html

    return html.escape(text, quote=False)
