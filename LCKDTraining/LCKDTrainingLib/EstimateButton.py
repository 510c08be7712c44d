"""The button that finds out how long a training will take, and how much memory, by a few real iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from LCKDSegmentationLib.Panel import Message
from LCKDSegmentationLib.ProgressDisplay import ProgressDisplay
from LCKDSegmentationLib.RunButton import ButtonWords, RunButton

from .Wording import casesWords, durationWords, iterationsWords, memoryWords

if TYPE_CHECKING:
    from collections.abc import Callable

    from lckd.errors import LckdError

    from .TrainingPanel import TrainingPanel
    from .TrainingRun import TrainingOrder


class EstimateButton:
    """Runs ``lckd train estimate`` and says what it tells.

    :param problem: says why nothing can be estimated now; empty if it can
    :param order: says what would be trained

    Attributes:
        error: what the last estimate failed with; None if it did not, or if something else was chosen since.
    """

    def __init__(self, panel: TrainingPanel, problem: Callable[[], str], order: Callable[[], TrainingOrder]) -> None:
        self.error: LckdError | None = None
        self._panel = panel
        self._order = order
        #: What was asked of the trainer.
        self._estimated: list[str] = []
        words = ButtonWords(
            _("Estimate time and memory"),
            _(
                "Try out a few iterations with these settings on this device. It takes a minute or more; nothing is"
                " kept."
            ),
            _("Stop trying it out."),
            _("It is being stopped."),
        )
        ui = panel.ui
        self.message = Message(ui.estimateLabel)
        progress = ProgressDisplay(ui.estimateProgress, ui.estimateStatus)
        self._button = RunButton(panel, ui.estimateButton, progress, self.message, words, problem, self._start)

    @property
    def isRunning(self) -> bool:
        """Whether an estimate is under way."""
        return self._button.isRunning

    def start(self) -> None:
        """Estimate, unless something is in the way."""
        if not self.isRunning:
            self._button.startOrCancel()

    def update(self) -> None:
        """Show what the button does now; an estimate of other choices is taken away."""
        if self._estimated and not self.isRunning and self._estimated != self._arguments():
            self._forget()
        self._button.update()

    def stop(self) -> None:
        """End what is under way, and show nothing."""
        if self._button.run is not None:
            self._button.run.cancel()
        self._forget()

    def _forget(self) -> None:
        self._estimated, self.error = [], None
        self.message.say("")

    def _arguments(self) -> list[str]:
        return self._order().estimateArguments() if self._panel.parameters is not None else []

    def _start(self) -> None:
        self._forget()
        self._estimated = self._arguments()
        self._button.begin(self._panel.logic.estimate(self._order(), self._take, self._finish))

    def _take(self, event: dict[str, Any]) -> None:
        if event["event"] == "progress":
            self._button.progress.show(event["fraction"])
        elif event["event"] == "stage":
            self._button.progress.show(self._button.progress.fraction, event["stage"])
        elif event["event"] == "result":
            self.message.say(estimateWords(event))

    def _finish(self, error: LckdError | None) -> None:
        from lckd.errors import CancelledError

        self._button.end()
        if isinstance(error, CancelledError):
            self.message.say(_("The estimate was cancelled."))
        elif error is not None:
            self.error = error
            self.message.sayError(error)
        self._panel.changed()


def estimateWords(found: dict[str, Any]) -> str:
    """Return what a training will take, from the result of ``lckd train estimate --json``."""
    words = [
        _("About {time} for {iterations} of {seconds:.3g} s, with {cases}, on {device}.").format(
            time=durationWords(found["seconds"]),
            iterations=iterationsWords(found["iterations"]),
            seconds=found["seconds_per_iteration"],
            cases=casesWords(found["cases"]),
            device=found["device"],
        )
    ]
    if found.get("memory_mb") is not None:
        words.append(_("It takes {memory} of memory.").format(memory=memoryWords(found["memory_mb"])))
    if found.get("memory_free_mb") is not None:
        words.append(_("{memory} besides are free.").format(memory=memoryWords(found["memory_free_mb"])))
    return " ".join([*words, _("This holds if nothing else runs on this computer.")])
