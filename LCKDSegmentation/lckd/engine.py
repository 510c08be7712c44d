"""The main functions: from a case to its segmentation, and from a case to the segmentations of all its subsets.

Every door (command line, batch, worker, teacher election) goes through these few functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .case import Case
from .device import choose_device, describe_device, set_threads
from .errors import OutOfMemoryError
from .geometry import Grid
from .labels import LabelConvention, Region, labels_from_regions
from .models import LoadedModel, load_model
from .postprocess import Cleanup
from .predictor import EncodedCase, Predictor, Probabilities
from .prepare import PreparedCase, prepare
from .progress import Progress
from .report import base_report, peak_memory_mb, rounded_seconds
from .segmentation import Segmentation, put_back
from .sequences import Sequence, Subset, missing_from, subset_name, subset_title, subsets_of

#: A region whose expected Dice is lower than this is called unreliable.
UNRELIABLE_DICE = 0.5
#: Shares that only the progress bar depends on: preparing in opening a case, the network in answering for a subset.
PREPARE_SHARE, NETWORK_SHARE = 0.2, 0.93


@dataclass(frozen=True)
class Settings:
    """How to compute.

    Attributes:
        device: auto, cpu, cuda, cuda:1 or mps.
        threads: CPU threads; None: all that this process may use.
        mirror: average over mirrored copies (eight times the work).
        half: half precision where the device has the instructions for it.
        cleanup: optional clean-up of the result.
    """

    device: str = "auto"
    threads: int | None = None
    mirror: bool = False
    half: bool = True
    cleanup: Cleanup = field(default_factory=Cleanup)


@dataclass(frozen=True)
class Result:
    """A segmentation with everything that is said about it.

    Attributes:
        case: the images it was made from.
        segmentation: the regions on the reference volume's voxels.
        report: the run report, as written to ``report.json``.
    """

    case: Case
    segmentation: Segmentation
    report: dict[str, Any]

    @property
    def labels(self) -> np.ndarray:
        """Label map (D, H, W), BraTS 2023: 1 NCR/NET, 2 ED, 3 ET."""
        return labels_from_regions(self.segmentation.regions)

    @property
    def volumes_ml(self) -> dict[Region, float]:
        """Volume of each region in milliliters."""
        return self.segmentation.volumes_ml

    def write(
        self,
        output: str | Path,
        overwrite: bool = False,
        convention: LabelConvention = LabelConvention.BRATS2023,
        **wanted: bool,
    ) -> None:
        """Write segmentation, preview and report: all or nothing.

        Args:
            output: a folder, or the image file of the segmentation.
            overwrite: replace files that exist.
            convention: numbers of the tissues in the label map.
            wanted: `probabilities`, `uncertainty` and `preview`, as for `lckd.output.output_files`.

        Raises:
            OutputError: a file exists already, is part of the case, or cannot be written.
        """
        from .output import check_output, output_files, staged, write_report, write_result

        inputs = [source.path for source in self.case.sources.values()]
        check_output(output_files(Path(output), **wanted), overwrite, inputs)
        with staged(Path(output)) as place:
            files = output_files(place, **wanted)
            write_result(self, files, convention)
            write_report(self.report, files["report"])


@dataclass(frozen=True)
class OpenCase:
    """A case that is ready for any subset of its sequences to be asked for.

    Attributes:
        case: the images.
        prepared: what the network sees of them.
        predictor: what puts it through the network.
        encoded: the kept features; None: every question is computed from the start.
        warnings: what the predictor had to say.
    """

    case: Case
    prepared: PreparedCase
    predictor: Predictor
    encoded: EncodedCase | None = None
    warnings: list[str] = field(default_factory=list)

    def warn_through(self, progress: Progress) -> None:
        """Tell `progress` at once when memory runs out, and note it for the report."""

        def warn(message: str) -> None:
            self.warnings.append(message)
            progress.warn(message)

        self.predictor.warn = warn


class Engine:
    """A loaded model on a device, used for one case after another.

    Args:
        model: a loaded model, its name or its folder; None: the embedded model.
        settings: how to compute.

    Raises:
        ModelError: the model is refused.
        UsageError: there is no such device.
    """

    def __init__(self, model: LoadedModel | str | Path | None = None, settings: Settings = Settings()) -> None:
        self.settings = settings
        self.device = choose_device(settings.device)
        self.threads = set_threads(settings.threads)
        self.model = model if isinstance(model, LoadedModel) else load_model(model)

    def segment(self, case: Case, progress: Progress | None = None) -> Result:
        """Segment a case from all of its sequences.

        Raises:
            InputError: the sequences do not fit together.
            OutOfMemoryError: there is not enough memory on any allowed device.
            CancelledError: the user asked to stop.
        """
        return next(iter(self.segment_subsets(case, [case.present], progress)))

    def segment_subsets(
        self, case: Case, subsets: Iterable[Subset] | None = None, progress: Progress | None = None
    ) -> list[Result]:
        """Segment a case from several subsets of its sequences (default: all), each sequence encoded once.

        Raises: as `segment`.
        """
        wanted = subsets_of(case.present) if subsets is None else list(subsets)
        progress = progress or Progress()
        opened = self.open(case, progress, keep=False, share=0.2)
        opened.warn_through(progress)
        restored = list(self._restored(opened, wanted, progress, 0.7))
        return [Result(case, one, self._report(opened, one, progress)) for one in restored]

    def open(self, case: Case, progress: Progress | None = None, keep: bool = True, share: float = 0.65) -> OpenCase:
        """Prepare a case and encode its sequences, so that each of its subsets costs only its decoding.

        Where the features would take too much memory they are not kept, and every subset is computed from the start.

        Args:
            case: the images.
            progress: told of stages ``prepare`` and ``network``.
            keep: encode and keep the features.
            share: of this work in all that `progress` counts.

        Raises: as `segment`.
        """
        progress = progress or Progress()
        # Before its first use CUDA counts nothing, and refuses to be asked.
        if self.device.type == "cuda" and torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats(self.device)
        with progress.stage("prepare", share * PREPARE_SHARE if keep else share):
            prepared = prepare(case)
        opened = OpenCase(case, prepared, self.predictor())
        if not keep:
            return opened
        opened.warn_through(progress)
        with progress.stage("network", share * (1 - PREPARE_SHARE)) as tell:
            try:
                return replace(opened, encoded=opened.predictor.encode(prepared, tell))
            except OutOfMemoryError:
                return OpenCase(case, prepared, self.predictor())

    def results(
        self, opened: OpenCase, subsets: Iterable[Subset], progress: Progress | None = None, share: float = 0.3
    ) -> Iterator[Result]:
        """The segmentations of several subsets of an open case, one after the other, each as soon as it is there.

        Args:
            opened: from `open`, of an engine with the same model.
            subsets: of the case's sequences.
            progress: told of stages ``network`` and ``restore``.
            share: of this work in all that `progress` counts.

        Raises: as `segment`.
        """
        progress, wanted = progress or Progress(), list(subsets)
        opened.warn_through(progress)
        if opened.encoded is None:
            restored = self._restored(opened, wanted, progress, share)
        else:
            restored = self._decoded(opened, opened.encoded, wanted, progress, share)
        for one in restored:
            yield Result(opened.case, one, self._report(opened, one, progress))

    def _restored(
        self, opened: OpenCase, subsets: list[Subset], progress: Progress, share: float
    ) -> Iterator[Segmentation]:
        """All subsets in one go from the start, with only one window's features in memory."""
        with progress.stage("network", share * NETWORK_SHARE) as tell:
            probabilities = opened.predictor.predict(opened.prepared, subsets, tell)
        for subset in subsets:
            with progress.stage("restore", share * (1 - NETWORK_SHARE) / len(subsets)):
                segmentation = self._put_back(probabilities.pop(subset), opened, subset)
            yield segmentation

    def _decoded(
        self, opened: OpenCase, encoded: EncodedCase, subsets: list[Subset], progress: Progress, share: float
    ) -> Iterator[Segmentation]:
        """One subset after the other from the features that were kept."""
        for subset in subsets:
            with progress.stage("network", share * NETWORK_SHARE / len(subsets)) as tell:
                probabilities = opened.predictor.decode(encoded, subset, tell)
            with progress.stage("restore", share * (1 - NETWORK_SHARE) / len(subsets)):
                segmentation = self._put_back(probabilities, opened, subset)
            yield segmentation

    def _put_back(self, probabilities: Probabilities, opened: OpenCase, subset: Subset) -> Segmentation:
        reference = Grid.of(opened.case.reference)
        return put_back(probabilities, opened.prepared, reference, subset, self.settings.cleanup)

    def predictor(self) -> Predictor:
        """The predictor of this model on this device."""
        return Predictor(self.model.network, self.device, self.settings.mirror, self.settings.half)

    def _report(self, opened: OpenCase, segmentation: Segmentation, progress: Progress) -> dict[str, Any]:
        case, prepared, subset = opened.case, opened.prepared, segmentation.subset
        report = base_report() | {
            "case": case.name,
            "inputs": {sequence.value: str(source) for sequence, source in case.sources.items()},
            "grid": case.grid_sequence.value,
            "model": {"name": self.model.name, "sha256": self.model.sha256},
            "device": describe_device(opened.predictor.plan.device),
            "threads": self.threads,
            "present": [sequence.value for sequence in subset],
            "imputed": [sequence.value for sequence in missing_from(subset)],
            "subset": subset_name(subset),
            "preprocessing": [*prepared.history],
            "network": str(opened.predictor.plan),
            "postprocessing": segmentation.cleaned,
            "volumes_ml": {region.value: volume for region, volume in segmentation.volumes_ml.items()},
            "expected_dice": {r.value: dice for r, dice in self.model.card.expected_dice(subset).items()},
            "warnings": [*prepared.warnings, *opened.warnings, *self.subset_warnings(subset)],
            "seconds": rounded_seconds(progress.seconds),
            "peak_memory_mb": peak_memory_mb(),
        }
        return report | self._gpu_memory()

    def _gpu_memory(self) -> dict[str, float]:
        if self.device.type != "cuda":
            return {}
        return {"peak_gpu_memory_mb": round(torch.cuda.max_memory_allocated(self.device) / 1024**2, 1)}

    def subset_warnings(self, subset: Subset) -> list[str]:
        """What the user must know about a result from just these sequences."""
        warnings = []
        missing = missing_from(subset)
        if missing:
            warnings.append(f"Without {subset_title(missing)}: the missing features were imputed from those present.")
        if Sequence.T1C not in subset:
            warnings.append("Without T1c the enhancing tumor and the tumor core are not reliable.")
        for region, dice in self.model.card.expected_dice(subset).items():
            if dice < UNRELIABLE_DICE:
                which = f"{region.value} ({region.title})"
                warnings.append(f"With {subset_title(subset)}, expect a Dice of only {dice:.2f} for {which}.")
        return warnings


def segment(
    case: Case,
    model: LoadedModel | str | Path | None = None,
    settings: Settings = Settings(),
    progress: Progress | None = None,
) -> Result:
    """Segment one case; see `Engine.segment`."""
    return Engine(model, settings).segment(case, progress)
