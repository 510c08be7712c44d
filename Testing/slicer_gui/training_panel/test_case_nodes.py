"""Cases of the data in the scene: volumes with their label."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from phantoms import make_case, write_case
from training_parts import SEQUENCES, checked

from lckd.errors import InputError
from LCKDSegmentationLib.Terminology import segmentKind
from LCKDSegmentationLib.TumorSegments import divisionOf
from LCKDSegmentationLib.Views import tumorCenter
from LCKDTrainingLib.CaseNodes import readCase
from LCKDTrainingLib.LatestSegmentation import loadCase
from LCKDTrainingLib.TrainingPanel import TrainingPanel


def test_a_case_is_loaded_with_its_label_and_used_again(panel: TrainingPanel, scene: Any, cases: Path) -> None:
    panel.dataCases = {name: checked(name, cases / name) for name in "ab"}
    red = scene.GetNodeByID("vtkMRMLSliceNodeRed")
    before = [red.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
    case = loadCase(panel, "a")
    after = [red.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
    assert (after[:2], after[2]) == (before[:2], tumorCenter(case.label)[2]), "the image is cut off"
    assert case.volumes["t1c"].GetName() == "a T1c"
    assert divisionOf(case.label) == "tissues"
    assert case.label.GetDisplayNode().GetVisibility()
    assert slicer.app.applicationLogic().GetSelectionNode().GetActiveVolumeID() == case.grid.GetID()
    before = scene.GetNumberOfNodes()
    assert loadCase(panel, "a").label is case.label
    assert scene.GetNumberOfNodes() == before
    other = loadCase(panel, "b")
    assert not case.label.GetDisplayNode().GetVisibility(), "the label of one case lies over another"
    assert other.label.GetDisplayNode().GetVisibility()


def test_a_label_lies_where_its_file_says_in_any_convention(scene: Any, cases: Path, tmp_path: Path) -> None:
    made = make_case(0, direction=(0, -1, 0, 1, 0, 0, 0, 0, 1))
    folder = write_case(tmp_path / "turned", made)
    array = sitk.GetArrayFromImage(made.labels)
    old = sitk.GetImageFromArray(np.where(array == 3, 4, array).astype(np.float64))
    old.CopyInformation(made.labels)
    sitk.WriteImage(old, str(folder / "seg.nii.gz"))
    case = readCase(scene, checked("turned", folder, convention="brats2021"), ["flair"])
    assert list(case.volumes) == ["flair"]
    for segment, value in (("NCR", 1), ("ED", 2), ("ET", 3)):
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(case.label, segment, case.grid)
        assert np.array_equal(mask > 0, array == value)
    segment = case.label.GetSegmentation().GetSegment("ET")
    assert segment.GetColor() == pytest.approx(segmentKind("ET").color)
    value = vtk.mutable("")
    assert segment.GetTag("DICOM.SegmentAlgorithmType", value)
    assert value == "MANUAL"
    assert not segment.HasTag("DICOM.SegmentAlgorithmName")


def test_a_case_that_cannot_be_read_leaves_the_scene_as_it_was(scene: Any, cases: Path, tmp_path: Path) -> None:
    before = scene.GetNumberOfNodes()
    facts = checked("a", cases / "a")
    with pytest.raises(InputError, match=r"t2\.nii\.gz cannot be shown"):
        readCase(scene, {**facts, "files": {**facts["files"], "t2": str(tmp_path / "t2.nii.gz")}})
    with pytest.raises(InputError, match="several volumes in one"):
        readCase(scene, {**facts, "files": dict.fromkeys(SEQUENCES, "imagesTr/BRATS_001.nii.gz")})
    assert scene.GetNumberOfNodes() == before
