"""Many cases: each once, resumable, a bad one does not end the others, shared among processes by torchrun."""

from __future__ import annotations

import csv
import dataclasses
import functools
import hashlib
import io
import json
import os
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from . import __version__
from .case import Case
from .comparison import compare_results
from .discovery import CaseFiles, case_paths, find_case
from .engine import Engine, Result
from .errors import BatchError, CancelledError, InputError, LckdError, not_enough_memory
from .images import image_stem, is_image_name, writing
from .jobs import Job, segment_job
from .labels import REGIONS
from .output import report_path, segmentation_path
from .progress import Progress

#: Makes the job of a case, given its files and its folder for results.
MakeJob = Callable[[CaseFiles, Path], Job]
#: Told the name of a case, the stage, and the fraction done of all cases of this process.
CaseListener = Callable[[str, str, float], None]

CASE_COLUMNS = ("case", "subset", "region", "dice", "hd95_mm")
SUMMARY_COLUMNS = ("case", "state", "code", "message", "seconds", "subset", *(f"{r.value}_ml" for r in REGIONS))
#: How long a process waits for its peers to finish their share.
PATIENCE = timedelta(days=30)


@dataclasses.dataclass(frozen=True)
class Task:
    """One case of a batch: what to do, or why nothing can be done."""

    name: str
    job: Job | None
    problem: LckdError | None = None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one case.

    Attributes:
        name: path of the case below the root.
        state: skipped means that an earlier run did exactly this.
        code: of the error, if it failed.
        message: of the error, if it failed.
        report: the run report, unless it failed.
    """

    name: str
    state: Literal["done", "skipped", "failed"]
    code: str = ""
    message: str = ""
    report: dict[str, Any] = dataclasses.field(default_factory=dict)


def plan_batch(root: Path, output: Path, make_job: MakeJob, reference_suffix: str | None = None) -> list[Task]:
    """Every case below a folder, sorted by path, each with its own folder below `output`.

    Args:
        root: folder that holds the cases at any depth.
        output: folder of the results.
        make_job: makes the job of a case.
        reference_suffix: how the names of the reference segmentations end, in place of those found by name.

    Raises:
        InputError: there is no case.
    """
    tasks = []
    for path in case_paths(root):
        name = _name_below(root, path)
        try:
            files = find_case(path)
            if reference_suffix is None:
                job = make_job(files, output / name)
            else:
                reference = _reference_by_suffix(path, reference_suffix)
                job = make_job(dataclasses.replace(files, labels=None), output / name)
                job = dataclasses.replace(job, reference=reference)
            tasks.append(Task(name, job))
        except LckdError as error:
            tasks.append(Task(name, None, error))
    return tasks


def run_batch(
    engine: Engine,
    tasks: Iterable[Task],
    tell: CaseListener = lambda name, stage, fraction: None,
    finished: Callable[[Outcome], None] = lambda outcome: None,
    start_seconds: float = 0.0,
    debug: bool = False,
) -> list[Outcome]:
    """Do the tasks one after another; the next case is read while the network is at work.

    Args:
        engine: used for all of them.
        tasks: from `plan_batch`.
        tell: the progress.
        finished: told the outcome of each case.
        start_seconds: how long the start of the program took, for the report of the first case.
        debug: print the traceback of unexpected exceptions.

    Raises:
        CancelledError: the user asked to stop. What is finished stays, and is skipped the next time.
    """
    todo = list(tasks)
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(max_workers=1) as reader:
        upcoming = [reader.submit(_look_at, engine, task) for task in todo[:1]]
        for number, task in enumerate(todo):
            looked = upcoming.pop()
            upcoming += [reader.submit(_look_at, engine, following) for following in todo[number + 1 : number + 2]]
            progress = Progress(_listener(task.name, number, len(todo), tell))
            progress.seconds["start"] = 0.0 if outcomes else start_seconds
            outcomes.append(_attempt(engine, task, looked, progress, debug))
            finished(outcomes[-1])
    return outcomes


def write_tables(outcomes: Iterable[Outcome], output: Path) -> list[Path]:
    """Write ``cases.csv`` (Dice and HD95 of cases with a reference) and ``summary.csv`` (every case).

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    ordered = sorted(outcomes, key=lambda outcome: outcome.name)
    tables = {
        output / "cases.csv": [CASE_COLUMNS, *(row for outcome in ordered for row in _case_rows(outcome))],
        output / "summary.csv": [SUMMARY_COLUMNS, *map(_summary_row, ordered)],
    }
    for path, rows in tables.items():
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        with writing(path) as temporary:
            # The name of a folder need not be UTF-8.
            temporary.write_bytes(text.getvalue().encode("utf-8", "backslashreplace"))
    return list(tables)


