"""What the module can do, without any widget: segment, answer for another subset, compare subsets.

Works in scripts (``waitForCompletion=True``) and for the panel, which goes on while the worker computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from .CaseFolder import CaseFolder, Job
from .Parameters import RunSettings
from .Runs import CompareRun, Run, SegmentRun
from .WorkerClient import Request, WorkerClient, sharedWorkerClient

if TYPE_CHECKING:
    Volumes = Mapping[str, slicer.vtkMRMLScalarVolumeNode | None]
    Reference = slicer.vtkMRMLSegmentationNode | slicer.vtkMRMLLabelMapVolumeNode
    Listener = Callable[[Run], None]


class SegmentationLogic:
    """Asks the worker for segmentations and brings them into the scene; one run at a time.

    :param client: the worker; by default that of this session
    """

    def __init__(self, client: WorkerClient | None = None) -> None:
        self.client = client if client is not None else sharedWorkerClient()
        #: The volumes on screen as a job of the worker.
        self.case = CaseFolder(Path(slicer.app.temporaryPath))
        #: The run that is under way.
        self.current: Run | None = None

    def segment(
        self,
        inputs: Volumes,
        settings: RunSettings | None = None,
        replaced: slicer.vtkMRMLSegmentationNode | None = None,
        waitForCompletion: bool = True,
        onProgress: Listener | None = None,
        onFinished: Listener | None = None,
    ) -> SegmentRun:
        """Segment the tumor from the volumes that there are.

        If the same volumes, or more, were segmented last, their encodings are used again.

        :param inputs: a volume for any of ``flair``, ``t1``, ``t1c``, ``t2``; None where there is none
        :param settings: how to segment; by default with the embedded model on the best device
        :param replaced: the segmentation of a former run that takes the new result; None: a new one is added
        :param waitForCompletion: return when the result is in the scene; the application goes on meanwhile
        :param onProgress: is told of each step
        :param onFinished: is told of the end
        :raises LckdError: the inputs are refused; when waiting also whatever the run failed with
        """
        chosen = settings or RunSettings()
        job = self._prepare(inputs, chosen)
        run = SegmentRun(job, chosen.division.value, replaced, onProgress, self._ending(onFinished))
        wish = ("segment", {}) if job.isWhole else ("decode", {"subset": job.subset})
        self._start(run, *wish, waitForCompletion)
        return run

    def compare(
        self,
        inputs: Volumes,
        subsets: Sequence[str] | None = None,
        reference: Reference | None = None,
        settings: RunSettings | None = None,
        waitForCompletion: bool = True,
        onProgress: Listener | None = None,
        onFinished: Listener | None = None,
    ) -> CompareRun:
        """Segment from several subsets of the volumes and compare the results.

        :param inputs: as for `segment`
        :param subsets: names such as ``flair+t1c``; None: all subsets of the volumes
        :param reference: what they are compared with; None: the result from the largest subset
        :param settings: as for `segment`; maps are not made
        :param waitForCompletion: as for `segment`
        :param onProgress: is told of each step; `CompareRun.outcome` grows with each subset
        :param onFinished: is told of the end
        :raises LckdError: the inputs are refused; when waiting also whatever the run failed with
        """
        # Nobody would see the maps of so many subsets, which take several times as long as the segmentations.
        chosen = replace(settings or RunSettings(), probabilities=False, uncertainty=False)
        job = self._prepare(inputs, chosen, reference)
        name = (reference.GetName() or "") if reference is not None else ""
        run = CompareRun(job, onProgress, self._ending(onFinished), name)
        self._start(run, "compare", {"subsets": _subsetsOf(job, subsets)}, waitForCompletion)
        return run

    def importSubset(self, run: CompareRun, subset: str, division: str) -> slicer.vtkMRMLSegmentationNode:
        """Bring the segmentation of one subset of a comparison into the scene; it goes with the comparison's table.

        :raises LckdError: its files are gone, or its volumes are
        """
        from lckd.errors import InputError

        from .SceneImport import importResult

        folder = run.outcome.folders[subset]
        if not folder.is_dir():
            raise InputError(
                "RESULT_GONE",
                _("The volumes have changed since this comparison, and its files are gone."),
                _("Run the comparison again."),
            )
        imported = importResult(run.job.scene, folder, run.job.inputs, division, withMaps=False)
        run.outcome.imported.append(imported.segmentation)
        run.ownImported()
        return imported.segmentation

    def doctor(self, onFinished: Callable[[Request], None]) -> Request:
        """Ask which devices there are and whether the program can be used; torch is loaded in the worker only."""
        return self.client.request("doctor", onFinished=onFinished)

    def forgetRemovedVolumes(self) -> None:
        """Let go of a case whose volumes have been deleted: its files, its encodings, its voxels."""
        if self.current is None and self.case.forgetRemoved() and self.client.isRunning:
            self.client.request("forget")

    def closeCase(self) -> None:
        """End what is under way and leave no file behind; for the end of the scene."""
        if self.current is not None:
            self.client.shutdown()
        elif self.client.isRunning and self.case.path is not None:
            # The process stays, with the model; the encodings of the patient go.
            self.client.request("forget")
        self.current = None
        self.case.dispose()

    def close(self) -> None:
        """End the worker and leave no file behind; for the end of the module and of the application."""
        self.client.shutdown()
        self.current = None
        self.case.dispose()

    def _prepare(self, inputs: Volumes, settings: RunSettings, reference: Reference | None = None) -> Job:
        """Write the job, once nothing else is under way."""
        from lckd.errors import UsageError

        if self.current is not None:
            raise UsageError("BUSY", _("Another run is under way."), _("Wait for its end or cancel it."))
        return self.case.prepare(inputs, settings.asJob(), reference)

    def _start(self, run: Run, do: str, fields: dict[str, Any], wait: bool) -> None:
        from lckd.errors import LckdError

        self.current = run
        request = self.client.request(do, run.takeEvent, run.takeEnd, job=str(run.job.folder), **fields)
        run.follow(request)
        if wait:
            try:
                self.client.waitFor(request)
            except LckdError as error:
                # The run says it in words for whoever sees no job folder.
                raise run.error or error from error
            if run.error is not None:
                raise run.error

    def _ending(self, onFinished: Listener | None) -> Listener:
        def end(run: Run) -> None:
            if self.current is run:
                self.current = None
                self.forgetRemovedVolumes()
            if onFinished is not None:
                onFinished(run)

        return end


def _subsetsOf(job: Job, subsets: Sequence[str] | None) -> list[str]:
    """The subsets to compare; by default all of the wanted volumes, of which the job may hold more."""
    from lckd.sequences import parse_subset, subset_name, subsets_of

    if subsets is not None:
        return [subset_name(parse_subset(subset)) for subset in subsets]
    return [subset_name(subset) for subset in subsets_of(parse_subset(job.subset))]
