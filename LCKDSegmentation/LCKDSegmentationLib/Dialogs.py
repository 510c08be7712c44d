"""The questions that the panel asks in windows of their own."""

from __future__ import annotations

from pathlib import Path

import qt
import slicer


class Dialogs:
    """Qt's and Slicer's own dialogs (`Panel.DialogsProtocol`)."""

    def __init__(self, parent: qt.QWidget) -> None:
        self._parent = parent

    def folder(self, title: str) -> str:
        """Ask for a folder."""
        return qt.QFileDialog.getExistingDirectory(self._parent, title)

    def file(self, title: str, filter: str) -> str:
        """Ask for an existing file."""
        return qt.QFileDialog.getOpenFileName(self._parent, title, "", filter)

    def saveFile(self, title: str, filter: str, suffix: str) -> str:
        """Ask where to write a file; a name without an ending gets this one before the user is asked to overwrite."""
        dialog = qt.QFileDialog(self._parent, title, "", filter)
        dialog.acceptMode = qt.QFileDialog.AcceptSave
        dialog.defaultSuffix = suffix
        return dialog.selectedFiles()[0] if dialog.exec_() else ""

    def text(self, title: str, label: str) -> str:
        """Ask for a line of text."""
        return str(qt.QInputDialog.getText(self._parent, title, label) or "").strip()

    def confirm(self, text: str) -> bool:
        """Ask whether to go on."""
        return bool(slicer.util.confirmOkCancelDisplay(text, parent=self._parent))

    def openFolder(self, folder: Path) -> None:
        """Show a folder in the system's file manager."""
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))
