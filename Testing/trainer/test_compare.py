"""Evaluations side by side: the paper's tables and p-values from its own numbers, tests over cases, files, refusals."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from lckd.errors import InputError, UsageError
from lckd.labels import REGIONS, Region
from lckd.metrics import EMPTY_HD95_MM
from lckd.sequences import SEQUENCES, Sequence, parse_subset, subset_name, subsets_of
from lckd_training.evaluation.compare import advantages, alpha_points, read_evaluations, write_evaluations
from lckd_training.evaluation.curve import draw_alpha_curve
from lckd_training.evaluation.evaluate import mean_of_subsets, write_scores
from lckd_training.evaluation.lesionwise import LesionScores
from lckd_training.evaluation.scores import Score
from lckd_training.evaluation.significance import advantage, bootstrap, paired_t_test, wilcoxon
from lckd_training.evaluation.tables import Row, Table, best_of, latex, markdown

HERE = Path(__file__).parent
#: Table 1 of the paper: ET, TC, WT of U-HeMIS, U-HVED, Robust-MSeg and mmFormer against LCKD.
PAPER_P = {
    "U-HeMIS": ("5.3e-06", "3.7e-05", "1.1e-04"),
    "U-HVED": ("3.8e-07", "4.1e-07", "1.2e-03"),
    "Robust-MSeg": ("8.6e-07", "7.2e-06", "1.1e-05"),
    "mmFormer": ("2.8e-05", "5.3e-07", "5.1e-07"),
}


def published(root: Path, table: str, column: str, order: Iterable[str]) -> list[Path]:
    """A folder with a ``summary.csv`` for each method of a published table, which is in percent."""
    with (HERE / table).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    folders = [root / name for name in order]
    for folder in folders:
        folder.mkdir(parents=True)
        mine = [row for row in rows if row[column] == folder.name]
        lines = [f"{row['available']},{row['region']},{float(row['dice']) / 100}" for row in mine]
        (folder / "summary.csv").write_text("\n".join(["subset,region,dice", *lines]) + "\n", encoding="utf-8")
    return folders


def evaluated(folder: Path, gain: float = 0.0, cases: int = 6, alpha: float | None = None, **settings: object) -> Path:
    """An evaluation as `lckd evaluate` writes it, of made Dice; the last case has FLAIR and T1 alone."""
    rng = np.random.default_rng(5)
    scores = []
    for number in range(cases):
        has = SEQUENCES if number < cases - 1 else (Sequence.FLAIR, Sequence.T1)
        for subset in subsets_of(has):
            for region in REGIONS:
                dice = 0.5 + 0.08 * len(subset) + rng.uniform(-0.1, 0.1) + gain * (number + 1)
                scores.append(Score(f"case-{number}", subset, region, dice, 3.0, 0.7))
    write_scores(scores, folder)
    training = {} if alpha is None else {"alpha": alpha, "seed": 1, **settings}
    (folder / "evaluation.json").write_text(json.dumps({"training": training}), encoding="utf-8")
    return folder


def test_the_papers_first_table_and_its_p_values(tmp_path: Path) -> None:
    folders = published(tmp_path, "paper_table1_brats2018.csv", "method", ["LCKD", *PAPER_P])
    table = write_evaluations(read_evaluations(folders), tmp_path / "out")
    average, p_values = table.foot
    assert average.cells[::5] == ("63.46", "78.96", "86.70")
    assert {0, 5, 10} <= average.bold
    assert len(table.foot) == 2, "no test over cases where there are none"
    for column, printed in enumerate(PAPER_P.values(), start=1):
        # The paper's p were computed from means with more digits than it prints.
        assert list(map(float, p_values.cells[column::5])) == pytest.approx(list(map(float, printed)), rel=0.02)
    assert [row.head for row in table.rows] == subsets_of()
    full = (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8").splitlines()
    assert "| FLAIR | T1 | T1c | T2 | ET LCKD | ET U-HeMIS |" in "\n".join(full)
    assert "|  |  | ✓ |  | **75.65** | 62.02 | 57.64 | 67.07 | 72.60 | **83.02** |" in "\n".join(full)
    with (tmp_path / "out" / "comparison.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 15 * 3 * 5
    assert {"subset": "t1+t2", "method": "U-HVED", "region": "TC", "dice": "0.5626"} in rows


def test_the_papers_table_of_one_and_several_teachers(tmp_path: Path) -> None:
    folders = published(tmp_path, "paper_table2_teachers.csv", "variant", ["LCKD-m", "LCKD-s"])
    table = write_evaluations(read_evaluations(folders), tmp_path / "out")
    assert table.groups[0] == ("ET", ("LCKD-m", "LCKD-s"))
    assert table.foot[0].cells[::2] == ("63.46", "78.96", "86.70")
    t1c = next(row for row in table.rows if row.head == (Sequence.T1C,))
    assert t1c == Row((Sequence.T1C,), ("75.65", "74.26", "83.02", "81.93", "77.23", "77.14"), frozenset({0, 2, 4}))
    tied = next(row for row in table.rows if row.head == parse_subset("flair+t1+t1c"))
    assert {4, 5} <= tied.bold, "both 90.50"


def test_tests_over_cases_pair_the_cases(tmp_path: Path) -> None:
    better, worse = evaluated(tmp_path / "better", gain=0.01), evaluated(tmp_path / "worse")
    found = advantages(read_evaluations([better, worse]))["worse", Region.TC]
    back = advantages(read_evaluations([worse, better]))["better", Region.TC]
    assert found.cases == 6
    assert found.wilcoxon_p == pytest.approx(1 / 2**6), "all six differences are positive"
    assert back.wilcoxon_p == pytest.approx(1.0)
    assert found.interval is not None
    low, high = found.interval
    assert 0.01 < low < found.difference < high < 0.06
    assert back.interval == pytest.approx((-high, -low))


def test_the_bootstrap_draws_cases_and_is_seeded() -> None:
    cases = np.random.default_rng(0).normal(0.02, 0.05, (40, 1)) + np.zeros((1, 15))
    interval = bootstrap(cases, seed=3)
    assert interval == bootstrap(cases, seed=3)
    assert interval != bootstrap(cases, seed=4)
    theirs = stats.bootstrap((cases[:, 0],), np.mean, method="percentile", random_state=np.random.default_rng(1))
    assert interval == pytest.approx(tuple(theirs.confidence_interval), abs=0.002)
    assert bootstrap(cases[:1]) is None
    cases[:20, 3] = np.nan
    with_gaps = bootstrap(cases, seed=3)
    assert with_gaps is not None
    assert np.isfinite(with_gaps).all()


def test_equal_methods_have_no_p_value() -> None:
    same = np.linspace(0.1, 0.8, 15)
    found = advantage(same, same, np.zeros((5, 15)))
    assert (found.difference, found.t_test_p, found.wilcoxon_p, found.interval) == (0.0, None, None, (0.0, 0.0))


def test_the_alpha_curve_is_drawn_only_where_alpha_alone_differs(tmp_path: Path) -> None:
    runs = [evaluated(tmp_path / f"alpha-{a}", gain, alpha=a) for a, gain in ((0.1, 0.02), (0.0, 0.0), (1.0, 0.01))]
    evaluations = read_evaluations(runs)
    points = alpha_points(evaluations)
    assert set(points) == {0.0, 0.1, 1.0}
    assert points[0.1] == mean_of_subsets(evaluations[0].dice)
    write_evaluations(evaluations, tmp_path / "out")
    picture = np.asarray(Image.open(tmp_path / "out" / "alpha.png").convert("RGB"))
    for color in ((0xD5, 0x5E, 0x00), (0x00, 0x72, 0xB2), (0x00, 0x9E, 0x73)):
        assert (picture == color).all(axis=2).sum() > 100
    longer = evaluated(tmp_path / "longer", alpha=0.5, iterations=9)
    for others in ([longer], [evaluated(tmp_path / "again", alpha=0.1)], [evaluated(tmp_path / "unknown")]):
        assert alpha_points(read_evaluations([*runs, *others])) == {}
    write_evaluations(read_evaluations([*runs, longer]), tmp_path / "no curve")
    assert not (tmp_path / "no curve" / "alpha.png").exists()


def test_a_curve_of_an_earlier_comparison_is_taken_away(tmp_path: Path) -> None:
    runs = [evaluated(tmp_path / f"alpha-{alpha}", alpha=alpha) for alpha in (0.0, 0.1)]
    write_evaluations(read_evaluations(runs), tmp_path / "out")
    assert (tmp_path / "out" / "alpha.png").exists()
    write_evaluations(read_evaluations([runs[0], evaluated(tmp_path / "unknown")]), tmp_path / "out")
    assert not (tmp_path / "out" / "alpha.png").exists()


def test_no_value_of_a_curve_covers_another_where_the_regions_are_alike() -> None:
    alike = dict(zip(REGIONS, (0.734, 0.729, 0.730), strict=True))
    figure = draw_alpha_curve({0.0: dict.fromkeys(REGIONS, 0.67), 0.1: alike, 1.0: alike})
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 3 * len(REGIONS)
    assert not [(a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]


def test_rounding_errors_are_no_differences() -> None:
    dice = np.linspace(0.1, 0.9, 15)
    assert np.ptp(dice - (dice - 0.1)) > 0, "equal but for rounding"
    assert paired_t_test(dice, dice - 0.1) is None
    assert wilcoxon(np.array([1e-17, 2e-17, 1e-17, 0.0])) is None
    real, noise = np.array([0.02, 0.01, -0.03, 0.05]), np.array([3e-17, 1e-17])
    assert wilcoxon(np.concatenate([real, noise])) == wilcoxon(np.concatenate([real, np.zeros(2)]))


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    one, fewer = evaluated(tmp_path / "one"), evaluated(tmp_path / "fewer", cases=5)
    with pytest.raises(InputError, match=r"different cases or sequences, first of case-4\."):
        read_evaluations([one, fewer])
    with pytest.raises(UsageError, match="Fewer than two"):
        read_evaluations([one])
    with pytest.raises(UsageError, match="twice"):
        read_evaluations([one, tmp_path / "." / "one"])
    with pytest.raises(InputError, match=r"no file .*summary\.csv"):
        read_evaluations([one, tmp_path / "nothing"])
    text = (one / "summary.csv").read_text(encoding="utf-8")
    broken = {"column": text.replace("dice", "score", 1), "region": text.replace("t1c,WT", "t1c,TC")}
    for fault, content in broken.items():
        (tmp_path / "broken" / "summary.csv").parent.mkdir(exist_ok=True)
        (tmp_path / "broken" / "summary.csv").write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match=fault):
            read_evaluations([one, tmp_path / "broken"])
    flair = "subset,region,dice\n" + "".join(f"flair,{region.value},0.5\n" for region in REGIONS)
    (tmp_path / "broken" / "summary.csv").write_text(flair, encoding="utf-8")
    with pytest.raises(InputError, match="different subsets"):
        read_evaluations([one, tmp_path / "broken"])


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    folders = [evaluated(tmp_path / run / "scores") for run in ("a", "b")]
    assert [one.name for one in read_evaluations(folders)] == ["a/scores", "b/scores"]


def test_tables_escape_names() -> None:
    table = Table("50 % of_it", (("ET", ("a_b|c", "d&e")),), (Row((Sequence.T1,), ("1", "2"), frozenset({1})),))
    text = latex(table)
    assert r"\caption{50 \% of\_it}" in text
    assert r"a\_b|c & d\&e \\" in text
    assert r"$\circ$ & $\bullet$ & $\circ$ & $\circ$ & 1 & \textbf{2} \\" in text
    assert r"| ET a_b\|c | ET d&e |" in markdown(table)


def test_what_prints_alike_is_equally_good() -> None:
    assert best_of([(3, 81.234), (4, 81.2301), (5, 81.22)]) == {3, 4}


def test_the_tables_of_one_evaluation(tmp_path: Path) -> None:
    lesions = LesionScores(2, 1, 0, 0.5, 7.0)
    full = subsets_of()[-1]
    found = [Score("a", s, region, 0.8, 4.0, 0.9, lesions) for s in subsets_of() for region in REGIONS]
    found += [Score("b", full, region, 0.0, EMPTY_HD95_MM, float("nan"), lesions) for region in REGIONS]
    write_scores(found, tmp_path)
    with (tmp_path / "summary.csv").open(encoding="utf-8", newline="") as stream:
        rows = {(row["subset"], row["region"]): row for row in csv.DictReader(stream)}
    assert list(rows["flair", "ET"])[:5] == ["subset", "region", "dice", "hd95_mm", "cases"]
    both = rows[subset_name(full), "WT"]
    assert both == {
        "subset": "flair+t1+t1c+t2",
        "region": "WT",
        "dice": "0.4",
        "hd95_mm": "188.565",
        "cases": "2",
        "sensitivity": "0.9",
        "lesion_f1": "0.8",
        "lesion_dice": "0.5",
        "lesion_hd95_mm": "7.0",
    }
    lines = (tmp_path / "cases.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith(
        "case,subset,region,dice,hd95_mm,sensitivity,lesions_found,lesions_missed,lesions_false,"
    )
    assert lines[1] == "a,flair,ET,0.8,4.0,0.9,2,1,0,0.8,0.5,7.0"
    assert lines[-1] == f"b,{subset_name(full)},WT,0.0,373.13,,2,1,0,0.8,0.5,7.0"
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "| ✓ | ✓ | ✓ | ✓ | 40.00 | 40.00 | 40.00 | 188.56 |" in text
    assert next(line for line in text.splitlines() if line.startswith("| ✓ |  |  |  |")).endswith(" 7.00 | 1 |")
    assert "373.13" in text.split("hd95_mm", 1)[1], "the convention is stated"
    assert f"| Average |  |  |  | {(14 * 80 + 40) / 15:.2f} |" in text
    row = r"$\bullet$ & $\circ$ & $\circ$ & $\circ$ & 80.00 & 80.00 & 80.00 & 4.00 & 4.00 & 4.00 & 90.00 &"
    assert row in (tmp_path / "summary.tex").read_text(encoding="utf-8")
    assert Image.open(tmp_path / "summary.png").size[0] > 500


def test_the_command_compares(command: Callable, tmp_path: Path) -> None:
    folders = [evaluated(tmp_path / "better", 0.01), evaluated(tmp_path / "worse")]
    done = command("evaluate", "--compare", *folders, "-o", tmp_path / "out")
    assert done.status == 0, done.err
    assert "ET better" in done.out
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["comparison.csv", "comparison.md", "comparison.tex", "tests.csv"]
    tests = (tmp_path / "out" / "tests.csv").read_text(encoding="utf-8").splitlines()
    assert tests[1].startswith("better,worse,ET,")
    assert tests[1].split(",")[5:7] == ["6", "0.015625"]
    assert command("evaluate", *folders, "-o", tmp_path / "out").status == 2
    assert command("evaluate", "-o", tmp_path / "out").status == 2
    assert command("evaluate", "--compare", *folders, "--data", tmp_path, "-o", tmp_path / "out").status == 2
    assert command("evaluate", "--compare", folders[0], "-o", tmp_path / "out").status == 2
    assert command("evaluate", "--compare", folders[0], tmp_path, "-o", tmp_path / "out").status == 3
