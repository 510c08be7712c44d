"""What is known of a volume, from whichever source, and what was concluded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..sequences import Sequence


@dataclass(frozen=True)
class Evidence:
    """What is known of one volume; everything may be missing.

    Attributes:
        name: name of the file or of the node in the scene.
        series_description, protocol_name, sequence_name: the texts of the DICOM header.
        scanning_sequence: SE, IR, GR, EP or RM, several joined by a backslash.
        sequence_variant, scan_options, image_type: as in the header, values joined by a backslash.
        contrast_agent, contrast_route: as in the header; an agent that is an empty text says nothing.
        echo_time_ms, repetition_time_ms, inversion_time_ms: in milliseconds.
        flip_angle_deg: in degrees.
        modality: MR, CT, …
        body_part: part of the body examined.
        acquisition_type: 2D or 3D.
        slice_distance_mm: thickness of, or distance between, the slices, in mm.
        time: when it was acquired, as a number that grows (of two volumes of the same patient the later has the
            greater), such as ``20260131094530.0``.
    """

    name: str = ""
    series_description: str = ""
    protocol_name: str = ""
    sequence_name: str = ""
    scanning_sequence: str = ""
    sequence_variant: str = ""
    scan_options: str = ""
    contrast_agent: str = ""
    contrast_route: str = ""
    echo_time_ms: float | None = None
    repetition_time_ms: float | None = None
    inversion_time_ms: float | None = None
    flip_angle_deg: float | None = None
    image_type: str = ""
    modality: str = ""
    body_part: str = ""
    acquisition_type: str = ""
    slice_distance_mm: float | None = None
    time: float | None = None


@dataclass(frozen=True)
class Identification:
    """Which sequence a volume is.

    Attributes:
        sequence: one of the four, or None.
        is_other: it is surely none of the four.
        confidence: how sure the answer is, 0 to 1; 0 where there is none.
        reason: why, in one sentence for the user.
        possible: where nothing was decided, what it may still be.
    """

    sequence: Sequence | None
    is_other: bool
    confidence: float
    reason: str
    possible: tuple[Sequence, ...] = ()

    @property
    def answer(self) -> str | None:
        """``FLAIR``, ``T1``, ``T1c``, ``T2``, ``other``, or None where the evidence does not decide."""
        if self.sequence is not None:
            return self.sequence.title
        return "other" if self.is_other else None


_TEXTS = {
    "series_description": "0008,103e",
    "protocol_name": "0018,1030",
    "sequence_name": "0018,0024",
    "scanning_sequence": "0018,0020",
    "sequence_variant": "0018,0021",
    "scan_options": "0018,0022",
    "contrast_agent": "0018,0010",
    "contrast_route": "0018,1040",
    "image_type": "0008,0008",
    "modality": "0008,0060",
    "body_part": "0018,0015",
    "acquisition_type": "0018,0023",
}
_NUMBERS = {
    "echo_time_ms": "0018,0081",
    "repetition_time_ms": "0018,0080",
    "inversion_time_ms": "0018,0082",
    "flip_angle_deg": "0018,1314",
    "slice_distance_mm": "0018,0050",
}
_DATE, _TIME = "0008,0022", "0008,0032"
#: The DICOM tags that are looked at, as ``gggg,eeee``.
TAGS: tuple[str, ...] = (*_TEXTS.values(), *_NUMBERS.values(), _DATE, _TIME)


def evidence_from_tags(value_of: Callable[[str], str | None], name: str = "") -> Evidence:
    """Evidence from a DICOM header, whoever reads it.

    Args:
        value_of: gives the value of a tag such as ``"0018,0081"`` (one of `TAGS`); an empty text or None if it has
            none. Slicer's ``dicomDatabase.instanceValue`` with the instance filled in will do.
        name: name of the file or node.
    """
    texts = {field: (value_of(tag) or "").strip() for field, tag in _TEXTS.items()}
    numbers = {field: _number(value_of(tag)) for field, tag in _NUMBERS.items()}
    date, time = ((value_of(tag) or "").strip() for tag in (_DATE, _TIME))
    return Evidence(name=name, **texts, **numbers, time=_number(f"{date}{time}") if time else None)  # type: ignore[arg-type]


def _number(text: str | None) -> float | None:
    """A decimal string, the first of several; None if it is none."""
    try:
        return float((text or "").split("\\")[0].strip())
    except ValueError:
        return None
