"""The panel of the module: what the embedded model can be expected to do, and the command that runs it."""

from __future__ import annotations

from pathlib import Path

import ctk
import qt
from slicer.i18n import tr as _

from .About import disclaimer
from .ModelCard import REGIONS, ModelCard, embeddedModelCards, readModelCard

SEGMENT_COMMANDS = """lckd segment PATIENT_FOLDER -o RESULT_FOLDER
lckd segment --flair FLAIR.nii.gz --t1c T1C.nii.gz -o RESULT_FOLDER
lckd compare PATIENT_FOLDER -o RESULT_FOLDER"""


class SegmentationWidget(qt.QWidget):
    """Shows one model card and the commands.

    :param metadataFiles: cards that may be chosen, by default those of the models that came with the extension
    """

    def __init__(self, metadataFiles: list[Path] | None = None, parent: qt.QWidget | None = None) -> None:
        qt.QWidget.__init__(self, parent)
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)

        self.modelSelector = qt.QComboBox()
        self.cardLabel = wrappedLabel("")
        self.diceTable = readOnlyTable([_("Sequences"), *REGIONS])
        card = collapsible(_("What to expect from the sequences you have (Dice)"), layout)
        for widget in (self.modelSelector, self.cardLabel, self.diceTable, wrappedLabel(f"<b>{disclaimer()}</b>")):
            card.addWidget(widget)

        commands = collapsible(_("Segment from the command line"), layout)
        commands.addWidget(commandBox(SEGMENT_COMMANDS))

        for file in embeddedModelCards() if metadataFiles is None else metadataFiles:
            self.modelSelector.addItem(file.parents[1].name, str(file))
        self.modelSelector.connect("currentIndexChanged(int)", lambda _index: self.showSelectedCard())
        self.showSelectedCard()

    def showSelectedCard(self) -> None:
        """Show the card of the chosen model, or say why there is none."""
        self.diceTable.setRowCount(0)
        if self.modelSelector.count == 0:
            self.cardLabel.text = _("No model came with this installation.")
            return
        file = Path(self.modelSelector.currentData)
        try:
            self.showCard(readModelCard(file))
        except (OSError, ValueError) as error:
            self.cardLabel.text = _("The card of this model cannot be read: {reason}").format(reason=error)

    def showCard(self, card: ModelCard) -> None:
        """Fill the text and the table, one row for each subset of sequences."""
        title = f"<b>{card.name} {card.version}</b>"
        data = _("Training data: {data}").format(data=card.dataSource) if card.dataSource else ""
        self.cardLabel.text = "<br>".join(line for line in (title, card.description, data) if line)
        rows = []
        for subset in card.subsets:
            dice = card.expectedDice[subset]
            rows.append([subset, *(f"{dice[region]:.2f}" if region in dice else "–" for region in REGIONS)])
        fillTable(self.diceTable, rows)


def collapsible(title: str, layout: qt.QVBoxLayout) -> qt.QVBoxLayout:
    """Append a collapsible section to a layout and return the layout inside it."""
    section = ctk.ctkCollapsibleButton()
    section.text = title
    layout.addWidget(section)
    return qt.QVBoxLayout(section)


def wrappedLabel(text: str) -> qt.QLabel:
    """Return a label that breaks its lines and whose text can be copied."""
    label = qt.QLabel(text)
    label.setWordWrap(True)
    label.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
    return label


def commandBox(commands: str) -> qt.QPlainTextEdit:
    """Return a read-only box of shell commands, one a line."""
    box = qt.QPlainTextEdit(commands)
    box.setReadOnly(True)
    box.setLineWrapMode(qt.QPlainTextEdit.NoWrap)
    box.setFont(qt.QFontDatabase.systemFont(qt.QFontDatabase.FixedFont))
    box.setMaximumHeight(24 * (commands.count("\n") + 2))
    return box


def readOnlyTable(headers: list[str]) -> qt.QTableWidget:
    """Return an empty table that cannot be edited."""
    table = qt.QTableWidget(0, len(headers))
    table.setHorizontalHeaderLabels(headers)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.verticalHeader().setVisible(False)
    table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
    return table


def fillTable(table: qt.QTableWidget, rows: list[list[str]]) -> None:
    """Replace the rows of a table."""
    table.setRowCount(len(rows))
    for row, cells in enumerate(rows):
        for column, text in enumerate(cells):
            table.setItem(row, column, qt.QTableWidgetItem(text))
