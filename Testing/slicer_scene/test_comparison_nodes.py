"""Comparison of subsets in the scene: table, charts, difference."""

from __future__ import annotations

import numpy as np
import pytest
from real_scene import items_below, node_ids
from scene_cases import report_of, segment_voxels, tumor, write_result

from lckd.errors import UsageError

DICE = {"flair": 0.5, "t1c": 0.6, "flair+t1c": 0.9}


def rows():
    from LCKDSegmentationLib.ComparisonNodes import rowOf

    values = [
        {"subset": subset, "region": region, "volume_ml": 10 + number, "dice": dice - 0.1 * number, "hd95_mm": 3.5}
        for subset, dice in DICE.items()
        for number, region in enumerate(("ET", "TC", "WT"))
    ]
    return [rowOf(value) for value in values]


def column(table, name: str) -> list[str]:
    index = table.GetColumnIndex(name)
    return [table.GetCellText(row, index) for row in range(table.GetNumberOfRows())]


def test_table_has_the_rows_and_columns_of_subsets_csv(scene):
    from lckd.comparison import COLUMNS as CSV_COLUMNS
    from LCKDSegmentationLib.ComparisonNodes import COLUMNS, addRowsTable

    table = addRowsTable(scene, rows())
    assert COLUMNS == CSV_COLUMNS
    assert [table.GetColumnName(index) for index in range(table.GetNumberOfColumns())] == list(COLUMNS)
    assert column(table, "subset")[::3] == list(DICE)
    assert column(table, "region")[:3] == ["ET", "TC", "WT"]
    np.testing.assert_allclose([float(text) for text in column(table, "dice")[:3]], [0.5, 0.4, 0.3])
    assert table.GetColumnTitle("hd95_mm") == "HD95 (mm)"


def test_charts_show_dice_and_importance(scene):
    from LCKDSegmentationLib.ComparisonNodes import addComparison

    nodes = addComparison(scene, rows(), "the full set")
    series = nodes.dice.series[2]
    assert nodes.dice.chart.GetNumberOfPlotSeriesNodes() == 3
    assert series.GetTableNode() is nodes.dice.table
    assert (series.GetLabelColumnName(), series.GetYColumnName()) == ("label", "WT")
    assert series.GetPlotType() == series.PlotTypeBar
    assert column(nodes.dice.table, "label") == ["FLAIR", "T1c", "FLAIR, T1c"]
    np.testing.assert_allclose([float(text) for text in column(nodes.dice.table, "WT")], [0.3, 0.4, 0.7])
    assert [one.GetName() for one in nodes.dice.series] == ["ET", "TC", "WT"]
    assert column(nodes.dice.table, "tick") == ["F", "T1c", "F+T1c"]
    assert not nodes.dice.chart.GetXAxisRangeAuto()
    np.testing.assert_allclose(nodes.dice.chart.GetXAxisRange(), (-0.6, 2.6))
    assert nodes.dice.chart.GetYAxisTitle() == "Dice to the full set"
    assert column(nodes.importance.table, "label") == ["without FLAIR", "without T1c"]
    np.testing.assert_allclose([float(text) for text in column(nodes.importance.table, "ET")], [0.3, 0.4])


def test_importance_is_the_engines(application):
    from lckd.comparison import Comparison, SubsetRow
    from lckd.comparison import importance as engines
    from lckd.labels import Region
    from lckd.sequences import parse_subset
    from LCKDSegmentationLib.ComparisonNodes import importance

    converted = [
        SubsetRow(parse_subset(row.subset), Region(row.region), row.volume_ml, row.dice, row.hd95_mm) for row in rows()
    ]
    expected = engines(Comparison(converted, "", parse_subset("flair,t1c")))
    assert importance(rows()) == {
        sequence.value: {region.value: loss for region, loss in losses.items()} for sequence, losses in expected.items()
    }


def test_one_subset_has_no_importance(scene):
    from LCKDSegmentationLib.ComparisonNodes import addComparison

    assert addComparison(scene, rows()[:3], "the full set").importance is None
    with pytest.raises(UsageError, match="No subset"):
        addComparison(scene, [], "the full set")


def test_deleting_the_folder_removes_the_comparison(scene):
    import slicer

    from LCKDSegmentationLib.ComparisonNodes import addComparison

    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    before = node_ids(scene)
    nodes = addComparison(scene, rows(), "the full set")
    assert len(items_below(tree, nodes.item)) == 11
    tree.RemoveItem(nodes.item)
    assert node_ids(scene) == before


def test_no_two_things_in_the_tree_have_one_name_but_the_series(scene):
    import slicer

    from LCKDSegmentationLib.ComparisonNodes import addComparison

    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    nodes = addComparison(scene, rows(), "the full set")
    assert nodes.dice.chart.GetName() == "Dice by subset"
    assert nodes.dice.table.GetName() == "Dice by subset (values)"
    assert tree.GetItemName(nodes.item) == "Comparison of subsets"
    assert nodes.table.GetName() == "Comparison of subsets (table)"
    names = [name for name in items_below(tree, nodes.item) if name not in ("ET", "TC", "WT")]
    assert len(set(names)) == 5


def test_difference_of_two_subsets(run, tmp_path):
    from LCKDSegmentationLib.ComparisonNodes import addDifference

    first, second = tumor(), np.roll(tumor(), 3, axis=1)
    files = tuple(
        write_result(tmp_path / name, labels, run.job / "t1c.nrrd", report_of([name])) / "segmentation.nrrd"
        for name, labels in (("flair", first), ("t1c", second))
    )
    node = addDifference(run.scene, run.volume, files, ("flair", "t1c"), "TC")
    a, b = (np.isin(labels, (1, 3)) for labels in (first, second))
    for segment_id, expected in {"onlyA": a & ~b, "onlyB": b & ~a, "both": a & b}.items():
        assert expected.any()
        np.testing.assert_array_equal(segment_voxels(node, run.volume, segment_id), expected)
    assert node.GetName() == "TC: FLAIR against T1c"
    names = [node.GetSegmentation().GetSegment(one).GetName() for one in ("onlyA", "onlyB", "both")]
    assert names == ["only FLAIR", "only T1c", "both"]
