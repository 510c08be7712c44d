"""Comparing the subsets of a case: numbers, basis, tables and picture."""

from __future__ import annotations

import csv
import re
from dataclasses import replace

import matplotlib.figure
import numpy as np
import pytest
import SimpleITK as sitk
from made_results import make_segmentation
from PIL import Image

from lckd.comparison import COLUMNS, Comparison, SubsetRow, compare_results, importance, markdown, write_comparison
from lckd.engine import Result
from lckd.errors import InputError, OutputError, UsageError
from lckd.geometry import Grid
from lckd.heatmap import COLOR_MAP
from lckd.labels import REGIONS, LabelConvention, Region
from lckd.reference import read_reference
from lckd.sequences import SEQUENCES, Sequence, Subset, parse_subset, subset_name, subsets_of

GRID = Grid((24, 22, 20), (1.0, 1.0, 2.0), (-3.0, 5.0, 7.0))


def labels(edema: tuple[int, int] = (2, 16), core: tuple[int, int] = (4, 12), enhancing: tuple[int, int] = (6, 8)):
    """Nested blocks along z, 10 x 10 voxels in the plane: 2 ED, 1 NCR, 3 ET."""
    made = np.zeros(GRID.shape, dtype=np.uint8)
    for value, span in ((2, edema), (1, core), (3, enhancing)):
        made[slice(*span), 4:14, 4:14] = value
    return made


def result_of(subset: Subset, array: np.ndarray) -> Result:
    """A result of which the comparison sees the segmentation alone."""
    return Result(None, make_segmentation(array, GRID, subset), {})  # type: ignore[arg-type]


def results(subsets: list[Subset] | None = None) -> list[Result]:
    """The more sequences, the closer to `labels()`: the whole tumor begins one slice later for each missing one."""
    return [
        result_of(
            subset, labels(edema=(2 + 4 - len(subset), 16)) if len(subset) > 2 else labels((4, 16), (4, 4), (6, 6))
        )
        for subset in (subsets_of() if subsets is None else subsets)
    ]


def write_labels(path, array: np.ndarray, grid: Grid = GRID):
    sitk.WriteImage(grid.image(array), str(path))
    return path


def test_against_the_full_set():
    comparison = compare_results(results())
    assert comparison.basis == "the full set (FLAIR, T1, T1c, T2)"
    assert comparison.present == SEQUENCES
    assert comparison.subsets == subsets_of()
    assert [row.region for row in comparison.rows] == list(REGIONS) * 15
    full = comparison.of(SEQUENCES)
    assert all((row.dice, row.hd95_mm) == (1.0, 0.0) for row in full.values())
    assert {region: row.volume_ml for region, row in full.items()} == {
        Region.ET: pytest.approx(2 * 100 * 2 / 1000),
        Region.TC: pytest.approx(8 * 100 * 2 / 1000),
        Region.WT: pytest.approx(14 * 100 * 2 / 1000),
    }
    three = comparison.of(parse_subset("flair,t1,t2"))
    assert three[Region.WT].dice == pytest.approx(2 * 13 / (13 + 14))
    assert three[Region.WT].hd95_mm == pytest.approx(2.0)  # one slice of 2 mm
    one = comparison.of(parse_subset("t1"))
    assert (one[Region.ET].dice, one[Region.ET].hd95_mm, one[Region.ET].volume_ml) == (0.0, 373.13, 0.0)


def test_against_a_reference_in_another_convention_and_orientation(tmp_path):
    """The reference has BraTS 2021 numbers, flipped and permuted axes, and floating-point voxels."""
    truth = labels()
    truth[truth == 3] = 4
    image = sitk.PermuteAxes(sitk.Flip(sitk.Cast(GRID.image(truth), sitk.sitkFloat64), (True, False, True)), (2, 0, 1))
    path = tmp_path / "référence seg.nii.gz"
    sitk.WriteImage(image, str(path))
    comparison = compare_results(results(), read_reference(path, GRID, LabelConvention.BRATS2021))
    assert comparison.basis == "reference segmentation référence seg.nii.gz"
    assert all((row.dice, row.hd95_mm) == (1.0, 0.0) for row in comparison.of(SEQUENCES).values())


