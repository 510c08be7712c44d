"""The main functions: from a case to its segmentation, and from a case to the segmentations of all its subsets.

Every door (command line, batch, worker, teacher election) goes through these few functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .case import Case
from .device import choose_device, describe_device, set_threads
from .geometry import Grid
from .labels import Region, labels_from_regions
from .models import LoadedModel, load_model
from .postprocess import Cleanup
from .predictor import Predictor
from .prepare import PreparedCase, prepare
from .progress import Progress
from .report import base_report, peak_memory_mb, rounded_seconds
from .segmentation import Segmentation, put_back
from .sequences import Sequence, Subset, missing_from, subset_name, subset_title, subsets_of

#: A region whose expected Dice is lower than this is called unreliable.
UNRELIABLE_DICE = 0.5


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

    def write(self, output: str | Path, overwrite: bool = False, **options: Any) -> None:
        """Write segmentation, preview and report into a folder; see `lckd.output.write_result` for the options.

        Raises:
            OutputError: there is a segmentation already, or the folder cannot be written to.
        """
        from .output import check_output, report_path, write_report, write_result

        check_output(Path(output), overwrite)
        write_result(self, Path(output), **options)
        write_report(self.report, report_path(Path(output)))


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
        warnings: list[str] = []
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        with progress.stage("prepare", 0.2):
            prepared = prepare(case)
        predictor = self.predictor(warnings.append)
        with progress.stage("network", 0.65) as tell:
            probabilities = predictor.predict(prepared, wanted, tell)
        with progress.stage("restore", 0.05):
            reference = Grid.of(case.reference)
            restored = [
                put_back(probabilities.pop(subset), prepared, reference, subset, self.settings.cleanup)
                for subset in wanted
            ]
        return [Result(case, one, self._report(case, one, prepared, predictor, warnings, progress)) for one in restored]

    def predictor(self, warn: Callable[[str], None]) -> Predictor:
        """The predictor of this model on this device."""
        return Predictor(self.model.network, self.device, self.settings.mirror, self.settings.half, warn)

    def _report(
        self,
        case: Case,
        segmentation: Segmentation,
        prepared: PreparedCase,
        predictor: Predictor,
        warnings: list[str],
        progress: Progress,
    ) -> dict[str, Any]:
        subset = segmentation.subset
        report = base_report() | {
            "case": case.name,
            "inputs": {sequence.value: str(source) for sequence, source in case.sources.items()},
            "grid": case.grid_sequence.value,
            "model": {"name": self.model.name, "sha256": self.model.sha256},
            "device": describe_device(predictor.plan.device),
            "threads": self.threads,
            "present": [sequence.value for sequence in subset],
            "imputed": [sequence.value for sequence in missing_from(subset)],
            "subset": subset_name(subset),
            "preprocessing": [*prepared.history],
            "network": str(predictor.plan),
            "postprocessing": segmentation.cleaned,
            "volumes_ml": {region.value: volume for region, volume in segmentation.volumes_ml.items()},
            "expected_dice": {r.value: dice for r, dice in self.model.card.expected_dice(subset).items()},
            "warnings": [*prepared.warnings, *warnings, *self.subset_warnings(subset)],
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
