"""A training run from a folder of cases to its last checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from lckd.device import choose_device, is_out_of_memory
from lckd.discovery import CaseFiles
from lckd.errors import CancelledError, InputError, LckdError, OutOfMemoryError, UsageError

from ..config import TrainingConfig
from ..data.cache import prepare_cases, using
from ..data.cases import TrainingCase, find_labeled, find_unlabeled, read_facts
from ..data.datasets import find_dataset
from ..data.split import Split
from ..distributed import Group
from ..watching.events import PROCESS_LOST
from .folder import RunFolder
from .provenance import record_start
from .reporter import Announce, Reporter, this_process
from .trainer import Trainer


def train(
    data: Path,
    config: TrainingConfig,
    run: Path,
    resume: bool = False,
    announce: Announce = lambda _: None,
    *,
    device: str = "auto",
    split: Path | None = None,
    cache: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train on the labeled cases below `data`, into the run folder `run`; in pre-training on those without labels, too.

    Args:
        data: folder of cases, or a CSV file that lists them.
        config: every setting.
        run: folder for everything that is written.
        resume: go on with the run in that folder.
        announce: gets every event, in each process.
        device: name of a device; of several GPUs each process that torchrun started takes its own.
        split: file of another split than the one that the settings describe; a run that exists keeps its own.
        cache: folder for the prepared cases, which several runs may share; None: in the run folder.
        should_stop: asked after each iteration, in each process.

    Raises:
        InputError: no usable cases, one has vanished or changed, there is a run and `resume` is not asked for, or
            another training writes to the folder.
        UsageError: the run cannot go on with other settings of that kind.
        OutputError: the disk is full, or the folder cannot be written to; the last checkpoint is kept.
        OutOfMemoryError: the settings need more memory than there is.
        CancelledError: it was asked to stop; a checkpoint was written.
    """
    folder, group = RunFolder(run), Group(Group.own_device(choose_device(device)))
    reporter = Reporter(folder, announce, group.is_first)

    def wants_to_stop() -> bool:
        return should_stop() or (group.is_first and folder.stop.exists())

    try:
        if folder.has_checkpoint and not resume:
            raise InputError("RUN_EXISTS", f"{run} already holds a run.", "Add --resume, or choose another folder.")
        if folder.has_checkpoint and folder.config.exists():
            _require_resumable(TrainingConfig.preset(str(folder.config)), config)
        parts = _split(data, config, folder, split)
        files = _files_of(parts, data, config.exclude)
        further = find_unlabeled(data, parts, config.exclude) if config.pretraining_iterations else []
        cache, only = cache or run / "cache", folder.held() if group.is_first else contextlib.nullcontext()
        with only, _leaving_word(reporter, group), using(cache):
            cases = _prepare([*files, *further], cache, config.workers, group, reporter, wants_to_stop)
            if group.is_first:
                record_start(folder, data, config, cases, group)
                folder.write_text(folder.config, config.to_yaml())
                if not folder.split.exists():
                    parts.write(folder.split)
            group.barrier()
            training, election = cases[: len(parts.train)], cases[len(parts.train) : len(files)]
            trainer = Trainer(
                config, folder, training, election, group, reporter, wants_to_stop, unlabeled=cases[len(files) :]
            )
            trainer.resume()
            finished = trainer.run()
    finally:
        group.close()
    if not finished:
        raise _interrupted()


def _files_of(split: Split, data: Path, exclude: tuple[str, ...]) -> list[CaseFiles]:
    """The files of the cases to train on, then of those that elect."""
    files = {case.name: case for case in find_labeled(data, exclude)}
    names = [*split.train, *split.election]
    absent = [name for name in names if name not in files]
    if absent:
        message = f"The case {absent[0]} of this run is not among the labeled cases."
        raise InputError("CASE_VANISHED", message, "Put it back, or begin a new run without it.")
    return [files[name] for name in names]


def _prepare(
    files: list[CaseFiles],
    cache: Path,
    workers: int,
    group: Group,
    reporter: Reporter,
    wants_to_stop: Callable[[], bool],
) -> list[TrainingCase]:
    """Each process prepares its share of the cases, and maps what the others have made.

    Where one cannot, all say why.
    """

    def tell(fraction: float, name: str) -> None:
        reporter.report(event="stage", message=f"prepared {name}", fraction=fraction, **this_process())
        if wants_to_stop():
            raise _interrupted()

    refusal: LckdError | None = None
    try:
        prepare_cases(files[group.rank :: group.size], cache, max(1, workers), tell)
    except LckdError as error:
        refusal = error
    group.raise_together(refusal)
    return prepare_cases(files, cache)


@contextlib.contextmanager
def _leaving_word(reporter: Reporter, group: Group) -> Iterator[None]:
    """Whatever ends a run that has begun is told among its events, by the process that knows of it."""
    try:
        yield
    except (CancelledError, KeyboardInterrupt):
        reporter.end("interrupted")
        raise
    except LckdError as error:
        reporter.end("failed", error, alone=not group.failed_together)
        raise
    except Exception as error:
        refusal = _in_words(error, group)
        reporter.end("failed", refusal, alone=refusal is None or refusal.code != PROCESS_LOST)
        if refusal is None:
            raise
        raise refusal from error


def _in_words(error: Exception, group: Group) -> LckdError | None:
    """What a user is told of an exception; None if it is a mistake in the program."""
    if isinstance(error, (RuntimeError, MemoryError)) and is_out_of_memory(error):
        return out_of_memory(group.device)
    if group.has_lost_a_peer(error):
        message = "Another process of this training has ended; the last checkpoint is kept."
        return LckdError(PROCESS_LOST, message, "See what that process says, and resume.")
    return None


def _require_resumable(before: TrainingConfig, now: TrainingConfig) -> None:
    """Refuse settings with which the checkpoint cannot be read.

    Raises:
        UsageError: one of them is not as before.
    """
    kept = {"size": str, "optimizer": str, "deep_supervision": bool, "pretraining_iterations": bool}
    for name, kind in kept.items():  # of the latter two it only matters whether they are 0
        old, new = getattr(before, name), getattr(now, name)
        if kind(old) != kind(new):
            message = f"A run with {name}={old} cannot go on with {name}={new}."
            raise UsageError("BAD_SETTING", message, "Begin another run, which may start_from this one.")


def _split(data: Path, config: TrainingConfig, folder: RunFolder, file: Path | None) -> Split:
    """The split of the run, of a file, or drawn by the settings."""
    is_own = folder.split.exists()
    source = folder.split if is_own else file
    if source is None:
        return Split.draw(read_facts(case for case in find_dataset(data) if case.name not in config.exclude), config)
    parts = Split.read(source).without(config.exclude)
    if not is_own:
        parts.check_patients({case.name: case.patient for case in find_dataset(data)})
    for cases, code, purpose in (
        (parts.train, "NO_TRAINING_CASE", "train on"),
        (parts.election, "NO_ELECTION_CASE", "elect the teachers with"),
    ):
        if not cases:
            raise InputError(code, f"No case is left to {purpose}.", "Exclude fewer, or take another split.")
    return parts


def out_of_memory(device: torch.device) -> OutOfMemoryError:
    """The error for settings that need more memory than there is."""
    return OutOfMemoryError(
        "OUT_OF_MEMORY",
        f"The training does not fit into the memory of {device}; the last checkpoint is kept.",
        "Set accumulate to the batch, checkpoint_activations to true, or a smaller patch, and resume.",
    )


def _interrupted() -> CancelledError:
    return CancelledError("Go on with --resume; nothing was lost.")
