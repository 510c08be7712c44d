"""The section "Batch": all cases below a folder, by the same command as in a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from .EngineCommand import EngineCommand
from .Panel import Message, Panel, fillTable, prepareTable
from .Parameters import RunSettings, batchProblem, settingsOf
from .PathEdit import PathEdit
from .ProgressDisplay import ProgressDisplay, stageWords
from .RunButton import ButtonWords, RunButton

if TYPE_CHECKING:
    from collections.abc import Callable

    from lckd.errors import LckdError


class BatchSection:
    """Runs ``lckd batch`` and lists its cases.

    :param modelProblem: says why the model cannot be used; empty if it can
    :param runCommand: makes an `EngineCommand`; its arguments are those of that class
    """

    def __init__(
        self, panel: Panel, modelProblem: Callable[[], str], runCommand: type[EngineCommand] = EngineCommand
    ) -> None:
        self._panel = panel
        self._modelProblem = modelProblem
        self._runCommand = runCommand
        #: State of each case in words, by name.
        self.cases: dict[str, str] = {}
        #: The case that is being worked on; empty before the first and after the last.
        self._case = ""
        words = ButtonWords(
            _("Run batch"),
            _("Segment all cases. Those that are done already are skipped."),
            _("Stop the batch. Cases that are done stay done."),
            _("The batch is being stopped."),
        )
        self._progress = ProgressDisplay(panel.ui.batchProgress, panel.ui.batchStatus)
        self.message = Message(panel.ui.batchMessageLabel)
        self._button = RunButton(
            panel, panel.ui.batchButton, self._progress, self.message, words, self.problem, self._start
        )
        prepareTable(panel.ui.batchTable, self._headers(), shownRows=5)
        self._folders = [
            PathEdit(panel, getattr(panel.ui, f"{name}Edit"), name) for name in ("batchInput", "batchOutput")
        ]

    @property
    def isRunning(self) -> bool:
        """Whether a batch is under way."""
        return self._button.isRunning

    def problem(self) -> str:
        """Return why a batch cannot be run now; empty if it can."""
        if self._panel.parameters is None:
            return self._panel.setProblem()
        return batchProblem(self._panel.parameters) or self._modelProblem()

    def update(self) -> None:
        """Show the folders, and what the button does now or why it does nothing."""
        for folder in self._folders:
            folder.update()
        self._button.update()

    def close(self) -> None:
        """End what is under way."""
        if self._button.run is not None:
            self._button.run.cancel()

    def _start(self) -> None:
        parameters = self._panel.parameters
        arguments = ["batch", parameters.batchInput, "-o", parameters.batchOutput]
        command = self._runCommand([*arguments, *optionsOf(settingsOf(parameters))], self._take, self._finish)
        self.cases, self._case = {}, ""
        self._showCases()
        self._button.begin(command)
        command.start()

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "progress":
            self._progress.show(event["fraction"])
        elif kind == "stage" and event.get("case"):
            self._enter(event["case"], event["stage"])
        elif kind == "warning" and event.get("code"):
            self._leave(event["case"], _("Failed: {reason}").format(reason=event["message"]))
        elif kind == "result":
            self._conclude(event)
        self._showCases()

    def _enter(self, case: str, stage: str) -> None:
        """A case is being worked on; the one before it, unless it failed, is done."""
        if self._case != case:
            self._leave(self._case, _("Done"))
            self._case = case
        self.cases[case] = stageWords(stage)
        self._progress.show(self._progress.fraction, stage)

    def _leave(self, case: str, state: str) -> None:
        if case:
            self.cases[case] = state
        self._case = ""

    def _conclude(self, event: dict[str, Any]) -> None:
        self._case = ""
        words = {"done": _("Done"), "skipped": _("Was done before"), "failed": _("Failed: {reason}")}
        self.cases = {case["case"]: words[case["state"]].format(reason=case["message"]) for case in event["cases"]}
        counts = _("{done} done, {skipped} were done before, {failed} failed.").format(**event)
        self.message.say(" ".join([counts, _("The tables are in the folder for the results.")]))

    def _finish(self, error: LckdError | None) -> None:
        from lckd.errors import CancelledError

        self._button.end()
        self._leave(self._case, _("Not finished"))
        self._showCases()
        if isinstance(error, CancelledError):
            self.message.say(_("The batch was cancelled. Run it again to go on; what is done is skipped."))
        elif error is not None and error.code != "SOME_CASES_FAILED":
            self.message.sayError(error)
        self._panel.changed()

    def _showCases(self) -> None:
        fillTable(self._panel.ui.batchTable, self._headers(), [[name, state] for name, state in self.cases.items()])

    @staticmethod
    def _headers() -> list[str]:
        return [_("Case"), _("State")]


def optionsOf(settings: RunSettings) -> list[str]:
    """Return the options of the command line for these settings."""
    options: list[str] = ["--device", settings.device]
    for name in ("model", "grid", "threads"):
        if getattr(settings, name) is not None:
            options += [f"--{name}", str(getattr(settings, name))]
    return [*options, *(f"--{name}" for name in ("mirror", "probabilities", "uncertainty") if getattr(settings, name))]
