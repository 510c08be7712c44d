"""From a DICOM series to DICOM SEG and back: what Slicer's exporter makes of the segmentation node.

The file is written by dcmqi, as in Slicer, and read with highdicom, which knows nothing of either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from dicom_scene import empty_segments, export_segmentation, is_offered_for_export, load_series, tree_of
from dicom_series import PATIENT_ID, PATIENT_NAME, Series, new_study, write_series
from pydicom.sr.codedict import codes
from scene_cases import SHAPE, add_transform, oblique, report_of, tumor, values_of, write_result

REGION = codes.SCT.Brain
CATEGORY = codes.SCT.MorphologicallyAbnormalStructure
NCIT = codes.NCIt
#: Label, code of the type, labels of the result, and color (RGB) of the segments in their order.
SEGMENTS = {
    "tissues": (
        ("Enhancing tumor (ET)", NCIT.EnhancingLesion, (3,), (240, 228, 66)),
        ("Necrosis or non-enhancing tumor (NCR/NET)", NCIT.NonEnhancingLesion, (1,), (213, 94, 0)),
        ("Edema (ED)", codes.SCT.Edema, (2,), (0, 158, 115)),
    ),
    "regions": (
        ("Enhancing tumor (ET)", NCIT.EnhancingLesion, (3,), (240, 228, 66)),
        ("Tumor core (TC)", codes.SCT.Neoplasm, (1, 3), (213, 94, 0)),
        ("Whole tumor (WT)", codes.SCT.Lesion, (1, 2, 3), (0, 158, 115)),
    ),
}


@dataclass(frozen=True)
class Examination:
    """A T1c series as files and as a volume of the scene, and the way from a result for it to DICOM SEG."""

    scene: Any
    series: Series
    volume: Any
    bring: Callable[..., Any]
    export: Callable[[Any], highdicom.seg.Segmentation]


@pytest.fixture
def examination(scene, tmp_path: Path) -> Examination:
    from LCKDSegmentationLib.SceneExport import writeJob
    from LCKDSegmentationLib.SceneImport import importResult

    voxels = np.random.default_rng(7).integers(100, 300, SHAPE).astype(np.int16)
    series = write_series(tmp_path / "T1c", voxels, oblique(), new_study())
    volume = load_series(scene, series)
    numbers = iter(range(100))

    def bring(labels: np.ndarray | None = None, report: dict | None = None, **options: Any) -> Any:
        folder = tmp_path / str(next(numbers))
        job = writeJob(folder / "job", {"t1c": volume}).parent
        made = tumor() if labels is None else labels
        result = write_result(folder, made, job / "t1c.nrrd", report or report_of(["t1c"]))
        return importResult(scene, result, {"t1c": volume}, **options)

    def export(segmentation: Any) -> highdicom.seg.Segmentation:
        assert is_offered_for_export(segmentation, series)
        return highdicom.seg.segread(export_segmentation(segmentation, series, tmp_path / str(next(numbers))))

    return Examination(scene, series, volume, bring, export)


@pytest.mark.parametrize("division", SEGMENTS)
def test_segments_are_coded(examination, division):
    seg = examination.export(examination.bring(division=division).segmentation)
    assert seg.SegmentationType == "BINARY"
    assert len(seg.SegmentSequence) == len(SEGMENTS[division])
    for number, (label, kind, _labels, color) in enumerate(SEGMENTS[division], start=1):
        described = seg.get_segment_description(number)
        assert described.segment_label == label
        assert described.segmented_property_category == CATEGORY
        assert described.segmented_property_category.meaning == CATEGORY.meaning
        assert described.segmented_property_type == kind
        assert described.segmented_property_type.meaning == kind.meaning
        assert described.anatomic_regions == [REGION]
        assert "SegmentedPropertyTypeModifierCodeSequence" not in described.SegmentedPropertyTypeCodeSequence[0]
        assert described.algorithm_type.value == "AUTOMATIC"
        assert described.SegmentAlgorithmName == "LCKD small"
        shown = highdicom.color.CIELabColor(*_cielab(described.RecommendedDisplayCIELabValue)).to_rgb()
        assert np.abs(np.subtract(shown, color)).max() <= 1


@pytest.mark.parametrize("division", SEGMENTS)
@pytest.mark.parametrize("moved", [False, True])
def test_voxels_lie_where_they_lie_in_the_volume(examination, division, moved):
    """Regions are nested: the same voxel is in several segments. A transform in the scene does not change DICOM."""
    if moved:
        examination.volume.SetAndObserveTransformNodeID(add_transform(examination.scene).GetID())
    seg = examination.export(examination.bring(division=division).segmentation)
    found = _on_the_grid(seg, examination.volume)
    for number, (label, _kind, labels, _color) in enumerate(SEGMENTS[division], start=1):
        np.testing.assert_array_equal(found[number], np.isin(tumor(), labels), label)


def test_segmentation_refers_to_its_images(examination):
    seg = examination.export(examination.bring().segmentation)
    series = examination.series
    assert (seg.StudyInstanceUID, seg.FrameOfReferenceUID) == (series.study.uid, series.study.frame_of_reference)
    assert (seg.PatientID, str(seg.PatientName)) == (PATIENT_ID, PATIENT_NAME)
    assert (seg.Modality, seg.SeriesDescription, seg.BodyPartExamined) == ("SEG", "Brain tumor from T1c", "BRAIN")
    with_tumor = {uid for uid, labels in zip(series.files, tumor(), strict=True) if labels.any()}
    (referenced,) = seg.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == series.uid
    assert {one.ReferencedSOPInstanceUID for one in referenced.ReferencedInstanceSequence} == with_tumor
    uids = list(series.files)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        (source,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert source.ReferencedSOPInstanceUID == uids[_index_of(frame, examination.volume)[2]]


def test_result_is_offered_where_the_volumes_lie_in_a_folder_of_the_study(examination):
    tree = tree_of(examination.scene)
    item = tree.GetItemByDataNode(examination.volume)
    folder = tree.CreateFolderItem(tree.GetItemParent(item), "sequences")
    tree.SetItemParent(item, folder)
    segmentation = examination.bring().segmentation
    assert tree.GetItemParent(item) == folder
    assert is_offered_for_export(segmentation, examination.series)


def test_empty_segment_is_left_out(examination):
    labels = np.where(tumor() == 3, 1, tumor()).astype(np.uint8)
    segmentation = examination.bring(labels).segmentation
    assert empty_segments(segmentation) == ["ET"]
    seg = examination.export(segmentation)
    assert [one.SegmentLabel for one in seg.SegmentSequence] == [label for label, *_rest in SEGMENTS["tissues"][1:]]
    found = _on_the_grid(seg, examination.volume)
    np.testing.assert_array_equal(found[1], labels == 1)


def test_names_stay_those_of_dicom_in_every_language(examination, monkeypatch):
    """The exporter refuses a segment whose label is not ASCII, and writes a series description without a check."""
    from LCKDSegmentationLib import SceneImport, SegmentationNodes, Terminology

    for module in (SceneImport, SegmentationNodes, Terminology):
        monkeypatch.setattr(module, "_", lambda text: f"{text} 脑", raising=False)
    seg = examination.export(examination.bring().segmentation)
    assert [one.SegmentLabel for one in seg.SegmentSequence] == [label for label, *_rest in SEGMENTS["tissues"]]
    assert seg.SeriesDescription == "Brain tumor from T1c"


def test_longest_model_name_fits_into_dicom(examination):
    report = report_of(["t1c"])
    report["model"]["name"] = "m" * 64
    seg = examination.export(examination.bring(report=report).segmentation)
    assert {one.SegmentAlgorithmName for one in seg.SegmentSequence} == {"LCKD " + "m" * 59}


def test_names_are_kept_when_the_user_looks_for_another_code(examination):
    segmentation = examination.bring().segmentation.GetSegmentation()
    segments = [segmentation.GetNthSegment(index) for index in range(segmentation.GetNumberOfSegments())]
    assert not any(segment.GetNameAutoGenerated() for segment in segments)


def _cielab(stored: list[int]) -> tuple[float, float, float]:
    """L* 0 to 100, a* and b* -128 to 127, from the 16 bits that DICOM has for each."""
    lightness, a, b = (value / 65535 for value in stored)
    return lightness * 100, a * 255 - 128, b * 255 - 128


def _index_of(frame: Any, volume: Any) -> tuple[int, int, int]:
    """The voxel (i, j, k) of a volume in which the first pixel of a frame lies; it lies in its middle."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetRASToIJKMatrix(matrix)
    x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
    exact = (values_of(matrix) @ (-x, -y, z, 1))[:3]
    np.testing.assert_allclose(exact, np.round(exact), rtol=0, atol=1e-4)
    i, j, k = np.round(exact).astype(int)
    return int(i), int(j), int(k)


def _on_the_grid(seg: Any, volume: Any) -> dict[int, np.ndarray]:
    """The segments by number, as voxels (k, j, i) of a volume that has the same axes."""
    _check_axes(seg, volume)
    found = {one.SegmentNumber: np.zeros(SHAPE, bool) for one in seg.SegmentSequence}
    for frame, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        i, j, k = _index_of(frame, volume)
        assert (i, j) == (0, 0)
        found[frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber][k] = pixels > 0
    return found


def _check_axes(seg: Any, volume: Any) -> None:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    to_lps = np.diag([-1, -1, 1]) @ values_of(matrix)[:3, :3]
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    measures = shared.PixelMeasuresSequence[0]
    down, across = measures.PixelSpacing
    np.testing.assert_allclose(orientation[0] * across, to_lps[:, 0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(orientation[1] * down, to_lps[:, 1], rtol=0, atol=1e-6)
    assert measures.SpacingBetweenSlices == pytest.approx(np.linalg.norm(to_lps[:, 2]), abs=1e-6)
