"""What the worker leaves in the job folder: one folder for each subset, which appears whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OutputError
from ..sequences import subset_name
from .job import RESULTS, JobFolder, inside

if TYPE_CHECKING:
    from ..engine import Result
    from ..progress import Progress

SUFFIX = ".nrrd"
REPORT = "report.json"
_TEMPORARY = ".writing-"


def results_folder(job: JobFolder, model_sha256: str) -> Path:
    """Where the results of a job go: apart for each model and each way to use it, so that none replaces another.

    Raises:
        InputError: JOB_OUTSIDE, it is a link to elsewhere.
    """
    way = json.dumps([model_sha256, job.mirror, sorted(job.cleanup.items())])
    return inside(job.folder, RESULTS) / hashlib.sha256(way.encode()).hexdigest()[:12]


def write_folder(result: Result, job: JobFolder, progress: Progress, share: float) -> dict[str, str]:
    """Write a result into a folder of its subset, in place of an earlier one, and return what lies where.

    ``segmentation`` (labels 1 NCR/NET, 2 ED, 3 ET) and, if the job wants them, ``probability_ET``, ``probability_TC``,
    ``probability_WT`` and ``uncertainty`` are NRRD files on the grid volume's voxels; ``report`` is the run report.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
        CancelledError: the user asked to stop.
    """
    from ..images import write_image
    from ..labels import LabelConvention
    from ..output import result_images, write_report
    from ..report import complete_report

    segmentation, like = result.segmentation, result.case.sources[result.case.grid_sequence]
    wanted = (LabelConvention.BRATS2023, job.probabilities, job.uncertainty)
    target = results_folder(job, result.report["model"]["sha256"]) / subset_name(segmentation.subset)
    files = {}
    with _replacing(target) as folder:
        with progress.stage("write", share):
            for ending, image in result_images(segmentation, *wanted):
                name = ending.strip("-").replace("-", "_") or "segmentation"
                write_image(image, folder / f"{name}{SUFFIX}", like)
                files[name] = str(target / f"{name}{SUFFIX}")
        complete_report(result.report, progress.seconds)
        write_report(result.report, folder / REPORT)
    return files | {"report": str(target / REPORT)}


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of `target` when the block ends well, and vanishes when it does not."""
    temporary = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Nobody else writes here now: these are of a worker that was killed.
        for left in target.parent.glob(f"{_TEMPORARY}*"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
        temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=target.parent))
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
    except OSError as error:
        message = f"The results cannot be written in {target.parent}."
        action = "Check that the folder may be written to and that the disk is not full."
        raise OutputError("NOT_WRITABLE", message, action) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
