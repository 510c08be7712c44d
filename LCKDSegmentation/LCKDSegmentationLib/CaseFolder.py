"""The case on screen as a job folder, written anew only when a volume has changed.

As long as the folder stays the same, the worker keeps the encodings, and another subset costs a decode.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from lckd.errors import OutputError

from .SceneExport import DEFAULT_SETTINGS, JOB_FILE, gridVolume, presentVolumes, writeJob
from .VolumeFiles import ijkToWorld, writeJson

#: The worker (`lckd.worker.lifetime`) knows by this and the process that is named who made a folder.
_PREFIX = "lckd-case-"
_NAME = re.compile(rf"{_PREFIX}(\d+)-\w+")
REFERENCE_FILE = "reference.nrrd"


@dataclass(frozen=True)
class Job:
    """What the worker is to be asked.

    `inputs` are all volumes in the folder, `subset` (``flair+t1c``) those of them that are wanted, `scene` is where
    they and the result belong, and `grid` is the sequence on whose voxels the result lies, if it was named.
    """

    folder: Path
    inputs: dict[str, slicer.vtkMRMLScalarVolumeNode]
    subset: str
    scene: slicer.vtkMRMLScene
    grid: str | None = None

    @property
    def gridVolume(self) -> slicer.vtkMRMLScalarVolumeNode:
        """The volume on whose voxels the result lies; the user may have deleted it meanwhile."""
        return gridVolume(self.inputs, self.grid)

    @property
    def isWhole(self) -> bool:
        """Whether all volumes of the folder are wanted."""
        return self.subset == "+".join(self.inputs)


class CaseFolder:
    """Holds one job folder in a temporary directory, which is removed by `dispose` and at the latest at exit.

    After a crash the worker removes it, or else the next session when it makes its first. The volumes in it are not
    held in memory.

    :param parent: where the directory is made; None: where the system has such directories
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = parent if parent is not None else Path(tempfile.gettempdir())
        self._isTidy = False
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._inputs: dict[str, vtk.vtkWeakReference] = {}
        self._states: dict[str, tuple[Any, ...]] = {}
        self._grid: str | None = None

    @property
    def path(self) -> Path | None:
        """Where the folder is; None while there is none."""
        return Path(self._directory.name) if self._directory is not None else None

    @property
    def inputs(self) -> dict[str, slicer.vtkMRMLScalarVolumeNode]:
        """The volumes in the folder, but for those that are no more."""
        volumes = {sequence: reference.Get() for sequence, reference in self._inputs.items()}
        return {sequence: volume for sequence, volume in volumes.items() if volume is not None}

    def prepare(
        self,
        inputs: Mapping[str, slicer.vtkMRMLScalarVolumeNode | None],
        settings: Mapping[str, Any],
        reference: slicer.vtkMRMLSegmentationNode | slicer.vtkMRMLLabelMapVolumeNode | None = None,
    ) -> Job:
        """Make the folder say what is wanted; the volumes in it are used again where they are the same.

        :param inputs: a volume for each sequence in use
        :param settings: what differs from `SceneExport.DEFAULT_SETTINGS`
        :param reference: a segmentation to compare with
        :raises LckdError: the inputs are refused, or the folder cannot be written
        """
        volumes = presentVolumes(inputs)
        if not self._serves(volumes, settings.get("grid")):
            self._write(volumes, settings)
        self._describe(settings, reference)
        assert self.path is not None
        scene = next(iter(volumes.values())).GetScene()
        return Job(self.path, self.inputs, "+".join(volumes), scene, self._grid)

    def dispose(self) -> None:
        """Remove the folder."""
        directory, self._directory = self._directory, None
        self._inputs, self._states, self._grid = {}, {}, None
        if directory is not None:
            directory.cleanup()

    def forgetRemoved(self) -> bool:
        """Remove the folder if a volume in it is in no scene any more, and return whether that was so.

        Not to be called while the worker works in the folder.
        """
        isForgotten = self._directory is not None and not self._areInOneScene()
        if isForgotten:
            self.dispose()
        return isForgotten

    def _write(self, volumes: Mapping[str, slicer.vtkMRMLScalarVolumeNode], settings: Mapping[str, Any]) -> None:
        self.dispose()
        if not self._isTidy:
            removeLeftBehind(self._parent)
            self._isTidy = True
        directory = self._newDirectory()
        writeJob(Path(directory.name), volumes, settings)
        self._directory = directory
        self._inputs = {sequence: _weak(volume) for sequence, volume in volumes.items()}
        self._states = {sequence: _stateOf(volume) for sequence, volume in volumes.items()}
        self._grid = settings.get("grid")

    def _newDirectory(self) -> tempfile.TemporaryDirectory[str]:
        name = f"{_PREFIX}{os.getpid()}-"
        try:
            self._parent.mkdir(parents=True, exist_ok=True)
            return tempfile.TemporaryDirectory(prefix=name, dir=self._parent, ignore_cleanup_errors=True)
        except OSError as error:
            raise OutputError(
                "NOT_WRITABLE",
                _("Temporary files cannot be written in {folder}.").format(folder=self._parent),
                _("Check that the folder may be written to and that the disk is not full."),
            ) from error

    def _describe(
        self,
        settings: Mapping[str, Any],
        reference: slicer.vtkMRMLSegmentationNode | slicer.vtkMRMLLabelMapVolumeNode | None,
    ) -> None:
        """Write ``job.json`` anew: same images on the same voxels, other wishes."""
        from .ReferenceExport import writeReference

        assert self.path is not None
        file = self.path / JOB_FILE
        images = json.loads(file.read_text(encoding="utf-8"))["images"]
        job = DEFAULT_SETTINGS | dict(settings) | {"images": images, "grid": self._grid, "reference": None}
        if reference is not None:
            writeReference(reference, gridVolume(self.inputs, self._grid), self.path / REFERENCE_FILE)
            job["reference"] = REFERENCE_FILE
        writeJson(job, file)

    def _serves(self, volumes: Mapping[str, slicer.vtkMRMLScalarVolumeNode], grid: str | None) -> bool:
        """Whether the folder holds all these volumes as they are now, and the same voxels for the result."""
        if self._directory is None or not self._isThere() or not self._areInOneScene():
            return False
        inputs = self.inputs
        for sequence, volume in volumes.items():
            if inputs.get(sequence) is not volume or self._states[sequence] != _stateOf(volume):
                return False
        wanted, held = gridVolume(volumes, grid), gridVolume(inputs, self._grid)
        return _voxelsOf(wanted) == _voxelsOf(held)

    def _areInOneScene(self) -> bool:
        """Whether all volumes of the folder are still to be seen."""
        inputs = self.inputs
        scenes = {volume.GetScene() for volume in inputs.values()}
        return len(inputs) == len(self._inputs) and len(scenes) == 1 and None not in scenes

    def _isThere(self) -> bool:
        """The system may tidy up its temporary directory during a long session."""
        path = self.path
        return path is not None and (path / JOB_FILE).is_file()


