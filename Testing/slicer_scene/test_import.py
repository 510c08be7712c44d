"""From the folder of a result to the scene: geometry, segments, place, replacing, deleting, saving."""

from __future__ import annotations

import json

import numpy as np
import pytest
from real_scene import items_below, node_ids
from scene_cases import SHAPE, add_transform, add_volume, oblique, report_of, segment_voxels, tumor, values_of

from lckd.errors import InputError

DIVISIONS = {
    "tissues": {"ET": (3,), "NCR": (1,), "ED": (2,)},
    "regions": {"ET": (3,), "TC": (1, 3), "WT": (1, 2, 3)},
}


def tree_of(scene):
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def segment_ids(node) -> list[str]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegmentID(index) for index in range(segmentation.GetNumberOfSegments())]


def tag(segment, name: str) -> str:
    import vtk

    value = vtk.mutable("")
    assert segment.GetTag(name, value), name
    return str(value)


@pytest.mark.parametrize("division", DIVISIONS)
@pytest.mark.parametrize("moved", [False, True])
def test_segments_lie_on_the_voxels_of_the_volume(run, division, moved):
    if moved:
        run.volume.SetAndObserveTransformNodeID(add_transform(run.scene).GetID())
    node = run.bring(division=division).segmentation
    assert segment_ids(node) == list(DIVISIONS[division])
    assert node.GetTransformNodeID() == run.volume.GetTransformNodeID()
    for segment_id, labels in DIVISIONS[division].items():
        found = segment_voxels(node, run.volume, segment_id)
        np.testing.assert_array_equal(found, np.isin(tumor(), labels), segment_id)


@pytest.mark.parametrize("left_handed", [False, True])
def test_geometry_is_that_of_the_volume_to_the_last_bit(scene, tmp_path, left_handed):
    import vtk
    from scene_cases import write_result

    from LCKDSegmentationLib.SceneExport import writeJob
    from LCKDSegmentationLib.SceneImport import importResult

    volume = add_volume(scene, matrix=oblique(left_handed))
    job = writeJob(tmp_path / "job", {"t1c": volume}).parent
    report = report_of(["t1c"])
    maps = {"uncertainty": np.random.default_rng(0).random(SHAPE, np.float32)}
    result = write_result(tmp_path, tumor(), job / "t1c.nrrd", report, maps)
    run = importResult(scene, result, {"t1c": volume})
    label_map = run.segmentation.GetBinaryLabelmapInternalRepresentation("ED")
    matrix = vtk.vtkMatrix4x4()
    label_map.GetImageToWorldMatrix(matrix)
    exact = values_of(matrix)
    np.testing.assert_allclose(exact, oblique(left_handed), rtol=0, atol=1e-14)
    map_matrix = vtk.vtkMatrix4x4()
    run.maps["uncertainty"].GetIJKToRASMatrix(map_matrix)
    own = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(own)
    np.testing.assert_array_equal(values_of(map_matrix), values_of(own))
    np.testing.assert_array_equal(segment_voxels(run.segmentation, volume, "ET"), tumor() == 3)


@pytest.mark.parametrize("division", DIVISIONS)
def test_segmentation_has_what_dicom_export_asks_for(run, division):
    """What DICOMSegmentationPlugin of Slicer 5.12.3 reads of a segmentation and its segments."""
    import slicer

    node = run.bring(division=division).segmentation
    reference = node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole())
    assert reference is run.volume
    for segment_id in segment_ids(node):
        segment = node.GetSegmentation().GetSegment(segment_id)
        entry = slicer.vtkSlicerTerminologyEntry()
        logic = slicer.vtkSlicerTerminologiesModuleLogic
        assert logic.DeserializeTerminologyEntry(tag(segment, segment.GetTerminologyEntryTagName()), entry)
        assert entry.GetCategoryObject().GetCodeMeaning()
        assert entry.GetTypeObject().GetCodeValue()
        assert tag(segment, "DICOM.SegmentAlgorithmType") == "AUTOMATIC"
        assert tag(segment, "DICOM.SegmentAlgorithmName") == "LCKD small"
        scalars = segment.GetRepresentation("Binary labelmap").GetPointData().GetArray("ImageScalars")
        assert scalars.GetValueRange() != (0, 0)
    assert len(node.GetName()) <= 64


def test_empty_segment_is_known_to_be_empty(run):
    """Slicer's exporter looks at the whole label map, which must not be that of a neighbor."""
    labels = np.where(tumor() == 3, 1, tumor()).astype(np.uint8)
    node = run.bring(labels).segmentation
    empty = node.GetSegmentation().GetSegment("ET").GetRepresentation("Binary labelmap")
    assert empty.GetPointData().GetArray("ImageScalars") is None
    assert (
        node.GetSegmentation()
        .GetSegment("ED")
        .GetRepresentation("Binary labelmap")
        .GetPointData()
        .GetArray("ImageScalars")
    )


