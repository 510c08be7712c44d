"""Evidence from files: names, DICOM headers, and the JSON files that converters write beside images."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from .evidence import TAGS, Evidence, evidence_from_tags

#: What is read of the JSON file beside an image (BIDS): our field, its key, and the factor to our unit.
_SIDECAR_TEXTS = {
    "series_description": "SeriesDescription",
    "protocol_name": "ProtocolName",
    "sequence_name": "SequenceName",
    "scanning_sequence": "ScanningSequence",
    "sequence_variant": "SequenceVariant",
    "scan_options": "ScanOptions",
    "contrast_agent": "ContrastBolusIngredient",
    "image_type": "ImageType",
    "modality": "Modality",
    "body_part": "BodyPartExamined",
    "acquisition_type": "MRAcquisitionType",
}
_SIDECAR_NUMBERS = {
    "echo_time_ms": ("EchoTime", 1000.0),
    "repetition_time_ms": ("RepetitionTime", 1000.0),
    "inversion_time_ms": ("InversionTime", 1000.0),
    "flip_angle_deg": ("FlipAngle", 1.0),
    "slice_distance_mm": ("SliceThickness", 1.0),
}
_DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
_PREAMBLE = 128


def read_evidence(path: Path) -> Evidence:
    """What a file, or a folder with the DICOM files of one series, says about itself. Pixels are not read.

    A file whose header cannot be read speaks by its name alone.

    Raises:
        InputError: FILE_NOT_FOUND, UNREADABLE, or for a folder that does not hold one DICOM series NO_SERIES or
            SEVERAL_SERIES.
    """
    if not path.exists():
        raise InputError("FILE_NOT_FOUND", f"{path} does not exist.", "Check the path.")
    if path.is_dir():
        return _from_dicom(_file_of_series(path), path.name)
    if _is_dicom(path):
        return _from_dicom(path, path.name)
    return _from_sidecar(path)


def _is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do; those without a preamble are known by their suffix."""
    try:
        with path.open("rb") as stream:
            start = stream.read(_PREAMBLE + 4)
    except OSError as error:
        raise InputError("UNREADABLE", f"{path} cannot be read.", "Check who may read the file.") from error
    return start[_PREAMBLE:] == b"DICM" or (path.suffix.lower() in _DICOM_SUFFIXES and len(start) > _PREAMBLE)


def _file_of_series(folder: Path) -> Path:
    """One file of the only DICOM series in a folder."""
    import SimpleITK as sitk

    from ..images import itk_name

    with _without_warnings():
        name = itk_name(folder, InputError)
        series = sitk.ImageSeriesReader.GetGDCMSeriesIDs(name)
        if not series:
            raise InputError("NO_SERIES", f"{folder} holds no DICOM series.", "Name the image files.")
        if len(series) > 1:
            raise InputError(
                "SEVERAL_SERIES",
                f"{folder} holds {len(series)} DICOM series.",
                "Name a file of each series, or put each series into a folder of its own.",
            )
        files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(name, series[0])
    return Path(files[len(files) // 2])


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep ITK's remarks on damaged files off the terminal."""
    import SimpleITK as sitk

    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _from_dicom(path: Path, name: str) -> Evidence:
    return replace(evidence_from_tags(_dicom_tags(path).get), name=name)


def _dicom_tags(path: Path) -> dict[str, str]:
    """The values of `TAGS` in a DICOM file; empty if it cannot be read."""
    import SimpleITK as sitk

    from ..images import itk_name

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(itk_name(path, InputError))
    with _without_warnings():
        try:
            reader.ReadImageInformation()
        except RuntimeError:
            return {}
    keys = {tag: tag.replace(",", "|") for tag in TAGS}
    return {tag: _decoded(reader.GetMetaData(key)) for tag, key in keys.items() if reader.HasMetaDataKey(key)}


def _decoded(text: str) -> str:
    """Texts that are not UTF-8 arrive as surrogates; nearly all of those are Latin-1."""
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _from_sidecar(path: Path) -> Evidence:
    """The name of an image, and what the JSON file of the same name beside it says."""
    facts = _sidecar(path)
    texts = {field: _text(facts.get(key)) for field, key in _SIDECAR_TEXTS.items()}
    numbers = {field: _scaled(facts.get(key), factor) for field, (key, factor) in _SIDECAR_NUMBERS.items()}
    return Evidence(name=path.name, **texts, **numbers)  # type: ignore[arg-type]


def _sidecar(path: Path) -> dict[str, Any]:
    stem = path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem
    beside = path.with_name(f"{stem}.json")
    if not beside.is_file() or beside == path:
        return {}
    try:
        facts = json.loads(beside.read_text(encoding="utf-8", errors="replace"))
    except (OSError, json.JSONDecodeError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\\".join(str(part) for part in value)
    return value if isinstance(value, str) else ""


def _scaled(value: Any, factor: float) -> float | None:
    return value * factor if isinstance(value, (int, float)) and not isinstance(value, bool) else None
