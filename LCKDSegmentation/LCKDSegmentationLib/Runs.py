"""One run of the worker as the rest of the application sees it: how far it is, and what it brought into the scene."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import slicer
from slicer.i18n import tr as _

from .CaseFolder import REFERENCE_FILE, Job
from .TumorSegments import stateOf
from .Wording import inPanelWords, volumeNames, withNames

if TYPE_CHECKING:
    from lckd.errors import LckdError

    from .ComparisonNodes import ComparisonNodes, Row
    from .SceneImport import ImportedRun


class RequestLike(Protocol):
    """What is needed of `WorkerClient.Request`."""

    result: dict[str, Any] | None
    error: LckdError | None

    def cancel(self) -> None:
        """Stop it."""


class Run:
    """A segmentation or a comparison under way or finished.

    Attributes:
        stage: what is being done: start, read, prepare, network, restore, compare, write, import.
        fraction: how much of the whole is done, 0 to 1.
        warnings: what the user should know.
        error: why it failed; None if it did not.
        isFinished: whether it is done, failed or cancelled.
        isCancelled: whether the user stopped it.
    """

    def __init__(
        self,
        job: Job,
        onProgress: Callable[[Run], None] | None = None,
        onFinished: Callable[[Run], None] | None = None,
    ) -> None:
        self.job = job
        self.stage = ""
        self.fraction = 0.0
        self.warnings: list[str] = []
        self.error: LckdError | None = None
        self.isFinished = False
        self.isCancelled = False
        self.encoded = True
        self._onProgress = onProgress
        self._onFinished = onFinished
        self._request: RequestLike | None = None
        self._started = time.monotonic()
        self._seconds: float | None = None

    @property
    def elapsedSeconds(self) -> float:
        """How long it has taken, in seconds."""
        return time.monotonic() - self._started if self._seconds is None else self._seconds

    @property
    def names(self) -> dict[str, str]:
        """What the files of the job are called for the user."""
        return volumeNames(self.job.inputs)

    def cancel(self) -> None:
        """Stop it; `onFinished` follows."""
        if self._request is not None and not self.isFinished:
            self._request.cancel()

    def follow(self, request: RequestLike) -> None:
        """Belong to a request of the worker."""
        self._request = request

    def takeEvent(self, event: Mapping[str, Any]) -> None:
        """Take an event of the worker."""
        if event["event"] == "stage":
            self.stage = str(event["stage"])
        elif event["event"] == "progress":
            self.fraction = float(event["fraction"])
        elif event["event"] == "warning":
            self.warnings.append(withNames(str(event["message"]), self.names))
        else:
            self._takeOther(event)
        self._tell()

    def takeEnd(self, request: RequestLike) -> None:
        """Take the end of the request: bring the result into the scene, or say why there is none."""
        if request.result is not None:
            self.encoded = bool(request.result.get("encoded", True))
            self.stage = "import"
            self._tell()
            self._conclude(request.result)
        elif request.error is not None:
            self.error = inPanelWords(request.error, self.names)
        else:
            self.isCancelled = True
        self._seconds = self.elapsedSeconds
        self.isFinished = True
        if self._onFinished is not None:
            self._onFinished(self)

    def _conclude(self, result: dict[str, Any]) -> None:
        from lckd.errors import LckdError

        try:
            self._bringIn(result)
            self.fraction = 1.0
        except LckdError as error:
            self.error = error
        except Exception as error:
            logging.exception("The result could not be brought into the scene")
            self.error = LckdError(
                "BUG",
                _("The result could not be brought into the scene ({reason}).").format(reason=error),
                _("This is a mistake in the program; please report it with the application's log."),
            )

    def _tell(self) -> None:
        if self._onProgress is not None:
            self._onProgress(self)

    def _takeOther(self, event: Mapping[str, Any]) -> None:
        """Take an event that only some runs have."""

    def _bringIn(self, result: dict[str, Any]) -> None:
        """Bring the result into the scene."""
        raise NotImplementedError


class SegmentRun(Run):
    """A segmentation from one subset.

    :param division: `TumorSegments.TISSUES` or `TumorSegments.REGIONS`
    :param replaced: the segmentation of a former run to be replaced
    """

    def __init__(
        self,
        job: Job,
        division: str,
        replaced: slicer.vtkMRMLSegmentationNode | None = None,
        onProgress: Callable[[Run], None] | None = None,
        onFinished: Callable[[Run], None] | None = None,
    ) -> None:
        super().__init__(job, onProgress, onFinished)
        self.division = division
        #: The segmentation that takes the result; None if it is added.
        self.replaced = replaced
        #: Whether what was to be replaced was changed by the user meanwhile, and therefore kept.
        self.isKept = False
        self._stateBefore = stateOf(replaced) if replaced is not None else ""
        #: The nodes of the result, once it is there.
        self.imported: ImportedRun | None = None

    @property
    def segmentation(self) -> slicer.vtkMRMLSegmentationNode:
        """The segmentation; to be asked for only after the run ended well."""
        assert self.imported is not None
        return self.imported.segmentation

    def _bringIn(self, result: dict[str, Any]) -> None:
        from .SceneImport import importResult

        if self.replaced is not None and self.replaced.GetScene() is None:
            self.replaced = None
        elif self.replaced is not None and stateOf(self.replaced) != self._stateBefore:
            self.replaced, self.isKept = None, True
        folder = Path(result["files"]["segmentation"]).parent
        self.imported = importResult(self.job.scene, folder, self.job.inputs, self.division, self.replaced)


@dataclass
class CompareOutcome:
    """What is known of a comparison so far.

    Attributes:
        rows: three regions for each subset that is done.
        folders: where the result of each subset lies.
        imported: the segmentations that were brought into the scene.
        basis: what the subsets are compared with, in words; empty before the end.
        nodes: tables and charts in the scene; None before the end.
    """

    rows: list[Row] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)
    imported: list[slicer.vtkMRMLSegmentationNode] = field(default_factory=list)
    basis: str = ""
    nodes: ComparisonNodes | None = None

    @property
    def subsets(self) -> list[str]:
        """The subsets that are done, in the order in which they came."""
        return list(self.folders)


class CompareRun(Run):
    """Segmentations from several subsets, compared with each other or with a reference.

    :param referenceName: what the reference is called; empty if there is none
    """

    def __init__(
        self,
        job: Job,
        onProgress: Callable[[Run], None] | None = None,
        onFinished: Callable[[Run], None] | None = None,
        referenceName: str = "",
    ) -> None:
        super().__init__(job, onProgress, onFinished)
        self.outcome = CompareOutcome()
        self._referenceName = referenceName

    @property
    def names(self) -> dict[str, str]:
        """What the files of the job are called for the user."""
        return super().names | ({REFERENCE_FILE: self._referenceName} if self._referenceName else {})

    def _takeOther(self, event: Mapping[str, Any]) -> None:
        from .ComparisonNodes import rowOf

        if event["event"] != "subset":
            return
        subset = str(event["subset"])
        for region, volume in event["volumes_ml"].items():
            values = {"subset": subset, "region": region, "volume_ml": volume}
            values |= {name: event[name][region] for name in ("dice", "hd95_mm")}
            self.outcome.rows.append(rowOf(values))
        self.outcome.folders[subset] = Path(event["files"]["segmentation"]).parent

    def _bringIn(self, result: dict[str, Any]) -> None:
        from .ComparisonNodes import addComparison, rowOf
        from .SceneTree import studyOf

        rows = [rowOf(row) for row in result["subsets"]]
        basis = withNames(str(result["basis"]), self.names)
        self.outcome.rows, self.outcome.basis = rows, basis
        self.outcome.nodes = addComparison(self.job.scene, rows, basis, studyOf(self.job.gridVolume, self.job.scene))
        self.ownImported()

    def ownImported(self) -> None:
        """Let the segmentations that are in the scene go with the table of the comparison, once there is one."""
        from .OwnedNodes import COMPARED_ROLE, own

        if self.outcome.nodes is not None and self.outcome.nodes.table.GetScene() is not None:
            for node in self.outcome.imported:
                if node.GetScene() is not None:
                    own(self.outcome.nodes.table, node, COMPARED_ROLE)
