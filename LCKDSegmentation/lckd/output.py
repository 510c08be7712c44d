"""Writing a result: which files it has, whether they may be written, and all of them or none."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import SimpleITK as sitk

from .errors import OutputError, check_path_encoding
from .images import WRITABLE_SUFFIXES, image_stem, is_image_name, not_writable, write_image, writing
from .labels import REGIONS, LabelConvention
from .preview import write_preview

if TYPE_CHECKING:
    from .engine import Result
    from .segmentation import Segmentation


def output_files(
    output: Path, probabilities: bool = False, uncertainty: bool = False, preview: bool = True, comparison: bool = False
) -> dict[str, Path]:
    """The files of a result by what they are, in the order in which they are named to users.

    A folder receives ``segmentation.nii.gz``, ``preview.png``, ``report.json`` and what was asked for. If `output` ends
    in an image suffix, that file is written, and beside it, named after it, the report and what was asked for.
    """
    target = segmentation_path(output)
    maps = [f"probability-{region.value}" for region in REGIONS] if probabilities else []
    maps += ["uncertainty"] if uncertainty else []
    suffix = next((suffix for suffix in WRITABLE_SUFFIXES if target.name.lower().endswith(suffix)), target.suffix)
    files = {"segmentation": target}
    files |= {name: target.with_name(f"{image_stem(target)}-{name}{suffix}") for name in maps}
    if preview and not is_image_name(output):
        files["preview"] = output / "preview.png"
    if comparison:
        files |= {f"subsets{path.suffix}": path for path in comparison_files(output)}
    return files | {"report": report_path(output)}


def segmentation_path(output: Path) -> Path:
    """Where the segmentation goes: into a folder, or to the file that `output` names by its image suffix."""
    return output if is_image_name(output) else output / "segmentation.nii.gz"


def report_path(output: Path) -> Path:
    """Where the report of an output goes."""
    return output.with_name(f"{image_stem(output)}.report.json") if is_image_name(output) else output / "report.json"


def comparison_files(output: Path) -> list[Path]:
    """Where table, text and picture of a comparison go."""
    prefix = output.with_name(f"{image_stem(output)}.subsets") if is_image_name(output) else output / "subsets"
    return [prefix.with_name(f"{prefix.name}{suffix}") for suffix in (".csv", ".md", ".png")]


def check_output(files: Mapping[str, Path], overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Refuse, before any work, files (of `output_files`) that exist or cannot be written. Makes no folder.

    Args:
        files: what will be written.
        overwrite: they may replace others, but never one of the inputs.
        inputs: the user's images and segmentations.

    Raises:
        OutputError: OUTPUT_SUFFIX, OUTPUT_EXISTS, OUTPUT_IS_INPUT, PATH_ENCODING or NOT_WRITABLE.
    """
    target = files["segmentation"]
    if not target.name.lower().endswith(WRITABLE_SUFFIXES):
        raise OutputError(
            "OUTPUT_SUFFIX",
            f"{target.name} would be two files, which cannot be replaced in one step.",
            f"Choose one of {', '.join(WRITABLE_SUFFIXES)}.",
        )
    check_path_encoding(target.absolute(), OutputError)
    sources = [path for path in inputs if os.path.exists(path)]
    try:
        for path in filter(Path.exists, files.values()):
            if any(path.samefile(source) for source in sources):
                message = f"The result would be written over {path}, which is part of the case."
                raise OutputError("OUTPUT_IS_INPUT", message, "Choose another output.")
            if not overwrite:
                action = "Add --overwrite, or choose another output."
                raise OutputError("OUTPUT_EXISTS", f"{path} exists already.", action)
            if path.is_dir():
                raise IsADirectoryError(path)
    except OSError as error:
        raise not_writable(target) from error
    check_writable(target.parent)


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be made or written to.

    Raises:
        OutputError: PATH_ENCODING or NOT_WRITABLE.
    """
    check_path_encoding(folder.absolute(), OutputError)
    try:
        with tempfile.NamedTemporaryFile(dir=_existing(folder), prefix=".lckd-") as probe:
            probe.write(b"0")
    except OSError as error:
        raise not_writable(folder) from error


@contextmanager
def staged(output: Path) -> Iterator[Path]:
    """`output`, but in a temporary folder, whose files take their places when the block ends well, the report last.
    When it does not end well, all is as it was.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    target = segmentation_path(output)
    try:
        with tempfile.TemporaryDirectory(dir=_existing(target.parent), prefix=".writing-") as name:
            stage, report = Path(name), report_path(output)
            yield stage / output.name if is_image_name(output) else stage
            target.parent.mkdir(parents=True, exist_ok=True)
            # Whoever ends here halfway leaves no report of another result beside this one.
            report.unlink(missing_ok=True)
            for path in sorted(stage.iterdir(), key=lambda path: path.name == report.name):
                path.replace(target.with_name(path.name))
    except (OSError, OutputError) as error:
        raise not_writable(target) from error


def write_result(
    result: Result, files: Mapping[str, Path], convention: LabelConvention = LabelConvention.BRATS2023
) -> None:
    """Write the images and the preview of a result; the report is written when all times are known.

    Args:
        result: what to write.
        files: what is wanted and where, from `output_files`.
        convention: numbers of the tissues in the label map.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    wanted = (any(name.startswith("probability") for name in files), "uncertainty" in files)
    for ending, image in result_images(result.segmentation, convention, *wanted):
        path = files[ending.lstrip("-") or "segmentation"]
        write_image(image, path, result.case.sources.get(result.case.grid_sequence))
    if "preview" in files:
        write_preview(result, files["preview"])


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


def _existing(folder: Path) -> Path:
    """The folder itself, or the nearest above it that exists."""
    absolute = folder.absolute()
    return next(path for path in (absolute, *absolute.parents) if path.exists())


def _storable(image: sitk.Image) -> sitk.Image:
    """Rounded to the 11 significant bits of float16, which the file formats do not have, so that it compresses."""
    array = sitk.GetArrayFromImage(image).astype(np.float16).astype(np.float32)
    rounded = sitk.GetImageFromArray(array)
    rounded.CopyInformation(image)
    return rounded
