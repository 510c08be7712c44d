"""What is done with the checkpoints of a run: commands one after the other, on a model that is made for them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from .Wording import iterationsWords

if TYPE_CHECKING:
    from lckd.errors import LckdError
    from LCKDSegmentationLib.EngineCommand import EngineCommand

    from .TrainingRun import TrainingRun

#: How the folders begin that `CaseFolder.removeLeftBehind` removes when the application has crashed.
_SCRATCH = "lckd-case-"
_SPLIT = "split.json"
_ROLES = ("train", "election", "test")


class TemporaryModel:
    """A place for a model that is needed for a while.

    :param name: of the model
    :raises OutputError: temporary files cannot be written

    Attributes:
        folder: for whatever belongs to it.
        path: folder of the model to be.
    """

    def __init__(self, name: str) -> None:
        from lckd.errors import OutputError

        prefix, parent = f"{_SCRATCH}{os.getpid()}-", slicer.app.temporaryPath
        try:
            self._directory = tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True)
        except OSError as error:
            raise OutputError(
                "NOT_WRITABLE",
                _("Temporary files cannot be written in {folder}.").format(folder=parent),
                _("Check that the folder may be written to and that the disk is not full."),
            ) from error
        self.folder = Path(self._directory.name)
        self.path = self.folder / name

    def iterations(self) -> int:
        """Return for how many iterations the model was trained, once it is there.

        :raises ModelError: its card cannot be read
        """
        from lckd.models import ModelCard
        from lckd.models.store import METADATA

        return int(ModelCard.read(self.path / METADATA).training["iterations"])

    def dispose(self) -> None:
        """Remove it; again is harmless."""
        self._directory.cleanup()


class Work:
    """Commands, one after the other, with a model that is gone when they have ended; can be cancelled.

    :param model: is removed by `end`
    :param onEnded: is told of the end, with the error if there was one
    """

    def __init__(self, model: TemporaryModel | None, onEnded: Callable[[LckdError | None], None]) -> None:
        self._model = model
        self._onEnded = onEnded
        self._command: EngineCommand | None = None

    def run(
        self, start: Callable[[Callable[[LckdError | None], None]], EngineCommand], then: Callable[[], None]
    ) -> None:
        """Run a command and go on when it has ended well.

        :param start: starts it and is given what to tell of its end
        :param then: what comes next: `run` again, or `end`
        """

        def take(error: LckdError | None) -> None:
            self._command = None
            self._goOn(then, error)

        self._command = start(take)

    def start(self, first: Callable[[], None]) -> None:
        """Do what comes first: `run` something; where that is refused, the end is told."""
        self._goOn(first, None)

    def end(self, error: LckdError | None = None) -> None:
        """All is done, or something failed."""
        if self._model is not None:
            self._model.dispose()
        self._onEnded(error)

    def cancel(self) -> None:
        """Stop it; the end is told."""
        if self._command is not None:
            self._command.cancel()

    def _goOn(self, then: Callable[[], None], error: LckdError | None) -> None:
        from lckd.errors import LckdError

        try:
            if error is None:
                then()
        except LckdError as refusal:
            error = refusal
        except Exception as mistake:
            self.end(
                LckdError(
                    "BUG",
                    _("It could not be done ({reason}).").format(reason=mistake),
                    _("This is a mistake in the program; please report it with the application's log."),
                )
            )
            raise
        if error is not None:
            self.end(error)


def newestCheckpoint(run: Path) -> int | None:
    """Return after how many iterations a run was last saved; None if it was not yet."""
    return max((int(file.stem) for file in (run / "checkpoints").glob("[0-9]*.pt")), default=None)


def noNetwork(run: TrainingRun) -> str:
    """Return why no checkpoint of a run can segment yet; empty if the newest one can."""
    newest = newestCheckpoint(run.folder)
    if newest is None:
        return _("The run has saved no checkpoint yet.")
    if newest > run.pretraining:
        return ""
    words = _("The run can segment from its first checkpoint after pre-training, which takes {iterations}.")
    return words.format(iterations=iterationsWords(run.pretraining))


def rolesOf(run: Path) -> dict[str, str]:
    """Return what each case of a run is for: train, election or test; nothing where the run does not tell."""
    try:
        told = json.loads((run / _SPLIT).read_text(encoding="utf-8"))
        return {str(name): role for role in _ROLES for name in told[role]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def splitFor(run: Path, scratch: Path) -> Path:
    """Return the file that names the cases to evaluate: the test cases, or those of the election if there are none."""
    split = run / _SPLIT
    roles = rolesOf(run)
    if "test" in roles.values():
        return split
    told = json.loads(split.read_text(encoding="utf-8"))
    made = scratch / _SPLIT
    made.write_text(json.dumps({"train": [], "election": [], "test": told["election"]}), encoding="utf-8")
    return made


def ignore(_event: dict[str, Any]) -> None:
    """Take what a short command tells on its way, which is not shown."""
