"""The panel of the module: the commands of a training, and how a training that runs is doing."""

from __future__ import annotations

from pathlib import Path

import ctk
import qt
from slicer.i18n import tr as _

from LCKDSegmentationLib.About import disclaimer
from LCKDSegmentationLib.Panel import fillTable, prepareTable

from .RunEvents import EVENTS_FILE, RunEvents, readRunEvents

PRESETS_FOLDER = Path(__file__).parents[1] / "lckd_training" / "presets"
TRAIN_COMMANDS = """lckd train --data DATA_FOLDER --preset PRESET -o RUN_FOLDER
lckd train --data DATA_FOLDER --preset PRESET -o RUN_FOLDER --resume
lckd export RUN_FOLDER -o MODEL_FOLDER
lckd evaluate --model MODEL_FOLDER --data DATA_FOLDER -o RESULT_FOLDER"""
SHOWN_STEPS = 10
LOSSES = ("loss", "loss_task", "loss_ckd", "lr")


class TrainingWidget(qt.QWidget):
    """Shows the commands, and the last steps and elected teachers of the run folder that is chosen."""

    def __init__(self, parent: qt.QWidget | None = None) -> None:
        qt.QWidget.__init__(self, parent)
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)

        commands = collapsible(_("Train from the command line"), layout)
        commands.addWidget(commandBox(TRAIN_COMMANDS))
        presets = ", ".join(sorted(file.stem for file in PRESETS_FOLDER.glob("*.yaml")))
        commands.addWidget(wrappedLabel(_("Presets: {presets}").format(presets=presets)))

        self.runFolder = ctk.ctkPathLineEdit()
        self.runFolder.filters = ctk.ctkPathLineEdit.Dirs
        self.runFolder.setToolTip(_("The folder given to lckd train as -o; it holds {file}.").format(file=EVENTS_FILE))
        self.refreshButton = qt.QPushButton(_("Read the run again"))
        self.stateLabel = wrappedLabel(_("Choose the folder of a training run."))
        self.stepTable, self.teacherTable = qt.QTableWidget(), qt.QTableWidget()
        prepareTable(self.stepTable, stepHeaders())
        prepareTable(self.teacherTable, teacherHeaders())
        run = collapsible(_("Watch a training run"), layout)
        for widget in (self.runFolder, self.refreshButton, self.stateLabel, self.stepTable, self.teacherTable):
            run.addWidget(widget)
        run.addWidget(wrappedLabel(f"<b>{disclaimer()}</b>"))

        self.runFolder.connect("currentPathChanged(QString)", lambda _path: self.showRun())
        self.refreshButton.connect("clicked()", self.showRun)

    def showRun(self) -> None:
        """Read the chosen run folder and show it, or say why it cannot be read."""
        folder = Path(self.runFolder.currentPath)
        try:
            events = readRunEvents(folder)
        except (OSError, ValueError, KeyError) as error:
            self.showEvents(RunEvents())
            self.stateLabel.text = _("This folder holds no readable training run: {reason}").format(reason=error)
            return
        self.showEvents(events)

    def showEvents(self, events: RunEvents) -> None:
        """Fill both tables."""
        steps = events.lastSteps(SHOWN_STEPS)
        if steps:
            self.stateLabel.text = _("Iteration {iteration}").format(iteration=steps[0]["iteration"])
        else:
            self.stateLabel.text = _("No training step is recorded yet.")
        fillTable(
            self.stepTable,
            stepHeaders(),
            [
                [str(step["iteration"]), "+".join(step.get("present", [])), *(number(step.get(key)) for key in LOSSES)]
                for step in steps
            ],
        )
        fillTable(
            self.teacherTable,
            teacherHeaders(),
            [[region, sequence, number(dice)] for region, (sequence, dice) in events.teachers().items()],
        )


def number(value: float | None) -> str:
    """Return four significant digits, or a dash where the run states no value."""
    return "–" if value is None else f"{value:.4g}"


def stepHeaders() -> list[str]:
    """Return the titles of the columns of the steps."""
    return [_("Iteration"), _("Sequences"), *LOSSES]


def teacherHeaders() -> list[str]:
    """Return the titles of the columns of the teachers."""
    return [_("Region"), _("Teacher"), _("Dice")]


def collapsible(title: str, layout: qt.QVBoxLayout) -> qt.QVBoxLayout:
    """Append a collapsible section to a layout and return the layout inside it."""
    section = ctk.ctkCollapsibleButton()
    section.text = title
    layout.addWidget(section)
    return qt.QVBoxLayout(section)


def wrappedLabel(text: str) -> qt.QLabel:
    """Return a label that breaks its lines and whose text can be copied."""
    label = qt.QLabel(text)
    label.wordWrap = True
    label.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
    return label


def commandBox(commands: str) -> qt.QPlainTextEdit:
    """Return a read-only box of shell commands, one a line."""
    box = qt.QPlainTextEdit(commands)
    box.readOnly = True
    box.setLineWrapMode(qt.QPlainTextEdit.NoWrap)
    box.setFont(qt.QFontDatabase.systemFont(qt.QFontDatabase.FixedFont))
    box.setMaximumHeight(24 * (commands.count("\n") + 2))
    return box