def test_reference_on_a_finer_grid_is_moved_in_space(tmp_path):
    fine = Grid((24, 22, 40), (1.0, 1.0, 1.0), (-3.0, 5.0, 6.5))
    path = write_labels(tmp_path / "seg.nrrd", np.repeat(labels(), 2, axis=0), fine)
    full = compare_results(results(), read_reference(path, GRID)).of(SEQUENCES)
    assert [row.dice for row in full.values()] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("origin", "array", "convention", "code"),
    [
        ((200.0, 5.0, 7.0), labels(), None, "REFERENCE_ELSEWHERE"),
        ((200.0, 5.0, 7.0), np.zeros(GRID.shape, np.uint8), None, "REFERENCE_ELSEWHERE"),
        (GRID.origin, np.where(labels() == 3, 4, labels()).astype(np.uint8), None, "LABELS_AMBIGUOUS"),
        (GRID.origin, labels(), LabelConvention.BRATS2021, "LABELS_UNKNOWN"),
        (GRID.origin, labels().astype(np.float32) / 2, None, "NOT_LABELS"),
        (GRID.origin, np.full(GRID.shape, np.nan, np.float32), None, "NOT_FINITE"),
        (GRID.origin, labels().astype(np.float32) * 1e12, None, "NOT_LABELS"),
    ],
)
def test_wrong_references_are_refused(tmp_path, origin, array, convention, code):
    path = write_labels(tmp_path / "seg.nii.gz", array, Grid(GRID.size, GRID.spacing, origin))
    with pytest.raises(InputError) as caught:
        read_reference(path, GRID, convention)
    assert caught.value.code == code


def test_a_reference_without_tumor_is_compared_with(tmp_path):
    path = write_labels(tmp_path / "seg.nii.gz", np.zeros(GRID.shape, np.uint8))
    rows = compare_results(results(), read_reference(path, GRID)).of(parse_subset("t1"))
    assert (rows[Region.ET].dice, rows[Region.ET].hd95_mm) == (1.0, 0.0)  # both empty
    assert (rows[Region.WT].dice, rows[Region.WT].hd95_mm) == (0.0, 373.13)


def test_nothing_to_compare():
    with pytest.raises(UsageError):
        compare_results([])


def made_comparison(present: Subset = SEQUENCES) -> Comparison:
    """Dice 0.2 a sequence for WT, one half of it for TC, and 0.9 for ET with T1c alone."""
    rows = []
    for subset in subsets_of(present):
        values = {Region.ET: 0.9 * (Sequence.T1C in subset), Region.TC: 0.1 * len(subset), Region.WT: 0.2 * len(subset)}
        rows += [SubsetRow(subset, region, 10.0 * len(subset), value, 12.345) for region, value in values.items()]
    return Comparison(rows, "reference segmentation $a$_1.nii.gz", present)


def test_importance_is_the_loss_of_dice():
    losses = importance(made_comparison())
    assert list(losses) == list(SEQUENCES)
    for sequence, loss in losses.items():
        assert loss[Region.ET] == pytest.approx(0.9 if sequence is Sequence.T1C else 0.0)
        assert loss[Region.WT] == pytest.approx(0.2)
    assert importance(made_comparison((Sequence.T2,))) == {}
    some = compare_results(results([parse_subset("t1,t2"), SEQUENCES[:3], SEQUENCES]))
    assert list(importance(some)) == [Sequence.T2]


