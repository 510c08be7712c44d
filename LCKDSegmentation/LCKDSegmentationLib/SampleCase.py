"""The sample case that comes with the extension: in the module Sample Data, and read directly for scripts and tests."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.i18n import tr as _

CATEGORY = "BrainTumorLCKD"
#: Shown in Sample Data, and what scripts ask for (``SampleData.downloadSample``): the same in every language.
SAMPLE_NAME = "Brain tumor, synthetic (LCKD)"
REFERENCE_NAME = "Brain tumor, synthetic, expert (LCKD)"
_ICON = Path(__file__).parents[1] / "Resources" / "Icons" / "LCKDSegmentation.png"


def sampleFiles() -> dict[str, Path]:
    """Return the files of the sample case by sequence; empty where this installation has none."""
    from lckd import resources
    from lckd.sequences import SEQUENCES, sequence_of_file_name

    folder = resources.find(resources.SAMPLE_CASE)
    files = sorted(folder.glob("*.nii.gz")) if folder is not None else []
    found = {sequence_of_file_name(file.name.removesuffix(".nii.gz")): file for file in files}
    return {sequence.value: found[sequence] for sequence in SEQUENCES if sequence in found}


def referenceFile() -> Path | None:
    """Return the expert's segmentation of the sample case, a label map with the values of BraTS."""
    files = sampleFiles()
    folder = next(iter(files.values())).parent if files else None
    return next(iter(folder.glob("*-seg.nii.gz")), None) if folder is not None else None


def registerSampleData() -> None:
    """Offer the sample case in the module Sample Data; its files come from the extension, not from the net."""
    import SampleData

    files, reference = sampleFiles(), referenceFile()
    if not files or reference is None:
        return
    logic = SampleData.SampleDataLogic
    # Slicer 5.10 has no titles of categories.
    if hasattr(logic, "registerCustomSampleDataCategory"):
        logic.registerCustomSampleDataCategory(CATEGORY, _("Brain tumor (LCKD)"))
    logic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=SAMPLE_NAME,
        uris=[file.as_uri() for file in files.values()],
        fileNames=[_cachedName(file) for file in files.values()],
        nodeNames=[nodeName(sequence) for sequence in files],
        checksums=[_checksum(file) for file in files.values()],
        loadFileTypes="VolumeFile",
        thumbnailFileName=str(_ICON),
    )
    logic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=REFERENCE_NAME,
        uris=reference.as_uri(),
        fileNames=_cachedName(reference),
        checksums=_checksum(reference),
        nodeNames=_("Sample expert"),
        loadFileTypes="VolumeFile",
        loadFileProperties={"labelmap": True},
        thumbnailFileName=str(_ICON),
    )


def loadSampleCase(scene: slicer.vtkMRMLScene) -> dict[str, slicer.vtkMRMLScalarVolumeNode]:
    """Read the sample case into a scene and return its volumes by sequence.

    :raises InputError: this installation has no sample case, or it cannot be read
    """
    from lckd import resources

    resources.sample_case_dir()
    return {sequence: _read(scene, file, nodeName(sequence)) for sequence, file in sampleFiles().items()}


def nodeName(sequence: str) -> str:
    """Return what the volume of a sequence is called in the scene."""
    from lckd.sequences import Sequence

    return _("Sample {sequence}").format(sequence=Sequence(sequence).title)


def _cachedName(file: Path) -> str:
    return f"{CATEGORY}-{file.name}"


def _checksum(file: Path) -> str:
    """What makes Sample Data replace a file in its cache that another version of the extension has put there."""
    return f"SHA256:{slicer.util.computeChecksum('SHA256', str(file))}"


def _read(scene: slicer.vtkMRMLScene, file: Path, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    from lckd.errors import InputError

    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(file))
    if not storage.ReadData(volume):
        scene.RemoveNode(volume)
        raise InputError(
            "UNREADABLE",
            _("{file} cannot be read.").format(file=file.name),
            _("Install the extension again."),
        )
    volume.CreateDefaultDisplayNodes()
    return volume
