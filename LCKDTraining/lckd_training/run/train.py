"""A training run from a folder of cases to its last checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch

from lckd.device import choose_device, is_out_of_memory
from lckd.errors import CancelledError, InputError, LckdError, OutOfMemoryError

from ..config import TrainingConfig
from ..data.cache import prepare_cases
from ..data.cases import find_labeled, read_facts
from ..data.datasets import find_dataset
from ..data.split import Split
from ..distributed import Group
from .folder import RunFolder
from .provenance import record_start
from .trainer import Announce, Trainer


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
    """Train on the labeled cases below `data`, into the run folder `run`.

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
        InputError: no usable cases, one has vanished or changed, or there is a run and `resume` is not asked for.
        OutputError: the disk is full, or the folder cannot be written to; the last checkpoint is kept.
        OutOfMemoryError: the settings need more memory than there is.
        CancelledError: it was asked to stop; a checkpoint was written.
    """
    folder, group = RunFolder(run), Group(Group.own_device(choose_device(device)))
    try:
        trainer = _begin(data, config, folder, resume, announce, group, split, cache or run / "cache", should_stop)
        finished = _run(trainer)
    finally:
        group.close()
    if not finished:
        raise CancelledError("Go on with --resume; nothing was lost.")


def _begin(
    data: Path,
    config: TrainingConfig,
    folder: RunFolder,
    resume: bool,
    announce: Announce,
    group: Group,
    split_file: Path | None,
    cache: Path,
    should_stop: Callable[[], bool],
) -> Trainer:
    """Prepare the cases, record what the run is made of, and take up its last checkpoint."""
    if folder.load_checkpoint() is not None and not resume:
        raise InputError("RUN_EXISTS", f"{folder.path} already holds a run.", "Add --resume, or choose another folder.")
    split = _split(data, config, folder, split_file)
    files = {case.name: case for case in find_labeled(data)}
    names = [*split.train, *split.election]
    absent = [name for name in names if name not in files]
    if absent:
        message = f"The case {absent[0]} of this run is not among the labeled cases."
        raise InputError("CASE_VANISHED", message, "Put it back, or begin a new run without it.")

    def tell(fraction: float, name: str) -> None:
        if group.is_first:
            event = {"event": "stage", "stage": "prepare", "fraction": fraction, "message": f"prepared {name}"}
            folder.append_event(event := event | {"time": round(time.time(), 3)})
            announce(event)

    if group.is_first:
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.stop.unlink(missing_ok=True)
    group.barrier()
    # Each process prepares its share, and maps what the others have made.
    prepare_cases([files[name] for name in names[group.rank :: group.size]], cache, max(1, config.workers), tell)
    group.barrier()
    cases = prepare_cases([files[name] for name in names], cache)
    if group.is_first:
        record_start(folder, config, cases, group)
        folder.write_text(folder.config, config.to_yaml())
        if not folder.split.exists():
            split.write(folder.split)
    group.barrier()
    training, election = cases[: len(split.train)], cases[len(split.train) :]
    trainer = Trainer(config, folder, training, election, group, announce, should_stop)
    trainer.resume()
    return trainer


def _run(trainer: Trainer) -> bool:
    """Train, and leave word in the events of what ended the run."""
    try:
        return trainer.run()
    except LckdError as error:
        trainer.report_end("failed", error)
        raise
    except Exception as error:
        memory = isinstance(error, (RuntimeError, MemoryError)) and is_out_of_memory(error)
        refusal = out_of_memory(trainer.device) if memory else None
        trainer.report_end("failed", refusal)
        if refusal is None:
            raise
        raise refusal from error
    except KeyboardInterrupt:
        trainer.report_end("interrupted")
        raise


def _split(data: Path, config: TrainingConfig, folder: RunFolder, file: Path | None) -> Split:
    """The split of the run, of a file, or drawn by the settings."""
    source = folder.split if folder.split.exists() else file
    if source is None:
        return Split.draw(read_facts(find_dataset(data)), config)
    return Split.read(source).without(config.exclude)


def out_of_memory(device: torch.device) -> OutOfMemoryError:
    """The error for settings that need more memory than there is."""
    return OutOfMemoryError(
        "OUT_OF_MEMORY",
        f"The training does not fit into the memory of {device}; the last checkpoint is kept.",
        "Set accumulate to the batch, checkpoint_activations to true, or a smaller patch, and resume.",
    )
