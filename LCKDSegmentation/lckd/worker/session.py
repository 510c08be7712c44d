"""What the worker keeps between requests: the model, and the encodings of the case in view."""

from __future__ import annotations

import functools
import gc
import hashlib
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..memory import resident_mb, return_free_memory
from ..sequences import Sequence, Subset, subset_name, subsets_of
from .answer import Answer
from .failures import import_engine
from .job import JobFolder
from .results import results_folder, write_folder

if TYPE_CHECKING:
    from ..case import Case
    from ..comparison import Comparison, SubsetRow
    from ..engine import Engine, OpenCase
    from ..models import LoadedModel
    from ..progress import Progress

#: Shares that only the progress bar depends on: of reading in the whole; of opening in the rest, by the number of
#: sequences and of subsets, which cost so many sequences each; and of the steps in the work for one subset.
_READ = 0.05
_SUBSET_COST = 1.3
_DECODE, _WRITE = 0.85, 0.15
_DECODE_IN_COMPARISON, _COMPARE = 0.65, 0.2
_MB = 1024**2


@dataclass(frozen=True)
class _Work:
    """A request that is under way: who computes it, and the case; `opened` where its encodings are still at hand."""

    engine: Engine
    progress: Progress
    key: object
    case: Case
    opened: OpenCase | None


class Session:
    """Answers the requests that need the engine, one after the other."""

    def __init__(self) -> None:
        self._model: tuple[object, LoadedModel] | None = None
        self._kept: tuple[object, OpenCase] | None = None

    def segment(self, job: JobFolder, subset: Subset, answer: Answer) -> dict[str, Any]:
        """Segment from a subset of the job's sequences, and return the facts of the result.

        Raises:
            LckdError: any of the engine's refusals.
        """
        work = self._begin(job, answer)
        opened, share = self._open(work, 1)
        (result,) = work.engine.results(opened, [subset], work.progress, share * _DECODE)
        answer.warn_of(result.report)
        files = write_folder(result, job, work.progress, share * _WRITE)
        return {"subset": subset_name(subset), "files": files, "report": result.report, **_cost(work, opened)}

    def compare(
        self, job: JobFolder, subsets: Iterable[Subset] | None, reference: Path | None, answer: Answer
    ) -> dict[str, Any]:
        """Segment from several subsets (None: all), tell each as soon as it is there, and return what is concluded.

        The largest comes first, since the others are compared with it where there is no reference.

        Raises:
            LckdError: any of the engine's refusals.
        """
        work = self._begin(job, answer)
        from ..comparison import Comparison, basis_of, compare_result
        from ..geometry import Grid
        from ..reference import read_reference

        expert = None if reference is None else read_reference(reference, Grid.of(work.case.reference))
        wanted = sorted(set(subsets_of(job.present) if subsets is None else subsets), key=subsets_of().index)
        order = sorted(wanted, key=len, reverse=True)
        opened, share = self._open(work, len(order))
        each, rows, reports, basis = share / len(order), {}, {}, None
        for result in work.engine.results(opened, order, work.progress, share * _DECODE_IN_COMPARISON):
            subset, basis = result.segmentation.subset, basis or basis_of(result.segmentation, expert)
            with work.progress.stage("compare", each * _COMPARE):
                rows[subset] = compare_result(result, basis)
            files = write_folder(result, job, work.progress, each * _WRITE)
            reports[subset] = result.report
            answer.emit("subset", subset=subset_name(subset), **_by_region(rows[subset]), files=files)
        assert basis is not None
        comparison = Comparison([row for subset in wanted for row in rows[subset]], basis.words, order[0])
        answer.warn_of(reports[order[0]])
        return _conclude(comparison, job, reports) | _cost(work, opened)

    def forget(self) -> dict[str, Any]:
        """Drop the encodings and give the memory back."""
        forgotten = self._kept is not None
        self._kept = None
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()
        return_free_memory()
        return {"forgotten": forgotten, "rss_mb": resident_mb()}

    def _begin(self, job: JobFolder, answer: Answer) -> _Work:
        """The engine and the case of a job; what is at hand already is not read again."""
        answer.progress("start", 0.0)
        started = time.perf_counter()
        engine = self._engine(job)
        from ..case import Case
        from ..progress import Progress

        progress = Progress(answer.progress, answer.is_cancelled, answer.warning)
        progress.seconds["start"] = time.perf_counter() - started
        with progress.stage("read", _READ):
            key = _key(engine, job)
            if self._kept is not None and self._kept[0] == key:
                kept = self._kept[1]
                case = replace(kept.case, name=job.case, sources=job.files.images)
                return _Work(engine, progress, key, case, replace(kept, case=case))
            return _Work(engine, progress, key, Case.from_found(job.files, None, job.grid), None)

    def _engine(self, job: JobFolder) -> Engine:
        """An engine with the model that is loaded, if it is the one that the job names."""
        import_engine()
        from ..engine import Engine
        from ..models import find_model, load_model
        from ..models.store import METADATA

        folder = find_model(job.model)
        key = (folder, (folder / METADATA).stat().st_mtime_ns)
        if self._model is None or self._model[0] != key:
            self._model = self._kept = None
            self._model = (key, load_model(folder))
        return Engine(self._model[1], job.settings)

    def _open(self, work: _Work, subsets: int) -> tuple[OpenCase, float]:
        """The case with its encodings, which are kept, and the share of the work that is left for so many subsets."""
        if work.opened is not None:
            return work.opened, 1 - _READ
        self._kept = None
        left = (1 - _READ) * _SUBSET_COST * subsets / (_SUBSET_COST * subsets + len(work.case.present))
        opened = work.engine.open(work.case, work.progress, share=1 - _READ - left)
        if opened.encoded is not None:
            self._kept = (work.key, opened)
        return opened, left


