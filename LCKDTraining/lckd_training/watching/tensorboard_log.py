"""The events of a training run as curves for TensorBoard. The trainer knows nothing of it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lckd.errors import UsageError
from lckd.sequences import SEQUENCES, Sequence

from .events import Checkpoint, Election, End, Event, Start, Step, Weights, mean_dice, parse_event

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


class TensorBoardLog:
    """Writes the events that it is called with, over the number of iterations done.

    A resumed run goes on in the same curves: what had come after the iteration where it is taken up is hidden.

    Args:
        run: folder of the run.

    Raises:
        UsageError: the package tensorboard is not installed.
    """

    def __init__(self, run: Path) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            message = "The package tensorboard, which --tensorboard needs, is not installed."
            raise UsageError("TENSORBOARD_MISSING", message, "Install it: pip install tensorboard.")
        self._folder = run / FOLDER
        self._writer: SummaryWriter | None = None

    def __call__(self, facts: dict[str, Any]) -> None:
        """Take in an event of the run."""
        event = parse_event(facts)
        if isinstance(event, Start):
            self.close()
            self._writer = self._opened(event.iteration)
        elif isinstance(event, (Step, Election, Weights)):
            done = event.iteration + 1 if isinstance(event, Step) else event.iteration
            if self._writer is None:
                self._writer = self._opened(done - 1)
            for name, value in _scalars(event):
                self._writer.add_scalar(name, value, done, event.time)
            if isinstance(event, Election):
                self._writer.add_text("teachers", _words(event), done, event.time)
        elif isinstance(event, (Checkpoint, End)) and self._writer is not None:
            # A run that is killed goes on after its last checkpoint: up to there nothing may be missing.
            self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _opened(self, done: int) -> SummaryWriter:
        """A writer that goes on after so many iterations."""
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self._folder), purge_step=done + 1)


def _scalars(event: Event) -> Iterator[tuple[str, float]]:
    """What is plotted of an event, by the names of the curves."""
    if isinstance(event, Step):
        yield "loss/total", event.loss
        yield "loss/task", event.loss_task
        yield "loss/distillation", event.loss_ckd
        yield "learning rate", event.lr
        yield "speed/iterations per second", 1 / event.seconds if event.seconds > 0 else 0.0
        yield "speed/share waiting for data", event.seconds_data / event.seconds if event.seconds > 0 else 0.0
        if event.memory_mb is not None:
            yield "memory (MB)", event.memory_mb
        if event.seconds_left is not None:
            yield "hours left", event.seconds_left / 3600
    elif isinstance(event, Election):
        yield "score", mean_dice(event)
        for region, value in (event.full or {}).items():
            yield f"dice {region}/all sequences", value
        for sequence, by_region in event.dice.items():
            for region, value in by_region.items():
                yield f"dice {region}/{Sequence(sequence).title}", value
        for region, teacher in event.teachers.items():
            yield f"teacher/{region}", Sequence(teacher).index
    elif isinstance(event, Weights):
        for region, by_sequence in event.weights.items():
            for sequence, value in by_sequence.items():
                yield f"weight {region}/{Sequence(sequence).title}", value


def _words(election: Election) -> str:
    """The teachers, and which sequence each number of the curves stands for."""
    teachers = ", ".join(f"{region} {Sequence(name).title}" for region, name in election.teachers.items())
    return f"{teachers} (numbers: {', '.join(f'{s.index} {s.title}' for s in SEQUENCES)})"
