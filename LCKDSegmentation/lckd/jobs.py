"""What every door does with a case: read, compute, write. The command line, the batch and the worker call these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .case import Case
from .comparison import Comparison, compare_results, write_comparison
from .discovery import CaseFiles
from .engine import Engine, Result
from .geometry import Grid
from .labels import LabelConvention
from .output import check_output, report_path, write_report, write_result
from .progress import Progress
from .reference import Reference, read_reference
from .report import complete_report
from .sequences import Sequence, Subset, subset_name


@dataclass(frozen=True)
class Job:
    """One case and what is wanted of it.

    Attributes:
        files: the files of the case.
        output: folder of the results, or image file of the segmentation.
        only: use only these sequences; None: all there are.
        grid: sequence on whose voxels the segmentation lies; None: the first of T1c, FLAIR, T2, T1.
        convention: numbers of the tissues in the label map.
        probabilities: also write the probability of each region.
        uncertainty: also write the voxelwise uncertainty.
        overwrite: replace results that exist.
        reference: a reference segmentation to compare with; None: the one found with the case.
        reference_convention: what its numbers mean; None: known from the case's name, or decided by its values.
    """

    files: CaseFiles
    output: Path
    only: Subset | None = None
    grid: Sequence | None = None
    convention: LabelConvention = LabelConvention.BRATS2023
    probabilities: bool = False
    uncertainty: bool = False
    overwrite: bool = False
    reference: Path | None = None
    reference_convention: LabelConvention | None = None

    def read(self, progress: Progress) -> Case:
        """Check that the output can be written, then read the images.

        Raises:
            OutputError: it exists already or cannot be written.
            InputError: an image is refused.
        """
        check_output(self.output, self.overwrite)
        with progress.stage("read", 0.05):
            return Case.from_found(self.files, self.only, self.grid)

    def read_reference(self, case: Case) -> Reference | None:
        """The reference segmentation on the voxels of the result to be: the one named, or the one found with the case.

        Raises:
            InputError: it is refused.
        """
        path = self.reference or case.labels
        if path is None:
            return None
        convention = self.reference_convention or (case.convention if path == case.labels else None)
        return read_reference(path, Grid.of(case.reference), convention)


def segment_job(engine: Engine, job: Job, progress: Progress) -> Result:
    """Segment one case and write segmentation, report and preview.

    Raises:
        LckdError: any of the engine's refusals; nothing half-written is left.
    """
    result = engine.segment(job.read(progress), progress)
    with progress.stage("write", 0.05):
        write_result(result, job.output, job.convention, job.probabilities, job.uncertainty)
    _finish(result, job, progress)
    return result


def compare_job(
    engine: Engine, job: Job, progress: Progress, subsets: Iterable[Subset] | None = None
) -> tuple[Comparison, Result]:
    """Segment one case from all subsets of its sequences, compare, and write tables and pictures.

    Raises:
        LckdError: any of the engine's refusals; nothing half-written is left.
    """
    case = job.read(progress)
    reference = job.read_reference(case)
    results = engine.segment_subsets(case, subsets, progress)
    full = results[-1]
    with progress.stage("compare", 0.0):
        comparison = compare_results(results, reference)
    with progress.stage("write", 0.05):
        write_result(full, job.output, job.convention, job.probabilities, job.uncertainty)
        write_comparison(comparison, job.output)
    full.report["compared_with"] = comparison.basis
    full.report["subsets"] = {
        subset_name(result.segmentation.subset): result.report["volumes_ml"] for result in results
    }
    _finish(full, job, progress)
    return comparison, full


def _finish(result: Result, job: Job, progress: Progress) -> None:
    """The report is written last: where it lies, the case is finished."""
    complete_report(result.report, progress.seconds)
    write_report(result.report, report_path(job.output))
