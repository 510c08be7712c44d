"""Training samples, drawn by processes of their own while the network is busy: the device must not wait for data."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from lckd.errors import LckdError, OutOfMemoryError

Sample = TypeVar("Sample")
#: Samples that each process draws ahead.
AHEAD = 2
#: How torch says that a process is no more: "(pid 1) is killed by signal", "(pid(s) 1) exited unexpectedly".
_LOST = re.compile(r"DataLoader worker \(pid")
#: What torch adds to an exception that was raised in another process.
_OF_DRAWING = "in DataLoader worker process"


@dataclass(frozen=True)
class _Refused:
    """An error in place of a sample: torch would raise another one of the same class, with other words."""

    error: LckdError


class _Draws(Dataset[Any]):
    """The samples by iteration, for torch."""

    def __init__(self, draw: Callable[[int], Any]) -> None:
        self.draw = draw

    def __getitem__(self, iteration: int) -> Any:
        try:
            return self.draw(iteration)
        except LckdError as error:
            return _Refused(error)


class PatchLoader(Generic[Sample]):
    """The samples of the iterations from `start` up to `stop`, once and in order, drawn ahead by other processes.

    Order and content do not depend on the number of processes, each of which has one thread. To be used in a ``with``
    statement, at whose end the processes are no more, however it ends.

    Args:
        draw: the sample of an iteration, a pure function of it; it must be picklable.
        start: the first iteration.
        stop: the one after the last.
        workers: number of processes; 0: each sample is drawn when it is asked for.
        pin: put the samples into page-locked memory, for CUDA. Tensors, mappings and sequences of them, and whatever
            has a method ``pin_memory``, are pinned; anything else is left as it is.

    Attributes:
        waited: seconds for which the last sample was waited.

    Raises:
        LckdError: what `draw` raises.
        OutOfMemoryError: TRAINING_DATA_LOST; a process was killed. Its death may show anywhere in the ``with`` block.
    """

    def __init__(
        self, draw: Callable[[int], Sample], start: int, stop: int, workers: int = 0, pin: bool = False
    ) -> None:
        self.waited = 0.0
        loader: DataLoader[Any] = DataLoader(
            _Draws(draw),
            batch_size=None,
            sampler=range(start, stop),
            num_workers=workers,
            prefetch_factor=AHEAD if workers else None,
            multiprocessing_context="spawn" if workers else None,
            pin_memory=pin,
            worker_init_fn=_leave_signals,
            generator=torch.Generator(),  # Without its own, it would draw from the state of everybody's.
        )
        self._apart = workers > 0
        self._samples: Iterator[Any] = iter(loader)

    def __iter__(self) -> Iterator[Sample]:
        return self

    def __next__(self) -> Sample:
        started = time.perf_counter()
        try:
            sample = next(self._samples)
        except RuntimeError as error:
            if _LOST.search(str(error)):
                raise _lost() from error
            raise
        except (ConnectionError, EOFError) as error:
            # The process died while it was handing the sample over; what `draw` raises is told otherwise.
            if self._apart and _OF_DRAWING not in str(error):
                raise _lost() from error
            raise
        self.waited = time.perf_counter() - started
        if isinstance(sample, _Refused):
            raise sample.error
        return sample

    def __enter__(self) -> PatchLoader[Sample]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        # On the death of a process torch interrupts whatever the program is doing.
        if isinstance(error, RuntimeError) and _LOST.search(str(error)):
            raise _lost() from error

    def close(self) -> None:
        """End the processes; there are no more samples."""
        samples, self._samples = self._samples, iter(())
        # Torch ends them when nobody holds the iterator any more, which the traceback of an error may still do.
        shut_down = getattr(samples, "_shutdown_workers", None)
        if shut_down is None:
            return
        try:
            shut_down()
        except RuntimeError as error:
            # Torch told here of the death of a process, and has told the others to end.
            if not _LOST.search(str(error)):
                raise
            for process in samples._workers:  # type: ignore[attr-defined]
                process.join()


def _leave_signals(_worker: int) -> None:
    """Ctrl-C in a shell, and torchrun, signal all processes: the one that trains then ends those that draw."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _lost() -> OutOfMemoryError:
    message = "A process that draws training samples was ended from outside, most often for lack of memory."
    action = "Resume the run with fewer workers; in a container, allow more shared memory."
    return OutOfMemoryError("TRAINING_DATA_LOST", message, action)