def test_no_tumor_is_a_result(run):
    brought = run.bring(np.zeros(SHAPE, np.uint8))
    assert brought.isEmpty
    assert segment_ids(brought.segmentation) == ["ET", "NCR", "ED"]
    assert "No tumor was found." in brought.report.GetText()
    assert brought.segmentation.GetAttribute("LCKD.Empty") == "1"
    assert not run.bring().isEmpty


def test_result_says_how_it_was_made(run):
    brought = run.bring()
    attributes = {name: brought.segmentation.GetAttribute(f"LCKD.{name}") for name in ("Model", "Subset", "Imputed")}
    assert attributes == {"Model": "small", "Subset": "flair+t1c", "Imputed": "t1+t2"}
    assert brought.segmentation.GetAttribute("LCKD.ModelSHA256") == "ab" * 32
    assert "research use only" in brought.segmentation.GetAttribute("LCKD.Use")
    text = brought.report.GetText()
    for words in (
        "For research use only. Not for clinical use.",
        "Sequences: FLAIR, T1c",
        "Missing, imputed: T1, T2",
        "Warning: Without T1, T2",
        "Model: small (SHA-256 abab",
        "Whole tumor (WT): ",
        "Dice to expect from these sequences: ET 0.70",
    ):
        assert words in text, words
    assert brought.segmentation.GetName() == "Brain tumor from FLAIR, T1c"


def test_volumes_are_in_milliliters(run):
    table = run.bring().volumes
    voxel = 0.9 * 1.1 * 2.5 / 1000
    counts = {"ET": (3,), "TC": (1, 3), "WT": (1, 2, 3), "NCR": (1,), "ED": (2,)}
    assert [table.GetCellText(row, 0) for row in range(5)] == list(counts)
    for row, labels in enumerate(counts.values()):
        expected = np.isin(tumor(), labels).sum() * voxel
        assert float(table.GetCellText(row, 2)) == pytest.approx(expected, abs=6e-4)
    assert table.GetColumnUnitLabel("volume_ml") == "mL"


def test_probabilities_and_uncertainty_come_as_volumes(run):
    rng = np.random.default_rng(0)
    maps = {name: rng.random(SHAPE, np.float32) for name in ("probability-ET", "probability-WT", "uncertainty")}
    brought = run.bring(maps=maps)
    assert set(brought.maps) == set(maps)
    from vtk.util.numpy_support import vtk_to_numpy

    for name, volume in brought.maps.items():
        voxels = vtk_to_numpy(volume.GetImageData().GetPointData().GetScalars()).reshape(SHAPE)
        np.testing.assert_array_equal(voxels, maps[name])
        display = volume.GetDisplayNode()
        assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (0.0, 1.0)
        assert display.GetColorNode() is not None
    assert brought.maps["probability-ET"].GetName() == "Probability of ET from FLAIR, T1c"
    assert brought.maps["uncertainty"].GetName() == "Uncertainty from FLAIR, T1c"


def test_result_lies_directly_under_the_study_of_its_volume(run):
    """Slicer's export to DICOM asks for it."""
    tree = tree_of(run.scene)
    patient = tree.CreateSubjectItem(tree.GetSceneItemID(), "patient")
    study = tree.CreateStudyItem(patient, "study")
    volume_item = tree.CreateItem(study, run.volume)
    brought = run.bring()
    assert tree.GetItemParent(brought.item) == study == tree.GetItemParent(volume_item)
    assert tree.GetItemDataNode(brought.item) is brought.segmentation
    assert items_below(tree, brought.item) == [], "what lies there is taken for segments"
    for node in (brought.volumes, brought.report):
        assert tree.GetItemParent(tree.GetItemByDataNode(node)) == study


@pytest.mark.parametrize("as_in_desktop", [False, True])
def test_deleting_one_item_undoes_the_run(run, as_in_desktop):
    maps = {"uncertainty": np.zeros(SHAPE, np.float32)}
    run.bring()
    before = node_ids(run.scene)
    tree = tree_of(run.scene)
    items_before = items_below(tree, tree.GetSceneItemID())
    brought = run.bring(maps=maps)
    if as_in_desktop:
        # The desktop has an item for each segment, in a branch of the segmentation that it calls virtual.
        tree.SetItemAttribute(brought.item, "VirtualBranch", "1")
        for segment_id in segment_ids(brought.segmentation):
            tree.CreateHierarchyItem(brought.item, segment_id, "VirtualBranch")
    assert len(node_ids(run.scene)) > len(before) + 4
    tree.RemoveItem(brought.item)
    assert node_ids(run.scene) == before
    assert items_below(tree, tree.GetSceneItemID()) == items_before


