"""What every door does with a case: read, compute, write. The command line, the batch and the worker call these."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from .case import Case
from .comparison import Comparison, compare_results, write_comparison
from .discovery import CaseFiles
from .engine import Engine, Result
from .geometry import Grid
from .labels import LabelConvention
from .output import check_output, output_files, staged, write_report, write_result
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

    def outputs(self, comparison: bool = False) -> dict[str, Path]:
        """The files that the job writes, by what they are; with `comparison` those of `compare_job`."""
        return output_files(self.output, self.probabilities, self.uncertainty, comparison=comparison)

    def check(self, comparison: bool = False) -> None:
        """Check that the outputs can be written.

        Raises:
            OutputError: one exists already, is one of the inputs, or cannot be written.
        """
        inputs = [*(file.path for file in self.files.images.values()), self.files.labels, self.reference]
        check_output(self.outputs(comparison), self.overwrite, filter(None, inputs))

    def read(self, progress: Progress) -> Case:
        """Read the images.

        Raises:
            InputError: an image is refused.
        """
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


def segment_job(
    engine: Engine, job: Job, progress: Progress, complete: Callable[[Result], None] = lambda result: None
) -> Result:
    """Segment one case and write segmentation, report and preview: all of `Job.outputs`, or nothing.

    Args:
        engine: computes.
        job: what is wanted.
        progress: told of all stages.
        complete: may add to the report before anything is written.

    Raises:
        LckdError: any of the engine's refusals.
    """
    job.check()
    result = engine.segment(job.read(progress), progress)
    complete(result)
    _write(result, job, progress)
    return result


def compare_job(
    engine: Engine, job: Job, progress: Progress, subsets: Iterable[Subset] | None = None
) -> tuple[Comparison, Result]:
    """Segment one case from all subsets of its sequences, compare, and write also tables and pictures: all or nothing.

    Raises:
        LckdError: any of the engine's refusals.
    """
    job.check(comparison=True)
    case = job.read(progress)
    reference = job.read_reference(case)
    results = engine.segment_subsets(case, subsets, progress)
    full = results[-1]
    with progress.stage("compare", 0.0):
        comparison = compare_results(results, reference)
    full.report["compared_with"] = comparison.basis
    full.report["subsets"] = {
        subset_name(result.segmentation.subset): result.report["volumes_ml"] for result in results
    }
    _write(full, job, progress, comparison)
    return comparison, full


def _write(result: Result, job: Job, progress: Progress, comparison: Comparison | None = None) -> None:
    with staged(job.output) as output:
        files = replace(job, output=output).outputs()
        with progress.stage("write", 0.05):
            write_result(result, files, job.convention)
            if comparison is not None:
                write_comparison(comparison, output)
        complete_report(result.report, progress.seconds)
        write_report(result.report, files["report"])
