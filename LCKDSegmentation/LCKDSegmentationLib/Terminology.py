"""The segments of a brain tumor: IDs, names, colors and DICOM codes, and which segment of a stranger is which.

The codes are those of DICOM CID 7159 and 7168. Codes and colors stand in ``Resources/Terminology``, since the core
lists of Slicer have no entry for enhancing tissue.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

TERMINOLOGY_FILE = Path(__file__).parents[1] / "Resources" / "Terminology" / "BrainTumorLCKD.term.json"

#: Disjoint tissues, and nested regions; each from the inside out.
TISSUES = ("ET", "NCR", "ED")
REGIONS = ("ET", "TC", "WT")

#: Context, scheme, code and meaning of the anatomic region, from the list that comes with Slicer.
_BRAIN = ("Anatomic codes - DICOM master list", "SCT", "12738006", "Brain")

#: How others call the segments, letters only.
_NAMES = {
    "ET": ("et", "enhancing", "enhancingtumor", "enhancingcore", "gdenhancingtumor", "enhancinglesion"),
    "NCR": (
        *("ncr", "net", "ncrnet", "necrosis", "necroticcore", "necrotictumorcore", "necrosisornonenhancingtumor"),
        *("nonenhancing", "nonenhancingtumor", "nonenhancingtumorcore", "nonenhancinglesion"),
    ),
    "ED": ("ed", "edema", "peritumoraledema", "snfh"),
    "TC": ("tc", "tumorcore"),
    "WT": ("wt", "wholetumor"),
}
#: Codes that say which tissue it is. Those of TC and WT are too general to say so.
_CODES = {("NCIt", "C113842"): "ET", ("NCIt", "C81175"): "NCR", ("SCT", "6574001"): "NCR", ("SCT", "79654002"): "ED"}


@dataclass(frozen=True)
class Code:
    """A coded term: scheme designator, value, meaning."""

    scheme: str
    value: str
    meaning: str


@dataclass(frozen=True)
class SegmentKind:
    """What a segment stands for; `color` is RGB in 0..1, `entry` the serialized terminology entry."""

    id: str
    color: tuple[float, float, float]
    entry: str


def segmentName(segmentID: str) -> str:
    """Return the name of a segment as the user reads it.

    It is also the label in DICOM SEG and stays English: Slicer's exporter refuses letters that are not ASCII.
    """
    return {
        "ET": "Enhancing tumor (ET)",
        "NCR": "Necrosis or non-enhancing tumor (NCR/NET)",
        "ED": "Edema (ED)",
        "TC": "Tumor core (TC)",
        "WT": "Whole tumor (WT)",
    }[segmentID]


@functools.cache
def segmentKind(segmentID: str) -> SegmentKind:
    """Return color and terminology of ET, NCR, ED, TC or WT.

    :raises KeyError: there is no such segment
    """
    context, categories = _readTerminology()
    for category in categories:
        for kind in category["Type"]:
            if kind["3dSlicerLabel"] == segmentID:
                red, green, blue = (value / 255 for value in kind["recommendedDisplayRGBValue"])
                return SegmentKind(segmentID, (red, green, blue), _entry(context, _code(category), _code(kind)))
    raise KeyError(segmentID)


@functools.cache
def labelsOf(segmentID: str) -> tuple[int, ...]:
    """Return the values of the result's label map (1 NCR/NET, 2 ED, 3 ET) that ET, NCR, ED, TC or WT is made of."""
    from lckd.labels import REGION_TISSUES, LabelConvention, Region, Tissue

    tissues = REGION_TISSUES[Region(segmentID)] if segmentID in REGIONS else {Tissue(segmentID)}
    return tuple(value for value, tissue in LabelConvention.BRATS2023.values.items() if tissue in tissues)


def loadTerminology(logic: slicer.vtkSlicerTerminologiesModuleLogic) -> bool:
    """Make the entries known to Slicer, so that they can be chosen and have their colors; return whether it worked."""
    return bool(logic.LoadTerminologyFromFile(str(TERMINOLOGY_FILE)))


def recognizeSegment(segmentID: str, segment: slicer.vtkSegment) -> str | None:
    """Return which of ET, NCR, ED, TC, WT a segment is by its name, its ID or its DICOM type code; None if unknown."""
    code = _typeCode(segment)
    return recognizeName(segment.GetName() or "") or recognizeName(segmentID) or _CODES.get((code.scheme, code.value))


def recognizeName(name: str) -> str | None:
    """Return which of ET, NCR, ED, TC, WT a name means, e.g. ``Tumor core (TC)`` or ``peritumoral oedema``."""
    lowered = name.lower().replace("tumour", "tumor").replace("oedema", "edema")
    inParentheses = re.findall(r"\(([^)]*)\)", lowered)
    for candidate in (lowered, re.sub(r"\([^)]*\)", "", lowered), *inParentheses):
        letters = re.sub(r"[^a-z]", "", candidate)
        for segmentID, names in _NAMES.items():
            if letters in names:
                return segmentID
    return None


def _readTerminology() -> tuple[str, list[dict[str, Any]]]:
    terminology = json.loads(TERMINOLOGY_FILE.read_text(encoding="utf-8"))
    return terminology["SegmentationCategoryTypeContextName"], terminology["SegmentationCodes"]["Category"]


def _code(entry: dict[str, Any]) -> Code:
    return Code(entry["CodingSchemeDesignator"], entry["CodeValue"], entry["CodeMeaning"])


def _entry(context: str, category: Code, kind: Code) -> str:
    regionContext, scheme, value, meaning = _BRAIN
    serialize = slicer.vtkSlicerTerminologiesModuleLogic.SerializeTerminologyEntry
    # Each code in the order value, scheme, meaning; no type modifier, no region modifier.
    return serialize(
        *(context, category.value, category.scheme, category.meaning, kind.value, kind.scheme, kind.meaning),
        *("", "", "", regionContext, value, scheme, meaning, "", "", ""),
    )


def _typeCode(segment: slicer.vtkSegment) -> Code:
    """The type code of a segment's terminology entry, empty if there is none."""
    tagName = slicer.vtkSegment.GetTerminologyEntryTagName()
    entry = slicer.vtkSlicerTerminologyEntry()
    logic = slicer.vtkSlicerTerminologiesModuleLogic
    tag = _tag(segment, tagName)
    if not tag or not logic.DeserializeTerminologyEntry(tag, entry) or entry.GetTypeObject() is None:
        return Code("", "", "")
    kind = entry.GetTypeObject()
    return Code(kind.GetCodingSchemeDesignator() or "", kind.GetCodeValue() or "", kind.GetCodeMeaning() or "")


def _tag(segment: slicer.vtkSegment, name: str) -> str:
    import vtk

    value = vtk.mutable("")
    return str(value) if segment.GetTag(name, value) else ""
