"""Names, colors and DICOM codes of the segments."""

from __future__ import annotations

import pytest

SEGMENTS = ("ET", "NCR", "ED", "TC", "WT")


def entry_of(segment_id: str):
    import slicer

    from LCKDSegmentationLib.Terminology import segmentKind

    entry = slicer.vtkSlicerTerminologyEntry()
    assert slicer.vtkSlicerTerminologiesModuleLogic.DeserializeTerminologyEntry(segmentKind(segment_id).entry, entry)
    return entry


@pytest.mark.parametrize("segment_id", SEGMENTS)
def test_codes_are_those_of_dicom(application, segment_id):
    """Each type is in CID 7159 of the DICOM standard, as pydicom has it, with its meaning; the category in CID 7150."""
    from pydicom.sr._cid_dict import cid_concepts
    from pydicom.sr._concepts_dict import concepts

    kind, category = entry_of(segment_id).GetTypeObject(), entry_of(segment_id).GetCategoryObject()
    known = {
        (scheme, value, meaning)
        for scheme, names in cid_concepts[7159].items()
        for name in names
        for value, (meaning, cids) in concepts[scheme][name].items()
        if 7159 in cids
    }
    assert (kind.GetCodingSchemeDesignator(), kind.GetCodeValue(), kind.GetCodeMeaning()) in known
    assert category.GetCodingSchemeDesignator() == "SCT"
    assert category.GetCodeValue() in concepts["SCT"]["MorphologicallyAbnormalStructure"]


def test_codes_differ_from_each_other(application):
    assert len({entry_of(segment_id).GetTypeObject().GetCodeValue() for segment_id in SEGMENTS}) == len(SEGMENTS)


def test_region_is_the_brain(application):
    region = entry_of("ET").GetRegionObject()
    assert (region.GetCodingSchemeDesignator(), region.GetCodeValue()) == ("SCT", "12738006")


def test_slicer_loads_the_terminology_and_finds_the_entries(application):
    import slicer
    import vtk

    from LCKDSegmentationLib.Terminology import loadTerminology

    logic = application.terminologies_logic
    assert loadTerminology(logic)
    names = vtk.vtkStringArray()
    logic.GetLoadedTerminologyNames(names)
    context = entry_of("ET").GetTerminologyContextName()
    assert context in [names.GetValue(index) for index in range(names.GetNumberOfValues())]
    for segment_id in SEGMENTS:
        found = slicer.vtkSlicerTerminologyEntry()
        assert logic.FindTypeInTerminologyBy3dSlicerLabel(context, segment_id, found)
        assert found.GetTypeObject().GetCodeValue() == entry_of(segment_id).GetTypeObject().GetCodeValue()


def test_colors_are_those_of_the_preview(application):
    from lckd.labels import Tissue
    from lckd.preview import TISSUE_COLORS
    from LCKDSegmentationLib.Terminology import segmentKind

    for tissue in (Tissue.ET, Tissue.NCR, Tissue.ED):
        color = tuple(round(255 * value) for value in segmentKind(tissue.value).color)
        assert color == TISSUE_COLORS[tissue]


@pytest.mark.parametrize(
    ("name", "segment_id"),
    [
        ("ET", "ET"),
        ("Enhancing Tumour", "ET"),
        ("GD-enhancing tumor", "ET"),
        ("Enhancing tumor (ET)", "ET"),
        ("NCR/NET", "NCR"),
        ("non-enhancing tumor core", "NCR"),
        ("Necrosis", "NCR"),
        ("ED", "ED"),
        ("Peritumoral oedema", "ED"),
        ("SNFH", "ED"),
        ("tumor_core", "TC"),
        ("Whole tumour", "WT"),
        ("Segment_1", None),
        ("tumor", None),
        ("brain", None),
        ("", None),
    ],
)
def test_names_are_recognized(application, name, segment_id):
    from LCKDSegmentationLib.Terminology import recognizeName

    assert recognizeName(name) == segment_id


@pytest.mark.parametrize("segment_id", SEGMENTS)
def test_own_names_are_recognized_and_fit_into_dicom(application, segment_id):
    from LCKDSegmentationLib.Terminology import recognizeName, segmentName

    assert recognizeName(segmentName(segment_id)) == segment_id
    assert len(segmentName(segment_id)) <= 64


def test_labels_are_those_of_the_engine(application):
    from LCKDSegmentationLib.Terminology import labelsOf

    assert {segment_id: set(labelsOf(segment_id)) for segment_id in SEGMENTS} == {
        "ET": {3},
        "NCR": {1},
        "ED": {2},
        "TC": {1, 3},
        "WT": {1, 2, 3},
    }
