"""The button Segment, which is Cancel while the worker computes, with progress and messages below."""

from __future__ import annotations

from collections.abc import Callable

from slicer.i18n import tr as _

from .Panel import Panel
from .Parameters import (
    Rerun,
    SegmentationParameters,
    inputsProblem,
    segmentationToReplace,
    settingsOf,
    usedVolumes,
)
from .ProgressDisplay import ProgressDisplay, timeWords
from .RunButton import ButtonWords, RunButton
from .Runs import Run, SegmentRun


class SegmentSection:
    """Starts and cancels segmentations.

    :param modelProblem: says why the model cannot be used; empty if it can
    :param onSegmented: takes a run that ended well, and the parameter set from which it was started
    """

    def __init__(
        self,
        panel: Panel,
        modelProblem: Callable[[], str],
        onSegmented: Callable[[SegmentRun, SegmentationParameters], None],
    ) -> None:
        self._panel = panel
        self._modelProblem = modelProblem
        self._onSegmented = onSegmented
        self._parameters: SegmentationParameters | None = None
        self._isKept = False
        words = ButtonWords(
            _("Segment"),
            _("Segment the tumor from the sequences in use. For research use only."),
            _("Stop the segmentation. Nothing is added to the scene."),
            _("The segmentation is being stopped."),
        )
        progress = ProgressDisplay(panel.ui.segmentProgress, panel.ui.segmentStatus)
        self._button = RunButton(
            panel, panel.ui.segmentButton, progress, panel.message, words, self.problem, self._start
        )

    @property
    def isRunning(self) -> bool:
        """Whether a segmentation is under way."""
        return self._button.isRunning

    def problem(self) -> str:
        """Return why one cannot segment now; empty if one can."""
        if self._panel.parameters is None:
            return self._panel.setProblem()
        if self._panel.logic.current is not None:
            return _("Wait for the end of the comparison, or cancel it.")
        return inputsProblem(self._panel.parameters) or self._modelProblem()

    def update(self) -> None:
        """Show what the button does now, or why it does nothing."""
        self._button.update()

    def stop(self) -> None:
        """Show nothing under way; for the end of the scene, where the logic has ended the run."""
        self._button.end()

    def _start(self) -> None:
        parameters = self._panel.parameters
        replaced = segmentationToReplace(parameters)
        self._isKept = parameters.rerun == Rerun.REPLACE and parameters.segmentation is not None and replaced is None
        self._parameters = parameters
        run = self._panel.logic.segment(
            usedVolumes(parameters),
            settingsOf(parameters),
            replaced=replaced,
            waitForCompletion=False,
            onProgress=self._showProgress,
            onFinished=self._finish,
        )
        self._button.begin(run)

    def _showProgress(self, run: Run) -> None:
        if run is self._button.run:
            self._button.progress.show(run.fraction, run.stage)

    def _finish(self, run: Run) -> None:
        if run is not self._button.run:
            return
        self._button.end()
        if run.isCancelled:
            self._panel.say(_("The segmentation was cancelled."))
        elif run.error is not None:
            self._panel.sayError(run.error)
        else:
            self._onSegmented(run, self._parameters)
            self._panel.say(self._words(run))
        self._panel.changed()

    def _words(self, run: SegmentRun) -> str:
        found = _("No tumor was found.") if run.imported is not None and run.imported.isEmpty else _("Done.")
        took = _("It took {time}.").format(time=timeWords(run.elapsedSeconds))
        kept = _("The former segmentation was changed by hand or is of other volumes; it was kept.")
        return " ".join([found, took, *([kept] if self._isKept or run.isKept else []), *run.warnings])