def test_table_for_machines(tmp_path):
    comparison = made_comparison()
    table, *_ = write_comparison(comparison, tmp_path / "new folder")
    assert table == tmp_path / "new folder" / "subsets.csv"
    with table.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        rows = list(reader)
    assert tuple(reader.fieldnames or ()) == COLUMNS == ("subset", "region", "volume_ml", "dice", "hd95_mm")
    assert [row["subset"] for row in rows[::3]] == [subset_name(subset) for subset in subsets_of()]
    assert rows[0]["subset"] == "flair"
    assert rows[-1]["subset"] == "flair+t1+t1c+t2"
    for read, row in zip(rows, comparison.rows, strict=True):
        assert read["region"] == row.region.value
        measured = [float(read[name]) for name in ("volume_ml", "dice", "hd95_mm")]
        assert measured == pytest.approx([row.volume_ml, row.dice, row.hd95_mm], abs=0.0051)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_table_for_people(tmp_path):
    _, text, _ = write_comparison(made_comparison(), tmp_path)
    document = text.read_text(encoding="utf-8")
    lines = document.splitlines()
    assert "Compared with reference segmentation $a$_1.nii.gz" in document
    assert "Not for clinical use" in document
    header = next(number for number, line in enumerate(lines) if line.startswith("| FLAIR"))
    assert cells(lines[header])[:5] == ["FLAIR", "T1", "T1c", "T2", "ET mL"]
    body = [cells(line) for line in lines[header + 2 : header + 17]]
    assert [[cell == "✓" for cell in row[:4]] for row in body] == [
        [sequence in subset for sequence in SEQUENCES] for subset in subsets_of()
    ]
    assert body[-1][4:] == ["40.0"] * 3 + ["0.900", "0.400", "0.800"] + ["12.3"] * 3
    mean = cells(lines[header + 17])
    assert mean[0] == "**Mean**"
    # 8 of the 15 subsets have T1c; a subset has 32 / 15 sequences on average.
    assert [float(value) for value in mean[7:10]] == pytest.approx([0.9 * 8 / 15, 3.2 / 15, 6.4 / 15], abs=6e-4)
    assert re.search(r"^\| T1c \| -0\.900 \| -0\.100 \| -0\.200 \|$", document, re.MULTILINE)


def test_one_sequence_alone_has_no_importance():
    document = markdown(made_comparison((Sequence.T2,)))
    assert "taken away" not in document
    assert "| ✓ |" in document


@pytest.mark.parametrize("present", [SEQUENCES, (Sequence.FLAIR,)])
def test_picture(tmp_path, present):
    *_, path = write_comparison(made_comparison(present), tmp_path)
    with Image.open(path) as picture:
        assert 600 < picture.width < 1600
        assert picture.height > (700 if len(present) == 4 else 250)
        colors = {color for _, color in picture.convert("RGB").getcolors(1 << 20) or []}
    shown = {row.dice for row in made_comparison(present).rows}
    assert {tuple(matplotlib.colormaps[COLOR_MAP](dice, bytes=True)[:3]) for dice in shown} <= colors


def test_the_picture_does_not_name_the_file_of_the_reference(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(matplotlib.figure.Figure, "text", lambda self, x, y, text, **_: said.append(text))
    for basis in ("reference segmentation MUELLER^ANNA.nii.gz", "the full set (flair+t2)"):
        write_comparison(replace(made_comparison(), basis=basis), tmp_path)
        assert "MUELLER^ANNA" in (tmp_path / "subsets.md").read_text() or "full" in basis
    assert not any("MUELLER" in text for text in said)
    assert "Compared with a reference segmentation" in said
    assert "Compared with the full set (flair+t2)" in said


def test_picture_leaves_no_state_behind(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from lckd.comparison import *; from lckd.labels import REGIONS;"
        "from lckd.sequences import SEQUENCES; assert 'matplotlib' not in sys.modules;"
        "rows = [SubsetRow(SEQUENCES, region, 1.0, 0.5, 2.0) for region in REGIONS];"
        "write_comparison(Comparison(rows, 'x', SEQUENCES), Path(sys.argv[1]));"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules"
    )
    path = ";".join(f"sys.path.insert(0, {entry!r})" for entry in reversed(sys.path))
    subprocess.run([sys.executable, "-c", f"import sys;{path};{code}", str(tmp_path)], check=True)
    assert (tmp_path / "subsets.png").exists()


def test_beside_a_segmentation_with_a_name_of_its_own(tmp_path):
    written = write_comparison(made_comparison((Sequence.T2,)), tmp_path / "result.nii.gz")
    assert [path.name for path in written] == ["result.subsets.csv", "result.subsets.md", "result.subsets.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in written)


def test_unwritable_output(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        write_comparison(made_comparison((Sequence.T2,)), tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