def _conclude(comparison: Comparison, job: JobFolder, reports: dict[Subset, dict[str, Any]]) -> dict[str, Any]:
    """Write the tables, complete the report of the full set, and return the facts of the result."""
    from ..comparison import importance, write_comparison
    from ..output import write_report
    from .results import REPORT

    report = reports[comparison.present]
    folder = results_folder(job, report["model"]["sha256"])
    tables = write_comparison(comparison, folder, picture=False)
    report["compared_with"] = comparison.basis
    report["subsets"] = {subset_name(subset): reports[subset]["volumes_ml"] for subset in comparison.subsets}
    write_report(report, folder / subset_name(comparison.present) / REPORT)
    losses = importance(comparison)
    return {
        "subsets": [row.as_dict() for row in comparison.rows],
        "basis": comparison.basis,
        "importance": {one.value: {region.value: loss for region, loss in losses[one].items()} for one in losses},
        "files": {path.suffix[1:]: str(path) for path in tables},
        "report": report,
    }


def _cost(work: _Work, opened: OpenCase) -> dict[str, Any]:
    """Whether the sequences were encoded for this request, and how much memory it takes to keep them so."""
    kept = opened.encoded.nbytes / _MB if opened.encoded is not None else 0.0
    return {"encoded": work.opened is None, "kept_mb": round(kept, 1)}


def _by_region(rows: list[SubsetRow]) -> dict[str, dict[str, float]]:
    facts = {row.region.value: row.as_dict() for row in rows}
    names = {"volumes_ml": "volume_ml", "dice": "dice", "hd95_mm": "hd95_mm"}
    return {name: {region: of[column] for region, of in facts.items()} for name, column in names.items()}


def _key(engine: Engine, job: JobFolder) -> object:
    """All that the encodings depend on: the images by their content, the model, and how it is used."""
    images: list[tuple[Sequence, str]] = []
    for sequence, path in job.images.items():
        state = path.stat() if path.is_file() else None
        images.append((sequence, _digest(path, state.st_size, state.st_mtime_ns) if state else ""))
    return (engine.model.sha256, str(engine.device), engine.settings.mirror, job.grid, tuple(images))


@functools.lru_cache(maxsize=32)
def _digest(path: Path, size: int, modified: int) -> str:
    """Hash of a file's content; size and time of change tell whether it has to be read again."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_MB):
            digest.update(chunk)
    return digest.hexdigest()
