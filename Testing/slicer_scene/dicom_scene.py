"""DICOM in and out of the scene, as Slicer 5.12.3 does it in its desktop, whose Python layer slicer-core lacks.

In: DICOMScalarVolumePlugin and DICOMPlugin. Out: qSlicerSubjectHierarchyDICOMPlugin ("Export to DICOM...") and
DICOMSegmentationPlugin, which calls dcmqi.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib.metadata import files as files_of_package
from pathlib import Path
from typing import Any

import slicer
import vtk
from dicom_series import PATIENT_ID, STUDY_ID, Series


def load_series(scene: Any, series: Series) -> Any:
    """Read a series as a volume of the scene, with its UIDs, under its patient and study."""
    reader = slicer.vtkITKArchetypeImageSeriesScalarReader()
    paths = [str(path) for path in series.files.values()]
    reader.SetArchetype(paths[0])
    for path in paths:
        reader.AddFileName(path)
    reader.SetSingleFile(0)
    reader.SetOutputScalarTypeToNative()
    reader.SetDesiredCoordinateOrientationToNative()
    reader.SetUseNativeOriginOn()
    reader.SetDICOMImageIOApproachToGDCM()
    # In the node, the matrix alone has the geometry.
    bare = vtk.vtkImageChangeInformation()
    bare.SetInputConnection(reader.GetOutputPort())
    bare.SetOutputSpacing(1, 1, 1)
    bare.SetOutputOrigin(0, 0, 0)
    bare.Update()
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "5: T1 POST")
    volume.SetAndObserveImageData(bare.GetOutputDataObject(0))
    volume.SetRASToIJKMatrix(reader.GetRasToIjkMatrix())
    volume.CreateDefaultDisplayNodes()
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(series.files))
    _place(volume, series)
    return volume


def tree_of(scene: Any) -> Any:
    """The subject hierarchy."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def is_offered_for_export(segmentation: Any, database: Series) -> bool:
    """Whether Export to DICOM opens its dialog at once, without making up a patient, and offers SEG."""
    tree, names = tree_of(segmentation.GetScene()), slicer.vtkMRMLSubjectHierarchyConstants
    item = tree.GetItemByDataNode(segmentation)
    study = tree.GetItemParent(item)
    referenced = tree.GetItemAttribute(item, names.GetDICOMReferencedInstanceUIDsAttributeName()).split()
    return (
        tree.IsItemLevel(study, names.GetDICOMLevelStudy())
        and tree.IsItemLevel(tree.GetItemParent(study), names.GetDICOMLevelPatient())
        and all(uid in database.files for uid in referenced)
    )


def empty_segments(segmentation: Any) -> list[str]:
    """The IDs of the segments that the exporter asks whether to leave out: it looks at the whole label map of each."""
    segments = segmentation.GetSegmentation()
    return [one for one in _segment_ids(segmentation) if _is_empty(segments.GetSegment(one))]


def export_segmentation(segmentation: Any, database: Series, folder: Path) -> Path:
    """Write a segmentation as DICOM SEG with dcmqi; segments known to be empty are left out, as a user would confirm.

    :param database: holds the images of the volume that the segmentation refers to
    """
    volume = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
    ids = [one for one in _segment_ids(segmentation) if one not in empty_segments(segmentation)]
    images = folder / "images"
    images.mkdir(parents=True)
    for uid in volume.GetAttribute("DICOM.instanceUIDs").split():
        shutil.copy(database.files[uid], images)
    label_maps = [_write_label_map(segmentation, one, folder) for one in ids]
    metadata = folder / "seg_meta.json"
    metadata.write_text(json.dumps(_metadata(segmentation, ids)), encoding="utf-8")
    target = folder / "segmentation.dcm"
    _run_dcmqi(
        "itkimage2segimage",
        *("--inputDICOMDirectory", images, "--inputImageList", ",".join(map(str, label_maps))),
        *("--inputMetadata", metadata, "--outputDICOM", target),
    )
    return target


def _place(volume: Any, series: Series) -> None:
    tree, names = tree_of(volume.GetScene()), slicer.vtkMRMLSubjectHierarchyConstants
    item = tree.CreateItem(tree.GetSceneItemID(), volume)
    tree.SetItemUID(item, names.GetDICOMUIDName(), series.uid)
    tree.SetItemUID(item, names.GetDICOMInstanceUIDName(), " ".join(series.files))
    slicer.vtkSlicerSubjectHierarchyModuleLogic.InsertDicomSeriesInHierarchy(
        tree, PATIENT_ID, series.study.uid, series.uid
    )
    study = tree.GetItemByUID(names.GetDICOMUIDName(), series.study.uid)
    tree.SetItemAttribute(study, names.GetDICOMStudyIDAttributeName(), STUDY_ID)


