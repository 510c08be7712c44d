"""The section "Data": the cases there are, what is wrong with them, and which are left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qt
from slicer.i18n import tr as _

from LCKDSegmentationLib.Panel import Message, fillTable, prepareTable, setEnabledWithReason
from LCKDSegmentationLib.PathEdit import PathEdit
from LCKDSegmentationLib.ProgressDisplay import ProgressDisplay
from LCKDSegmentationLib.RunButton import ButtonWords, RunButton

from .Parameters import dataProblem
from .Wording import casesWords

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lckd.errors import LckdError

    from .TrainingPanel import TrainingPanel

#: With one case there is none left that elects the teachers.
_FEWEST_CASES = 2
_CASE, _SEQUENCES, _LABEL, _STATE = range(4)


class DataSection:
    """Runs ``lckd data check`` and lists its cases.

    :param lock: says why nothing can be changed now; empty if it can
    """

    def __init__(self, panel: TrainingPanel, lock: Callable[[], str]) -> None:
        self._panel = panel
        self._lock = lock
        #: The folder or table that is checked or was.
        self._checked = ""
        self._refusal: LckdError | None = None
        ui = panel.ui
        self._path = PathEdit(panel, ui.dataEdit, "data")
        self._buttonTips = {button: button.toolTip for button in (ui.dataFolderButton, ui.dataTableButton)}
        words = ButtonWords(
            _("Check the data"),
            _("Look at the files of every case and say what is wrong with them. Nothing is changed."),
            _("Stop looking. What was seen is forgotten."),
            _("The check is being stopped."),
        )
        self.message = Message(ui.dataMessageLabel)
        progress = ProgressDisplay(ui.checkProgress, ui.checkStatus)
        self._button = RunButton(panel, ui.checkButton, progress, self.message, words, self._checkProblem, self._check)
        ui.dataFolderButton.connect("clicked(bool)", self.chooseFolder)
        ui.dataTableButton.connect("clicked(bool)", self.chooseTable)
        ui.showCaseButton.connect("clicked(bool)", self.showChosenCase)
        ui.useAllButton.connect("clicked(bool)", self.useAll)
        self._prepareTable(ui.dataTable)
        self._showCases()

    @property
    def isRunning(self) -> bool:
        """Whether a check is under way."""
        return self._button.isRunning

    @property
    def unusable(self) -> list[str]:
        """The cases that the last check of these data has found to be faulty."""
        return [name for name, case in self._panel.dataCases.items() if not case["usable"]]

    def problem(self) -> str:
        """Return why nothing can be learned from the data, as far as known; empty if something can."""
        parameters = self._panel.parameters
        if parameters is None:
            return self._panel.setProblem()
        if dataProblem(parameters):
            return dataProblem(parameters)
        if self.isRunning:
            return _("Wait for the end of the check, or cancel it.")
        return self._caseProblem()

    def update(self) -> None:
        """Show the folder, the cases, and what the buttons do now or why they do nothing."""
        ui, parameters = self._panel.ui, self._panel.parameters
        if self._checked and (parameters is None or parameters.data != self._checked):
            self._forget()
        locked = self._panel.setProblem() or self._lock()
        self._path.update(locked)
        for button, toolTip in self._buttonTips.items():
            setEnabledWithReason(button, locked, toolTip)
        self._button.update()
        self._showTicks()
        noCases = "" if self._panel.dataCases else _("Check the data first.")
        toolTip = _("Tick every case that can be used.")
        setEnabledWithReason(ui.useAllButton, noCases or locked, toolTip)
        self._updateChosen()

    def stop(self) -> None:
        """End what is under way."""
        if self._button.run is not None:
            self._button.run.cancel()

    def chooseFolder(self) -> None:
        """Ask for the folder of the cases."""
        self._choose(self._panel.dialogs.folder(_("Folder of the cases")))

    def chooseTable(self) -> None:
        """Ask for a table that lists the cases."""
        self._choose(self._panel.dialogs.file(_("Table of the cases"), _("Tables (*.csv)")))

    def useAll(self) -> None:
        """Leave no case out."""
        if self._panel.parameters is not None:
            self._panel.parameters.excluded = []
        self._panel.changed()

    def leaveOut(self, names: list[str]) -> None:
        """Leave these cases out of the training."""
        parameters = self._panel.parameters
        if parameters is not None:
            parameters.excluded = sorted({*parameters.excluded, *names})

    def showChosenCase(self) -> None:
        """Load the chosen case with its label into the scene and the views."""
        from .LatestSegmentation import loadCase

        name = self._chosenCase()
        if name and not self._showProblem():
            self.message.try_(lambda: loadCase(self._panel, name))

    def _caseProblem(self) -> str:
        """Why nothing can be learned from the cases that were found; empty if something can."""
        cases, excluded = self._panel.dataCases, self._excluded()
        if not cases:
            return ""
        labeled = [name for name, case in cases.items() if isTrainable(case)]
        if not labeled:
            return _(
                "No case can be learned from: each needs a label, a map of the tumor drawn by an expert, as a file"
                " whose name ends in seg or, in a table, in the column label."
            )
        if len([name for name in labeled if name not in excluded]) < _FEWEST_CASES:
            return _("Tick at least two cases with labels: some are learned from, others elect the teachers.")
        return ""

    def _choose(self, path: str) -> None:
        if path and self._panel.parameters is not None:
            self._panel.parameters.data = path

    def _checkProblem(self) -> str:
        parameters = self._panel.parameters
        return self._panel.setProblem() or dataProblem(parameters)

    def _check(self) -> None:
        self._forget()
        data = self._checked = self._panel.parameters.data
        self._button.begin(self._panel.logic.check(data, lambda event: self._take(data, event), self._finish))

    def _take(self, data: str, event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            self._button.progress.show(event["fraction"])
        elif event["event"] == "stage":
            self._button.progress.show(self._button.progress.fraction, _("Checking"))
        elif event["event"] == "result":
            self._checked = data
            self._panel.dataCases.update({case["case"]: case for case in event["checks"]})

    def _finish(self, error: LckdError | None) -> None:
        from lckd.errors import CancelledError

        self._button.end()
        self._showCases()
        if isinstance(error, CancelledError):
            self.message.say(_("The check was cancelled."))
        elif error is not None and error.code != "CASES_UNUSABLE":
            self._refusal = error
            self.message.sayError(error)
        self._panel.changed()

    def _forget(self) -> None:
        """What was found belongs to other data."""
        self._checked, self._refusal = "", None
        self._panel.dataCases.clear()
        self.message.say("")
        self._showCases()

    def _prepareTable(self, table: qt.QTableWidget) -> None:
        prepareTable(table, headers())
        table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
        table.setMinimumHeight(160)
        # Names of cases differ at their end; all of a state is said below the table.
        table.horizontalHeader().setSectionResizeMode(_CASE, qt.QHeaderView.ResizeToContents)
        table.horizontalHeader().setSectionResizeMode(_STATE, qt.QHeaderView.Stretch)
        table.connect("itemChanged(QTableWidgetItem*)", self._storeTick)
        table.connect("itemSelectionChanged()", self._updateChosen)
        table.connect("cellDoubleClicked(int,int)", lambda _row, _column: self.showChosenCase())

    def _showCases(self) -> None:
        """Fill the table anew."""
        table, cases, excluded = self._panel.ui.dataTable, self._panel.dataCases, self._excluded()
        table.blockSignals(True)
        fillTable(table, headers(), [])
        table.setRowCount(len(cases))
        for row, (name, case) in enumerate(cases.items()):
            for column, item in enumerate(itemsOf(name, case, isTrainable(case) and name not in excluded)):
                table.setItem(row, column, item)
        table.blockSignals(False)
        table.setVisible(bool(cases))
        self._showTicks()

    def _showTicks(self) -> None:
        """Show which cases are used; only what has changed is touched, since each change takes Qt some time."""
        table, excluded = self._panel.ui.dataTable, self._excluded()
        table.blockSignals(True)
        for row, (name, case) in enumerate(self._panel.dataCases.items()):
            item, wanted = table.item(row, _CASE), tick(isTrainable(case) and name not in excluded)
            if item.checkState() != wanted:
                item.setCheckState(wanted)
        table.blockSignals(False)
        if self._panel.dataCases and self._refusal is None:
            self.message.say(self._summary(excluded))

    def _storeTick(self, item: qt.QTableWidgetItem) -> None:
        parameters, name = self._panel.parameters, item.text()
        if item.column() != _CASE:
            return
        if parameters is not None and not self._lock():
            excluded = self._excluded() - {name}
            if item.checkState() != qt.Qt.Checked:
                excluded.add(name)
            parameters.excluded = sorted(excluded)
        # While the training goes on, the tick is put back.
        self._panel.changed()

    def _excluded(self) -> set[str]:
        return set(self._panel.parameters.excluded) if self._panel.parameters is not None else set()

    def _summary(self, excluded: set[str]) -> str:
        cases = self._panel.dataCases
        trainable = [name for name, case in cases.items() if isTrainable(case)]
        counts = {
            _("{count} with a fault, never used"): len(self.unusable),
            _("{count} without a label, not used"): len(cases) - len(self.unusable) - len(trainable),
            _("{count} left out by you"): len(excluded & set(trainable)),
        }
        words = [_("{count} to learn from").format(count=len(set(trainable) - excluded))]
        words += [text.format(count=count) for text, count in counts.items() if count]
        counted = _("{cases}: {words}.").format(cases=casesWords(len(cases)), words="; ".join(words))
        return f"{counted} {self._caseProblem()}".strip()

    def _updateChosen(self) -> None:
        """Say all about the case that is chosen."""
        ui, name = self._panel.ui, self._chosenCase()
        setEnabledWithReason(
            ui.showCaseButton,
            self._showProblem(),
            _("Load the volumes and the label of the chosen case into the scene and show them in the views."),
        )
        ui.dataLabel.text = f"{name}: {detailsOf(self._panel.dataCases[name])}" if name else ""
        ui.dataLabel.textFormat = qt.Qt.PlainText
        ui.dataLabel.setVisible(bool(name))

    def _showProblem(self) -> str:
        if not self._panel.dataCases:
            return _("Check the data first.")
        name = self._chosenCase()
        if not name:
            return _("Choose a case in the table.")
        return "" if self._panel.dataCases[name]["files"] else _("It is not known which files this case has.")

    def _chosenCase(self) -> str:
        table = self._panel.ui.dataTable
        rows = {item.row() for item in table.selectedItems()}
        return table.item(min(rows), _CASE).text() if rows else ""


def headers() -> list[str]:
    """Return the titles of the table's columns."""
    return [_("Case"), _("Sequences"), _("Label"), _("State")]