def batch_error(outcomes: list[Outcome]) -> BatchError | None:
    """The error that says how many cases failed; None if none did."""
    failed = sum(outcome.state == "failed" for outcome in outcomes)
    if not failed:
        return None
    message = f"{failed} of {len(outcomes)} cases failed; the others are done."
    return BatchError("SOME_CASES_FAILED", message, "See summary.csv for the reasons, then run the same command again.")


@dataclasses.dataclass(frozen=True)
class Share:
    """Which part of a batch this process does: all of it, unless torchrun started several."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @staticmethod
    def of_this_process() -> Share:
        """As torchrun says in the environment."""
        rank, size, local_rank = (int(os.environ.get(key, "0")) for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        return Share(rank, max(1, size), local_rank)

    def of(self, tasks: list[Task]) -> list[Task]:
        """Every `size`-th task."""
        return tasks[self.rank :: self.size]

    def device(self, wanted: str) -> str:
        """The GPU of this process, where the user left the choice."""
        import torch

        from .device import choose_device

        if self.size == 1 or wanted not in ("auto", "cuda") or choose_device(wanted).type != "cuda":
            return wanted
        return f"cuda:{self.local_rank % torch.cuda.device_count()}"

    def gather(self, outcomes: list[Outcome]) -> list[Outcome]:
        """The outcomes of all processes on the first one; nothing on the others."""
        if self.size == 1:
            return outcomes
        import torch.distributed as dist

        dist.init_process_group("gloo", timeout=PATIENCE)
        gathered: list[Any] | None = [None] * self.size if self.rank == 0 else None
        dist.gather_object(outcomes, gathered)
        dist.barrier()
        dist.destroy_process_group()
        return [outcome for part in gathered or [] for outcome in part]


@dataclasses.dataclass(frozen=True)
class _ReadJob(Job):
    """A job whose images were read ahead, with the fingerprint that tells whether it was done before."""

    case: Case | None = None
    fingerprint: str = ""

    def read(self, progress: Progress) -> Case:
        assert self.case is not None
        return self.case


def _look_at(engine: Engine, task: Task) -> Outcome | _ReadJob:
    """Whether the task was done before; if not, read its images and try its reference before any computation."""
    if task.job is None:
        assert task.problem is not None
        raise task.problem
    job, fingerprint = task.job, _fingerprint(engine, task.job)
    earlier = _earlier_report(job)
    same = earlier.get("job", {}).get("fingerprint") == fingerprint
    if same and not job.overwrite and segmentation_path(job.output).exists():
        return Outcome(task.name, "skipped", report=earlier)
    # A segmentation without its report, or the report without it, is no result that anybody would miss.
    job = dataclasses.replace(job, overwrite=job.overwrite or same or not report_path(job.output).exists())
    job.check()
    case = Case.from_found(job.files, job.only, job.grid)
    if job.reference is not None:
        job.read_reference(case)
    return _ReadJob(**vars(job), case=case, fingerprint=fingerprint)


def _attempt(
    engine: Engine, task: Task, looked: Future[Outcome | _ReadJob], progress: Progress, debug: bool
) -> Outcome:
    """Do one task; whatever goes wrong with it is its outcome."""
    try:
        with progress.stage("read", 0.05):
            job = looked.result()
        if isinstance(job, Outcome):
            return job
        result = segment_job(engine, job, progress, functools.partial(_complete, job=job))
        return Outcome(task.name, "done", report=result.report)
    except (CancelledError, BrokenPipeError):
        raise
    except (LckdError, MemoryError) as error:
        known = error if isinstance(error, LckdError) else not_enough_memory()
        return Outcome(task.name, "failed", known.code, known.message)
    except Exception as error:
        if debug:
            traceback.print_exc()
        return Outcome(task.name, "failed", "BUG", f"{type(error).__name__}: {error}")


def _complete(result: Result, job: _ReadJob) -> None:
    """Add to the report what tells a rerun that this was done, and Dice and HD95 if there is a reference segmentation.

    Raises:
        InputError: the reference is refused that the user named; one that merely lies there is only warned about.
    """
    result.report["job"] = {"fingerprint": job.fingerprint}
    try:
        reference = job.read_reference(result.case)
    except InputError as error:
        if job.reference is not None:
            raise
        result.report["warnings"].append(f"Not compared with the reference: {error.message} {error.action}")
        return
    if reference is None:
        return
    comparison = compare_results([result], reference)
    result.report["scores"] = {
        row.region.value: {"dice": round(row.dice, 4), "hd95_mm": round(row.hd95_mm, 2)} for row in comparison.rows
    }


def _fingerprint(engine: Engine, job: Job) -> str:
    """Of everything that decides the results: program, files, model, settings; not of device and threads."""
    settings, reference = engine.settings, job.reference or job.files.labels
    facts = {
        "program": __version__,
        "images": {s.value: (*_stamp(file.path), file.component) for s, file in job.files.images.items()},
        "reference": reference and _stamp(reference),
        "model": engine.model.sha256,
        "settings": (settings.mirror, settings.half, *vars(settings.cleanup).values()),
        "job": (job.only, job.grid, job.convention, job.probabilities, job.uncertainty),
        "labels": job.reference_convention or job.files.convention,
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _stamp(path: Path) -> tuple[str, int, int]:
    """Path, size and time of change of a file; zeros where there is none, which reading will refuse."""
    try:
        status = path.stat()
    except OSError:
        return str(path), 0, 0
    return str(path.resolve()), status.st_size, status.st_mtime_ns


def _earlier_report(job: Job) -> dict[str, Any]:
    """The report of an earlier run; empty where there is no readable one."""
    try:
        report = json.loads(report_path(job.output).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def _name_below(root: Path, path: Path) -> str:
    """A case's path below the root, with forward slashes; its own name where it is the root itself."""
    if path == root:
        return path.resolve().name
    relative = path.relative_to(root)
    return (relative.with_name(image_stem(path)) if path.is_file() else relative).as_posix()


