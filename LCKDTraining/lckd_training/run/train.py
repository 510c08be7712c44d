"""A training run from a folder of cases to its last checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from lckd.device import choose_device, is_out_of_memory
from lckd.discovery import CaseFiles
from lckd.errors import CancelledError, InputError, LckdError, OutOfMemoryError

from ..config import TrainingConfig
from ..data.cache import prepare_cases, using
from ..data.cases import TrainingCase, find_labeled, find_unlabeled, read_facts
from ..data.datasets import find_dataset
from ..data.split import Split
from ..distributed import Group
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
        announce: gets every event.
        device: name of a device; of several GPUs each process that torchrun started takes its own.
        split: file of another split than the one that the settings describe.
        cache: folder for the prepared cases, which several runs may share; None: in the run folder.
        should_stop: asked after each iteration.

    Raises:
        InputError: no usable cases, one has vanished or changed, there is a run and `resume` is not asked for, or
            another training writes to the folder.
        OutputError: the disk is full, or the folder cannot be written to; the last checkpoint is kept.
        OutOfMemoryError: the settings need more memory than there is.
        CancelledError: it was asked to stop; a checkpoint was written.
    """
    folder, group = RunFolder(run), Group(Group.own_device(choose_device(device)))
    reporter = Reporter(folder, announce, group.is_first)

    def wants_to_stop() -> bool:
        return group.is_first and (should_stop() or folder.stop.exists())

    try:
        if folder.load_checkpoint() is not None and not resume:
            raise InputError("RUN_EXISTS", f"{run} already holds a run.", "Add --resume, or choose another folder.")
        parts = _split(data, config, folder, split)
        files = _files_of(parts, data, config.exclude)
        further = find_unlabeled(data, parts, config.exclude) if config.pretraining_iterations else []
        cache, only = cache or run / "cache", folder.held() if group.is_first else contextlib.nullcontext()
        with only, _leaving_word(reporter, group.device), using(cache):
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
    """Each process prepares its share of the cases, and maps what the others have made."""

    def tell(fraction: float, name: str) -> None:
        reporter.report(event="stage", message=f"prepared {name}", fraction=fraction, **this_process())
        if wants_to_stop():
            raise _interrupted()

    prepare_cases(files[group.rank :: group.size], cache, max(1, workers), tell)
    group.barrier()
    return prepare_cases(files, cache)


@contextlib.contextmanager
def _leaving_word(reporter: Reporter, device: torch.device) -> Iterator[None]:
    """Whatever ends a run that has begun is told among its events."""
    try:
        yield
    except (CancelledError, KeyboardInterrupt):
        reporter.end("interrupted")
        raise
    except LckdError as error:
        reporter.end("failed", error)
        raise
    except Exception as error:
        memory = isinstance(error, (RuntimeError, MemoryError)) and is_out_of_memory(error)
        refusal = out_of_memory(device) if memory else None
        reporter.end("failed", refusal)
        if refusal is None:
            raise
        raise refusal from error


def _split(data: Path, config: TrainingConfig, folder: RunFolder, file: Path | None) -> Split:
    """The split of the run, of a file, or drawn by the settings."""
    source = folder.split if folder.split.exists() else file
    if source is None:
        return Split.draw(read_facts(case for case in find_dataset(data) if case.name not in config.exclude), config)
    return Split.read(source).without(config.exclude)


def out_of_memory(device: torch.device) -> OutOfMemoryError:
    """The error for settings that need more memory than there is."""
    return OutOfMemoryError(
        "OUT_OF_MEMORY",
        f"The training does not fit into the memory of {device}; the last checkpoint is kept.",
        "Set accumulate to the batch, checkpoint_activations to true, or a smaller patch, and resume.",
    )


def _interrupted() -> CancelledError:
    return CancelledError("Go on with --resume; nothing was lost.")