def test_removing_the_node_alone_undoes_the_run_too(run):
    tree_of(run.scene)
    before = node_ids(run.scene)
    brought = run.bring(maps={"uncertainty": np.zeros(SHAPE, np.float32)})
    run.scene.RemoveNode(brought.segmentation)
    assert node_ids(run.scene) == before


def test_deleting_the_study_leaves_nothing_of_the_run(run):
    tree = tree_of(run.scene)
    study = tree.CreateStudyItem(tree.GetSceneItemID(), "study")
    for volume in run.inputs.values():
        tree.CreateItem(study, volume)
    brought = run.bring()
    tree.SetItemAttribute(brought.item, "VirtualBranch", "1")
    ids = {brought.segmentation.GetID(), brought.volumes.GetID(), brought.report.GetID(), run.volume.GetID()}
    tree.RemoveItem(study)
    assert not ids & node_ids(run.scene)


def test_adding_keeps_the_former_run(run):
    first, second = run.bring(), run.bring()
    assert first.segmentation is not second.segmentation
    assert first.segmentation.GetName() != second.segmentation.GetName()
    assert segment_ids(first.segmentation) == segment_ids(second.segmentation)


def test_replacing_keeps_the_node_and_leaves_nothing_of_the_former_run(run):
    from LCKDSegmentationLib.SegmentationNodes import setOpacity

    first = run.bring(maps={"uncertainty": np.zeros(SHAPE, np.float32)})
    setOpacity(first.segmentation, 0.7)
    nodes = node_ids(run.scene)
    labels = np.roll(tumor(), 2, axis=2)
    second = run.bring(labels, present=("t1c",), replaced=first.segmentation, division="regions")
    assert second.segmentation is first.segmentation
    assert second.item == first.item
    assert len(node_ids(run.scene)) == len(nodes) - 2  # the uncertainty and its display
    assert segment_ids(second.segmentation) == ["ET", "TC", "WT"]
    np.testing.assert_array_equal(segment_voxels(second.segmentation, run.volume, "WT"), labels > 0)
    assert second.segmentation.GetName() == "Brain tumor from T1c"
    assert second.segmentation.GetAttribute("LCKD.Subset") == "t1c"
    assert second.segmentation.GetDisplayNode().GetOpacity2DFill() == pytest.approx(0.7)
    assert (second.volumes, second.report) == (first.volumes, first.report)
    assert second.volumes.GetName() == "Tumor volumes from T1c"


def test_replacing_keeps_what_the_user_has_made_of_it(run):
    first = run.bring()
    node, tree = first.segmentation, tree_of(run.scene)
    folder = tree.CreateFolderItem(tree.GetSceneItemID(), "mine")
    tree.SetItemParent(first.item, folder)
    node.SetName("my own name")
    display = node.GetDisplayNode()
    display.SetSegmentVisibility("ED", False)
    display.SetSegmentOpacity2DFill("ET", 0.25)
    node.GetSegmentation().GetSegment("NCR").SetColor(0.1, 0.2, 0.3)
    run.bring(np.roll(tumor(), 2, axis=2), present=("t1c",), replaced=node)
    assert node.GetName() == "my own name"
    assert tree.GetItemParent(first.item) == folder
    assert not display.GetSegmentVisibility("ED")
    assert display.GetSegmentVisibility("ET")
    assert display.GetSegmentOpacity2DFill("ET") == pytest.approx(0.25)
    assert node.GetSegmentation().GetSegment("NCR").GetColor() == pytest.approx((0.1, 0.2, 0.3))


@pytest.mark.parametrize("division", DIVISIONS)
def test_saving_and_surfaces_are_no_change_but_an_edit_is(run, division, tmp_path):
    import slicer

    from LCKDSegmentationLib.SegmentationNodes import showSurface
    from LCKDSegmentationLib.TumorSegments import isUnchanged

    node = run.bring(np.where(tumor() == 1, 0, tumor()).astype(np.uint8), division=division).segmentation
    showSurface(node)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "s.seg.nrrd"))
    assert storage.WriteData(node)
    assert isUnchanged(node)
    read = run.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert storage.ReadData(read)
    read.SetAttribute("LCKD.Voxels", node.GetAttribute("LCKD.Voxels"))
    assert isUnchanged(read)
    read.GetSegmentation().RemoveSegment("ET")
    assert not isUnchanged(read)


