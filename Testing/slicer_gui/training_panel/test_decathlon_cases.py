"""Cases whose four sequences are the volumes of one 4-D file, as in the Medical Segmentation Decathlon."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
import vtk
from made_data import write_decathlon
from phantoms import MadeCase, make_case
from training_parts import SEQUENCES

from lckd.errors import InputError
from lckd.sequences import Sequence
from LCKDTrainingLib.CaseNodes import CaseNodes, readCase
from LCKDTrainingLib.Widget import TrainingWidget


@pytest.fixture(scope="module")
def made() -> MadeCase:
    """A case whose voxels are no cubes and lie askew to the axes of the scanner."""
    return make_case(0, spacing=(1.0, 1.2, 2.0), direction=(0, -1, 0, 1, 0, 0, 0, 0, 1))


@pytest.fixture
def file(made: MadeCase, tmp_path: Path) -> Path:
    return write_decathlon(tmp_path / "Task01_BrainTumour", "BRATS_001", made)


@pytest.fixture
def facts(file: Path, command: Callable[..., Any]) -> dict[str, Any]:
    """What the real check of the data says of the case."""
    (one,) = command("data", "check", file.parents[1], "--json").events[-1]["checks"]
    return one


def assert_holds(case: CaseNodes, made: MadeCase) -> None:
    """Each volume of the case is the one of its sequence, where it belongs; and so is the label."""
    for sequence, volume in case.volumes.items():
        image = made.images[Sequence(sequence)]
        assert np.array_equal(slicer.util.arrayFromVolume(volume), sitk.GetArrayFromImage(image))
        assert volume.GetName() == f"BRATS_001 {Sequence(sequence).title}"
        matrix = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(matrix)
        for index in ((0, 0, 0), (7, 0, 0), (0, 7, 0), (0, 0, 7)):
            x, y, z = image.TransformIndexToPhysicalPoint(index)
            assert matrix.MultiplyPoint((*index, 1))[:3] == pytest.approx((-x, -y, z), abs=1e-4)
    enhancing = slicer.util.arrayFromSegmentBinaryLabelmap(case.label, "ET", case.grid)
    assert np.array_equal(enhancing > 0, sitk.GetArrayFromImage(made.labels) == 3)


def test_every_sequence_is_its_volume_of_the_file(scene: Any, made: MadeCase, facts: dict[str, Any]) -> None:
    case = readCase(scene, facts)
    assert tuple(case.volumes) == SEQUENCES
    assert_holds(case, made)


def test_single_sequences_are_read_and_used_again(scene: Any, made: MadeCase, facts: dict[str, Any]) -> None:
    first = readCase(scene, facts, ["t2", "flair"])
    assert list(first.volumes) == ["t2", "flair"]
    count = scene.GetNumberOfNodes()
    assert readCase(scene, facts, ["flair"]).volumes["flair"] is first.volumes["flair"]
    assert scene.GetNumberOfNodes() == count
    every = readCase(scene, facts)
    assert every.label is first.label
    assert every.volumes["t2"] is first.volumes["t2"]
    assert_holds(every, made)


def test_the_file_as_slicer_opens_it_is_not_taken_for_a_sequence(
    scene: Any, made: MadeCase, facts: dict[str, Any], file: Path
) -> None:
    logic = slicer.modules.volumes.logic()
    opened = logic.AddArchetypeVolume(str(file), "opened by the user", logic.SingleFile)
    case = readCase(scene, facts)
    assert opened not in case.volumes.values()
    assert_holds(case, made)


def test_the_file_is_read_once(scene: Any, facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    execute, read = sitk.ImageFileReader.Execute, []

    def count(reader: sitk.ImageFileReader) -> sitk.Image:
        read.append(Path(reader.GetFileName()).parent.name)
        return execute(reader)

    monkeypatch.setattr(sitk.ImageFileReader, "Execute", count)
    readCase(scene, facts)
    assert read == ["imagesTr", "labelsTr"]


def test_it_is_shown_by_a_double_click(
    widget: TrainingWidget, check: Callable[..., None], scene: Any, facts: dict[str, Any]
) -> None:
    check(facts)
    widget.ui.dataTable.selectRow(0)
    widget.ui.dataTable.cellDoubleClicked.emit(0, 1)
    assert "1 to learn from" in widget.ui.dataMessageLabel.text, "a refusal is shown"
    active = slicer.app.applicationLogic().GetSelectionNode().GetActiveVolumeID()
    assert scene.GetNodeByID(active).GetName() == "BRATS_001 T1c"
    low, high = scene.GetNodeByID(active).GetImageData().GetScalarRange()
    display = scene.GetNodeByID(active).GetDisplayNode()
    assert low <= display.GetWindowLevelMin() < display.GetWindowLevelMax() <= high
    assert display.GetColorNodeID() == "vtkMRMLColorTableNodeGrey"


def test_a_case_of_both_kinds_of_files(scene: Any, made: MadeCase, facts: dict[str, Any], tmp_path: Path) -> None:
    sitk.WriteImage(made.images[Sequence.T1], str(tmp_path / "t1.nii.gz"))
    files = {**facts["files"], "t1": str(tmp_path / "t1.nii.gz")}
    case = readCase(scene, {**facts, "files": files, "components": {**facts["components"], "t1": None}})
    assert_holds(case, made)
    assert case.volumes["t1"].GetStorageNode().GetFileName() == files["t1"]


def test_a_file_that_was_damaged_since_the_check_leaves_the_scene_as_it_was(
    scene: Any, widget: TrainingWidget, check: Callable[..., None], facts: dict[str, Any], file: Path
) -> None:
    check(facts)
    file.write_bytes(file.read_bytes()[:-1000])
    before = scene.GetNumberOfNodes()
    widget.ui.dataTable.selectRow(0)
    widget.ui.dataTable.cellDoubleClicked.emit(0, 1)
    assert "BRATS_\u200b001.nii.gz is damaged or cut short." in widget.ui.dataMessageLabel.text
    (Path(facts["labels"])).unlink()
    with pytest.raises(InputError, match="is damaged or cut short"):
        readCase(scene, facts)
    assert scene.GetNumberOfNodes() == before


def test_a_lost_label_takes_the_volumes_away_again(scene: Any, facts: dict[str, Any]) -> None:
    before = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match=r"lost\.nii\.gz does not exist"):
        readCase(scene, {**facts, "labels": str(Path(facts["labels"]).with_name("lost.nii.gz"))})
    assert scene.GetNumberOfNodes() == before
