"""A progress bar with a line of words: stage, true percentage, time elapsed and time left."""

from __future__ import annotations

import time

import qt
from slicer.i18n import tr as _

from .Panel import reveal

_TICK_MILLISECONDS = 500
_GUESSED_FROM = 0.03


def stageWords(stage: str) -> str:
    """Return what a stage is called for the user."""
    return {
        "start": _("Starting"),
        "read": _("Reading"),
        "prepare": _("Preparing"),
        "network": _("Segmenting"),
        "restore": _("Putting back onto your voxels"),
        "compare": _("Comparing"),
        "write": _("Writing"),
        "import": _("Bringing into the scene"),
        "download": _("Downloading"),
    }.get(stage, stage)


def timeWords(seconds: float) -> str:
    """Return a duration as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ProgressDisplay:
    """Shows how far something is; both widgets are hidden while nothing is under way.

    Attributes:
        fraction: what is shown, 0 to 1.
    """

    def __init__(self, bar: qt.QProgressBar, label: qt.QLabel) -> None:
        self._bar = bar
        self._label = label
        self._stage = ""
        self.fraction = 0.0
        self._started = 0.0
        self._timer = qt.QTimer()
        self._timer.setInterval(_TICK_MILLISECONDS)
        self._timer.connect("timeout()", self._showWords)
        bar.setRange(0, 1000)
        self.stop()

    def start(self, stage: str = "start") -> None:
        """Begin to count."""
        self._started, self.fraction, self._stage = time.monotonic(), 0.0, stage
        self._bar.setVisible(True)
        self._label.setVisible(True)
        self._timer.start()
        self.show(0.0)

    def reveal(self) -> None:
        """Scroll the panel so that it can be seen, and the message below it."""
        reveal(self._label)

    def show(self, fraction: float, stage: str | None = None) -> None:
        """Show the fraction done of the whole, 0 to 1, and what is being done."""
        self.fraction = fraction
        if stage is not None:
            self._stage = stage
        self._bar.value = round(1000 * fraction)
        # The format would show one thousandth as 0 %.
        self._bar.setFormat(f"{round(100 * fraction)} %")
        self._showWords()

    def stop(self) -> None:
        """Hide it."""
        self._timer.stop()
        self._bar.setVisible(False)
        self._label.setVisible(False)

    def _showWords(self) -> None:
        elapsed = time.monotonic() - self._started
        words = [stageWords(self._stage), _("elapsed {time}").format(time=timeWords(elapsed))]
        if self.fraction >= _GUESSED_FROM:
            left = elapsed * (1 - self.fraction) / self.fraction
            words.append(_("about {time} left").format(time=timeWords(left)))
        self._label.text = " · ".join(words)