def removeLeftBehind(parent: Path) -> None:
    """Remove the job folders of this user whose application is gone; links are not followed."""
    from lckd.worker.lifetime import is_alive

    for entry in list(os.scandir(parent)) if parent.is_dir() else []:
        name = _NAME.fullmatch(entry.name)
        if name and not is_alive(int(name[1])) and entry.is_dir(follow_symlinks=False) and _isOurs(entry):
            shutil.rmtree(entry.path, ignore_errors=True)


def _isOurs(entry: os.DirEntry[str]) -> bool:
    # On Windows every user has a temporary directory of the user's own.
    return not hasattr(os, "getuid") or entry.stat(follow_symlinks=False).st_uid == os.getuid()


def _weak(volume: slicer.vtkMRMLScalarVolumeNode) -> vtk.vtkWeakReference:
    reference = vtk.vtkWeakReference()
    reference.Set(volume)
    return reference


def _stateOf(volume: slicer.vtkMRMLScalarVolumeNode) -> tuple[Any, ...]:
    """Changes when the voxels of a volume change or are replaced, or when it is moved."""
    image = volume.GetImageData()
    if image is None:
        return (None, 0, *_voxelsOf(volume))
    scalars = image.GetPointData().GetScalars()
    modified = max(image.GetMTime(), scalars.GetMTime() if scalars is not None else 0)
    return (image.GetAddressAsString(""), modified, *_voxelsOf(volume))


def _voxelsOf(volume: slicer.vtkMRMLScalarVolumeNode) -> tuple[Any, ...]:
    """Where the voxels of a volume lie."""
    matrix, image = ijkToWorld(volume), volume.GetImageData()
    elements = [matrix.GetElement(row, column) for row in range(4) for column in range(4)]
    return (image.GetExtent() if image is not None else None, *elements)