def _segment_ids(segmentation: Any) -> list[str]:
    segments = segmentation.GetSegmentation()
    return [segments.GetNthSegmentID(index) for index in range(segments.GetNumberOfSegments())]


def _is_empty(segment: Any) -> bool:
    scalars = segment.GetRepresentation("Binary labelmap").GetPointData().GetArray("ImageScalars")
    return scalars is None or scalars.GetValueRange() == (0, 0)


def _write_label_map(segmentation: Any, segment_id: str, folder: Path) -> Path:
    ids, image = vtk.vtkStringArray(), slicer.vtkOrientedImageData()
    ids.InsertNextValue(segment_id)
    extent = slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
    assert segmentation.GenerateMergedLabelmapForAllSegments(image, extent, None, ids)
    scene = segmentation.GetScene()
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", f"{segment_id}_label")
    assert slicer.vtkSlicerSegmentationsModuleLogic.CreateLabelmapVolumeFromOrientedImageData(image, node)
    storage, path = node.CreateDefaultStorageNode(), folder / f"{segment_id}_label.nrrd"
    storage.SetFileName(str(path))
    assert storage.WriteData(node)
    scene.RemoveNode(node)
    return path


def _metadata(segmentation: Any, ids: list[str]) -> dict[str, Any]:
    """What the exporter hands to dcmqi, with the tags as the export dialog shows them before anybody edits them."""
    segments = segmentation.GetSegmentation()
    return {
        "SeriesDescription": segmentation.GetName(),
        "SeriesNumber": "100",
        "InstanceNumber": "1",
        "ContentCreatorName": "Slicer",
        "ClinicalTrialSeriesID": "1",
        "ClinicalTrialTimePointID": "1",
        "ClinicalTrialCoordinatingCenterName": "QIICR",
        "segmentAttributes": [[_segment_metadata(segments.GetSegment(one))] for one in ids],
    }


def _segment_metadata(segment: Any) -> dict[str, Any]:
    entry = slicer.vtkSlicerTerminologyEntry()
    serialized = _tag(segment, segment.GetTerminologyEntryTagName())
    assert slicer.vtkSlicerTerminologiesModuleLogic.DeserializeTerminologyEntry(serialized, entry)
    codes = {
        "SegmentedPropertyCategoryCodeSequence": entry.GetCategoryObject(),
        "SegmentedPropertyTypeCodeSequence": entry.GetTypeObject(),
        "SegmentedPropertyTypeModifierCodeSequence": entry.GetTypeModifierObject(),
        "AnatomicRegionSequence": entry.GetRegionObject(),
        "AnatomicRegionModifierSequence": entry.GetRegionModifierObject(),
    }
    return {
        "labelID": 1,
        "SegmentLabel": segment.GetName(),
        "SegmentDescription": entry.GetCategoryObject().GetCodeMeaning(),
        "SegmentAlgorithmType": _tag(segment, "DICOM.SegmentAlgorithmType"),
        "SegmentAlgorithmName": _tag(segment, "DICOM.SegmentAlgorithmName"),
        # Slicer leaves it to dcmqi to cut the decimals off.
        "recommendedDisplayRGBValue": [value * 255 for value in segment.GetColor()],
        **{name: _code(term) for name, term in codes.items() if None not in _code(term).values()},
    }


def _code(term: Any) -> dict[str, str | None]:
    return {
        "CodeValue": term.GetCodeValue(),
        "CodingSchemeDesignator": term.GetCodingSchemeDesignator(),
        "CodeMeaning": term.GetCodeMeaning(),
    }


def _tag(segment: Any, name: str) -> str:
    value = vtk.mutable("")
    assert segment.GetTag(name, value), name
    return str(value)


def _run_dcmqi(program: str, *arguments: object) -> None:
    """Run a program of dcmqi, which lie in its package instead of on the PATH."""
    start = f"dcmqi/bin/{program}"
    path = next(file.locate() for file in files_of_package("dcmqi") or [] if str(file).startswith(start))
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program} failed:\n{done.stderr}"