def _reference_by_suffix(path: Path, suffix: str) -> Path | None:
    """The file of a case whose name, with or without its image suffix, ends in `suffix`; None if there is none.

    Raises:
        InputError: there are several.
    """
    folder, start = (path, "") if path.is_dir() else (path.parent, image_stem(path))
    images = sorted(file for file in folder.iterdir() if file.is_file() and is_image_name(file))
    found = [
        file
        for file in images
        if file.name.startswith(start) and (file.name.endswith(suffix) or image_stem(file).endswith(suffix))
    ]
    if len(found) > 1:
        raise InputError(
            "REFERENCE_TWICE",
            f"{found[0].name} and {found[1].name} both end in '{suffix}'.",
            "Give a longer --reference-suffix.",
        )
    return found[0] if found else None


def _listener(name: str, number: int, total: int, tell: CaseListener) -> Callable[[str, float], None]:
    return lambda stage, fraction: tell(name, stage, (number + fraction) / total)


def _case_rows(outcome: Outcome) -> list[tuple[Any, ...]]:
    scores = outcome.report.get("scores", {})
    subset = outcome.report.get("subset", "")
    return [(outcome.name, subset, region, row["dice"], row["hd95_mm"]) for region, row in scores.items()]


def _summary_row(outcome: Outcome) -> tuple[Any, ...]:
    report = outcome.report
    volumes = report.get("volumes_ml", {})
    seconds = round(sum(report["seconds"].values()), 3) if report else ""
    start = (outcome.name, outcome.state, outcome.code, outcome.message, seconds, report.get("subset", ""))
    return (*start, *(volumes.get(region.value, "") for region in REGIONS))
