"""What the user has chosen, kept in a parameter node, so that it is saved with the scene and restored from it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Union

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

MODULE_NAME = "LCKDSegmentation"
#: In the order of the network's inputs and of every table (`lckd.sequences`).
SEQUENCE_KEYS = ("flair", "t1", "t1c", "t2")
MAX_THREADS = 1024
#: Stands in the list of subsets where the user wants none.
NO_SUBSET = "none"


class Division(enum.Enum):
    """How the segmentation is divided into segments; the value is what `SceneImport.importResult` takes."""

    TISSUES = "tissues"
    REGIONS = "regions"

    def label(self) -> str:
        """For the user."""
        return {
            Division.TISSUES: _("Tissues: ET, NCR/NET, ED"),
            Division.REGIONS: _("Nested regions: ET, TC, WT"),
        }[self]


class Rerun(enum.Enum):
    """What becomes of the segmentation that is there when the user segments again."""

    REPLACE = "replace"
    ADD = "add"

    def label(self) -> str:
        """For the user."""
        return {Rerun.REPLACE: _("Replace the last one"), Rerun.ADD: _("Add a new one")}[self]


class GridChoice(enum.Enum):
    """On whose voxels the segmentation lies; the value is the sequence, empty for the first of T1c, FLAIR, T2, T1."""

    AUTO = ""
    FLAIR = "flair"
    T1 = "t1"
    T1C = "t1c"
    T2 = "t2"

    def label(self) -> str:
        """For the user."""
        from lckd.sequences import Sequence

        return Sequence(self.value).title if self.value else _("Automatic (T1c, else FLAIR, T2, T1)")


@parameterNodeWrapper
class SegmentationParameters:
    """The parameters of the module; one set for each patient, as many sets in a scene as wanted.

    ``useFlair`` and so on leave a chosen volume out without forgetting it. An empty `model` means the embedded one,
    `threads` 0 all threads, an empty `compareSubsets` all subsets of the sequences in use (`NO_SUBSET` alone: none), an
    empty folder none.
    """

    flair: slicer.vtkMRMLScalarVolumeNode
    t1: slicer.vtkMRMLScalarVolumeNode
    t1c: slicer.vtkMRMLScalarVolumeNode
    t2: slicer.vtkMRMLScalarVolumeNode
    useFlair: bool = True
    useT1: bool = True
    useT1c: bool = True
    useT2: bool = True
    model: str = ""
    device: str = "auto"
    threads: Annotated[int, WithinRange(0, MAX_THREADS)] = 0
    mirror: bool = False
    grid: GridChoice = GridChoice.AUTO
    division: Division = Division.TISSUES
    rerun: Rerun = Rerun.REPLACE
    probabilities: bool = False
    uncertainty: bool = False
    segmentation: slicer.vtkMRMLSegmentationNode
    compareSubsets: list[str]
    # Slicer's connection to widgets knows unions only when they are written in this way.
    reference: Union[slicer.vtkMRMLSegmentationNode, slicer.vtkMRMLLabelMapVolumeNode, None]  # noqa: UP007
    batchInput: str = ""
    batchOutput: str = ""


@dataclass(frozen=True)
class RunSettings:
    """How to segment, apart from the volumes. `model` None: the embedded one; `threads` None: all."""

    model: str | None = None
    device: str = "auto"
    threads: int | None = None
    mirror: bool = False
    grid: str | None = None
    division: Division = Division.TISSUES
    probabilities: bool = False
    uncertainty: bool = False

    def asJob(self) -> dict[str, Any]:
        """Return the fields of ``job.json`` (`lckd.worker.job`) for these settings."""
        names = ("model", "device", "threads", "mirror", "grid", "probabilities", "uncertainty")
        return {name: getattr(self, name) for name in names}


def useKey(sequence: str) -> str:
    """Return the name of the parameter that says whether a sequence is in use: ``useT1c`` for ``t1c``."""
    return f"use{sequence[0].upper()}{sequence[1:]}"


def chosenVolumes(parameters: SegmentationParameters) -> dict[str, slicer.vtkMRMLScalarVolumeNode]:
    """Return the chosen volumes by sequence, in use or not."""
    volumes = {sequence: getattr(parameters, sequence) for sequence in SEQUENCE_KEYS}
    return {sequence: volume for sequence, volume in volumes.items() if volume is not None}


def usedVolumes(parameters: SegmentationParameters) -> dict[str, slicer.vtkMRMLScalarVolumeNode]:
    """Return the volumes in use by sequence."""
    chosen = chosenVolumes(parameters)
    return {sequence: volume for sequence, volume in chosen.items() if getattr(parameters, useKey(sequence))}


def settingsOf(parameters: SegmentationParameters) -> RunSettings:
    """Return how to segment."""
    return RunSettings(
        model=parameters.model or None,
        device=parameters.device or "auto",
        threads=parameters.threads or None,
        mirror=parameters.mirror,
        grid=parameters.grid.value or None,
        division=parameters.division,
        probabilities=parameters.probabilities,
        uncertainty=parameters.uncertainty,
    )


def segmentationToReplace(parameters: SegmentationParameters) -> slicer.vtkMRMLSegmentationNode | None:
    """Return the segmentation that takes the next result, if the user wants that.

    One that lies on a volume that is not chosen now, or that was changed by hand, is kept, and the result is added.
    """
    from .TumorSegments import isUnchanged, referenceVolume

    node = parameters.segmentation
    if node is None or parameters.rerun != Rerun.REPLACE or not isUnchanged(node):
        return None
    return node if referenceVolume(node) in chosenVolumes(parameters).values() else None


def inputsProblem(parameters: SegmentationParameters) -> str:
    """Return why one cannot segment with these inputs, as a sentence for the user; empty if one can."""
    from lckd.errors import LckdError
    from lckd.sequences import Sequence

    from .SceneExport import presentVolumes

    used = usedVolumes(parameters)
    if not used:
        if chosenVolumes(parameters):
            return _("Tick at least one of the chosen sequences.")
        return _("Choose at least one volume: FLAIR, T1, T1c or T2.")
    try:
        presentVolumes(used)
    except LckdError as error:
        return error.message
    for sequence, volume in used.items():
        image = volume.GetImageData()
        if image is None or image.GetNumberOfPoints() == 0:
            return _("The volume chosen as {sequence} has no voxels.").format(sequence=Sequence(sequence).title)
        if volume.GetAttribute("LCKD.Map"):
            words = _("The volume chosen as {sequence} is a map that this module made, not an image.")
            return words.format(sequence=Sequence(sequence).title)
    if parameters.grid.value and parameters.grid.value not in used:
        return _("The result is to lie on the voxels of {sequence}, which is not in use.").format(
            sequence=parameters.grid.label()
        )
    return ""


def batchProblem(parameters: SegmentationParameters) -> str:
    """Return why a batch cannot be run, as a sentence for the user; empty if it can."""
    if not parameters.batchInput:
        return _("Choose the folder that holds the cases.")
    source, target = Path(parameters.batchInput), Path(parameters.batchOutput)
    if not source.is_dir():
        return _("The input folder does not exist.")
    if not parameters.batchOutput:
        return _("Choose the folder for the results.")
    if target.exists() and not target.is_dir():
        return _("The output folder is a file.")
    if source.resolve() == target.resolve():
        return _("Choose an output folder other than the input folder.")
    return ""


def compareProblem(parameters: SegmentationParameters) -> str:
    """Return why subsets cannot be compared, as a sentence for the user; empty if they can."""
    problem = inputsProblem(parameters)
    if problem:
        return problem
    if not subsetsToCompare(parameters):
        return _("Tick at least one subset.")
    return ""


def possibleSubsets(parameters: SegmentationParameters) -> list[str]:
    """Return the names of all subsets of the sequences in use (``flair+t1c``), the smallest first."""
    from lckd.sequences import Sequence, subset_name, subsets_of

    used = [Sequence(sequence) for sequence in usedVolumes(parameters)]
    return [subset_name(subset) for subset in subsets_of(used)] if used else []


def subsetsToCompare(parameters: SegmentationParameters) -> list[str]:
    """Return those of the possible subsets that are to be compared."""
    possible, wanted = possibleSubsets(parameters), list(parameters.compareSubsets)
    return [subset for subset in possible if subset in wanted] if wanted else possible
