"""Writing a result: segmentation, report, preview and what else was asked for."""

from __future__ import annotations

import json
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
    alone = is_image_name(output)
    suffix = next(suffix for suffix in WRITABLE_SUFFIXES if target.name.lower().endswith(suffix))
    like = result.case.sources.get(result.case.grid_sequence)
    write_image(result.segmentation.label_image(convention), target, like)
    written = [target]
    if probabilities:
        for region in REGIONS:
            path = target.with_name(f"{image_stem(target)}-probability-{region.value}{suffix}")
            write_image(_storable(result.segmentation.probability_image(region)), path, like)
            written.append(path)
    if uncertainty:
        path = target.with_name(f"{image_stem(target)}-uncertainty{suffix}")
        write_image(_storable(result.segmentation.uncertainty_image()), path, like)
        written.append(path)
    if preview and not alone:
        written.append(target.with_name("preview.png"))
        write_preview(result, written[-1])
    return written


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
