"""Writing a result: segmentation, report, preview and what else was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from .errors import OutputError
from .images import WRITABLE_SUFFIXES, image_stem, is_image_name, write_image, writing
from .labels import REGIONS, LabelConvention
from .preview import write_preview

if TYPE_CHECKING:
    from .engine import Result
    from .segmentation import Segmentation


def check_output(output: Path, overwrite: bool) -> None:
    """Refuse, before any work, an output that exists or cannot be written. Makes no folder.

    Raises:
        OutputError: OUTPUT_SUFFIX, OUTPUT_EXISTS or NOT_WRITABLE.
    """
    target = segmentation_path(output)
    if not target.name.lower().endswith(WRITABLE_SUFFIXES):
        raise OutputError(
            "OUTPUT_SUFFIX",
            f"{target.name} would be two files, which cannot be replaced in one step.",
            f"Choose one of {', '.join(WRITABLE_SUFFIXES)}.",
        )
    if target.exists() and not overwrite:
        raise OutputError("OUTPUT_EXISTS", f"{target} exists already.", "Add --overwrite, or choose another output.")
    folder = next(parent for parent in target.absolute().parents if parent.exists())
    with writing(folder / ".lckd-write-test") as probe:
        probe.write_bytes(b"0")
    (folder / ".lckd-write-test").unlink()


def segmentation_path(output: Path) -> Path:
    """Where the segmentation goes: into a folder, or to the file that `output` names by its image suffix."""
    return output if is_image_name(output) else output / "segmentation.nii.gz"


def write_result(
    result: Result,
    output: Path,
    convention: LabelConvention = LabelConvention.BRATS2023,
    probabilities: bool = False,
    uncertainty: bool = False,
    preview: bool = True,
) -> list[Path]:
    """Write a result; every file appears whole or not at all.

    A folder receives ``segmentation.nii.gz``, ``preview.png``, ``report.json`` and what was asked for. If `output` ends
    in an image suffix, only that file is written, and the report beside it.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    target = segmentation_path(output)
    suffix = next(suffix for suffix in WRITABLE_SUFFIXES if target.name.lower().endswith(suffix))
    written: list[Path] = []
    try:
        for ending, image in result_images(result.segmentation, convention, probabilities, uncertainty):
            path = target.with_name(f"{image_stem(target)}{ending}{suffix}") if ending else target
            write_image(image, path, result.case.sources.get(result.case.grid_sequence))
            written.append(path)
        if preview and not is_image_name(output):
            written.append(target.with_name("preview.png"))
            write_preview(result, written[-1])
    except OutputError:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return written


def result_images(
    segmentation: Segmentation, convention: LabelConvention, probabilities: bool, uncertainty: bool
) -> Iterator[tuple[str, sitk.Image]]:
    """What is to be written, made one after the other, and what it is, as the end of its name; empty: the label map."""
    yield "", segmentation.label_image(convention)
    if probabilities:
        for region in REGIONS:
            yield f"-probability-{region.value}", _storable(segmentation.probability_image(region))
    if uncertainty:
        yield "-uncertainty", _storable(segmentation.uncertainty_image())


def write_report(report: dict[str, Any], path: Path) -> None:
    """Write a report as JSON.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    with writing(path) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def report_path(output: Path) -> Path:
    """Where the report of an output goes."""
    return output.with_name(f"{image_stem(output)}.report.json") if is_image_name(output) else output / "report.json"


def _storable(image: sitk.Image) -> sitk.Image:
    """Rounded to the 11 significant bits of float16, which the file formats do not have, so that it compresses."""
    array = sitk.GetArrayFromImage(image).astype(np.float16).astype(np.float32)
    rounded = sitk.GetImageFromArray(array)
    rounded.CopyInformation(image)
    return rounded