def test_surface_is_made_when_asked_for_and_renewed_when_replaced(run):
    from LCKDSegmentationLib.SegmentationNodes import showSurface

    def points(segment_id: str) -> int:
        surface = node.GetClosedSurfaceInternalRepresentation(segment_id)
        return surface.GetNumberOfPoints() if surface else 0

    node = run.bring().segmentation
    assert not node.GetSegmentation().ContainsRepresentation("Closed surface")
    assert not node.GetDisplayNode().GetVisibility3D()
    showSurface(node)
    assert node.GetDisplayNode().GetVisibility3D()
    assert min(points(segment_id) for segment_id in ("ET", "NCR", "ED")) > 50
    display = node.GetDisplayNode()
    assert display.GetSegmentOpacity3D("ED") < 0.5 < display.GetSegmentOpacity3D("ET")
    run.bring(np.where(tumor() == 3, 1, tumor()).astype(np.uint8), replaced=node)
    assert points("ET") == 0 < points("NCR")
    showSurface(node, False)
    assert not node.GetDisplayNode().GetVisibility3D()


def test_saved_scene_brings_everything_back(run, tmp_path):
    """Written as a MRML scene with its files, read into an empty scene: IDs, segments, references, tree."""
    import slicer

    brought = run.bring(maps={"uncertainty": np.full(SHAPE, 0.5, np.float32)})
    scene = run.scene
    wanted = {
        "segmentation": brought.segmentation.GetID(),
        "table": brought.volumes.GetID(),
        "text": brought.report.GetID(),
        "map": brought.maps["uncertainty"].GetID(),
    }
    text = brought.report.GetText()
    bundle = tmp_path / "scene.mrb"
    assert scene.WriteToMRB(str(bundle))
    scene.Clear(0)
    scene.SetURL(str(bundle))
    assert scene.ReadFromMRB(str(bundle), True)
    slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(scene)
    nodes = {name: scene.GetNodeByID(node_id) for name, node_id in wanted.items()}
    assert all(nodes.values())
    segmentation = nodes["segmentation"]
    assert segment_ids(segmentation) == ["ET", "NCR", "ED"]
    volume = segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole())
    for segment_id, label in {"ET": 3, "NCR": 1, "ED": 2}.items():
        np.testing.assert_array_equal(segment_voxels(segmentation, volume, segment_id), tumor() == label)
        assert tag(segmentation.GetSegmentation().GetSegment(segment_id), "DICOM.SegmentAlgorithmType") == "AUTOMATIC"
    assert segmentation.GetAttribute("LCKD.Subset") == "flair+t1c"
    assert segmentation.GetNodeReference("LCKD.volumes") is nodes["table"]
    assert nodes["text"].GetText() == text
    assert float(nodes["table"].GetCellText(0, 2)) > 0
    tree = tree_of(scene)
    item = tree.GetItemByDataNode(segmentation)
    before = node_ids(scene)
    tree.RemoveItem(item)
    assert not set(wanted.values()) & node_ids(scene)
    assert len(before) > len(node_ids(scene))


def spoil_labels(folder):
    import SimpleITK as sitk

    path = str(folder / "segmentation.nrrd")
    image = sitk.ReadImage(path)
    sitk.WriteImage(image + 3, path)


def spoil_size(folder):
    import SimpleITK as sitk

    path = str(folder / "segmentation.nrrd")
    sitk.WriteImage(sitk.ReadImage(path)[1:], path)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda folder: (folder / "report.json").unlink(), "RESULT_UNREADABLE"),
        (lambda folder: (folder / "report.json").write_text("{"), "RESULT_UNREADABLE"),
        (lambda folder: (folder / "report.json").write_text("[]"), "RESULT_UNREADABLE"),
        (lambda folder: (folder / "segmentation.nrrd").unlink(), "RESULT_UNREADABLE"),
        (lambda folder: (folder / "segmentation.nrrd").write_bytes(b"NRRD0004\n"), "RESULT_UNREADABLE"),
        (spoil_labels, "RESULT_UNREADABLE"),
        (spoil_size, "RESULT_ELSEWHERE"),
        (
            lambda folder: (folder / "report.json").write_text(json.dumps(report_of(grid="t2"))),
            "RESULT_ELSEWHERE",
        ),
    ],
)
def test_damaged_result_leaves_the_scene_unchanged(run, tmp_path, spoil, code):
    from scene_cases import write_result

    from LCKDSegmentationLib.SceneImport import importResult

    folder = write_result(tmp_path / "bad", tumor(), run.job / "t1c.nrrd")
    spoil(folder)
    before = node_ids(run.scene)
    with pytest.raises(InputError) as refusal:
        importResult(run.scene, folder, run.inputs)
    assert refusal.value.code == code
    assert node_ids(run.scene) == before