def isTrainable(case: Mapping[str, Any]) -> bool:
    """Whether a case can be learned from: it has no fault, and a label."""
    return bool(case["usable"] and case["labels"])


def itemsOf(name: str, case: Mapping[str, Any], isUsed: bool) -> list[qt.QTableWidgetItem]:
    """Return one row of the table; the first item has the box, unless the case can never be used."""
    label = _("yes") if case["labels"] else _("no")
    texts = [name, ", ".join(map(_title, case["present"])) or "–", label, _state(case)]
    items = [qt.QTableWidgetItem(text) for text in texts]
    details = detailsOf(case)
    for item in items:
        item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
        item.setToolTip(details)
    if isTrainable(case):
        items[_CASE].setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | qt.Qt.ItemIsUserCheckable)
    items[_CASE].setCheckState(tick(isUsed))
    return items


def tick(isTicked: bool) -> qt.Qt.CheckState:
    """Return the state of a box."""
    return qt.Qt.Checked if isTicked else qt.Qt.Unchecked


def detailsOf(case: Mapping[str, Any]) -> str:
    """Return what was found of a case: its faults with their remedies, what to know, and the size of the tumor."""
    from lckd_training.check.findings import naming_file

    lines = [f"{naming_file(one['message'], one['file'])} {one['action']}" for one in case["findings"]]
    if case["missing"]:
        lines.append(_("Missing: {sequences}.").format(sequences=", ".join(map(_title, case["missing"]))))
    if not case["labels"]:
        lines.append(
            _(
                "There is no label; to learn from this case, add a map of its tumor, as a file whose name ends in seg"
                " or, in a table, in the column label."
            )
        )
    if case["volumes_ml"]:
        sizes = ", ".join(f"{region} {ml:.1f} mL" for region, ml in case["volumes_ml"].items())
        lines.append(_("Tumor: {sizes}.").format(sizes=sizes))
    return "\n".join(lines) or _("Nothing is wrong.")


def _state(case: Mapping[str, Any]) -> str:
    faults = [finding["message"] for finding in case["findings"] if finding["kind"] == "fault"]
    if faults:
        return _("Fault: {reason}").format(reason=faults[0])
    if not case["labels"]:
        return _("No label")
    return _("Ready, see note") if case["findings"] else _("Ready")


def _title(sequence: str) -> str:
    from lckd.sequences import Sequence

    return str(Sequence(sequence).title)
