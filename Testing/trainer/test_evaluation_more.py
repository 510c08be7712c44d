"""Evaluations in which cases cannot be used, and the picture of one case."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from made_results import make_segmentation
from phantoms import make_case, write_case
from PIL import Image

from lckd import Case
from lckd.discovery import find_case
from lckd.engine import Engine, Result, Settings
from lckd.errors import InputError, OutputError
from lckd.geometry import Grid
from lckd.labels import REGIONS, LabelConvention, Tissue, regions_from_labels
from lckd.models import load_model
from lckd.preview import TISSUE_COLORS
from lckd.reference import Reference
from lckd.sequences import SEQUENCES, parse_subset, subsets_of
from lckd_training.evaluation.case_choice import LeftOut, choose_cases
from lckd_training.evaluation.evaluate import evaluate
from lckd_training.evaluation.qualitative import draw_panel, median_case, shown_subsets
from lckd_training.evaluation.scores import Score


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two good cases; one without labels, one with a damaged image, one whose labels nobody knows."""
    root = tmp_path_factory.mktemp("data")
    write_case(root / "good", sequences=parse_subset("flair,t1c"))
    write_case(root / "fair", make_case(1), parse_subset("t1"))
    write_case(root / "unlabeled", labels=False)
    write_case(root / "damaged", sequences=parse_subset("flair"))
    (root / "damaged" / "flair.nii.gz").write_bytes(b"no image")
    write_case(root / "odd", sequences=parse_subset("t2"))
    labels = sitk.ReadImage(str(root / "odd" / "seg.nii.gz"))
    sitk.WriteImage(labels * 9, str(root / "odd" / "seg.nii.gz"))
    return root


def test_one_bad_case_does_not_end_an_evaluation(
    command: Callable, data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    options = ["evaluate", "--data", data, "--model", tiny_model, "--device", "cpu"]
    done = command(*options, "-o", tmp_path / "out")
    assert done.status == 7
    assert "2 of 4 cases cannot be used" in done.err
    left_out = [line for line in done.out.splitlines() if line.startswith("Left out: ")]
    assert [line.split(": ")[1] for line in left_out] == ["damaged", "odd"]
    facts = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert facts["cases"] == 2
    assert [one["case"] for one in facts["left_out"]] == ["damaged", "odd"]
    assert all(one["code"] and one["message"] and one["action"] for one in facts["left_out"])
    rows = (tmp_path / "out" / "cases.csv").read_text().splitlines()[1:]
    assert {row.split(",")[0] for row in rows} == {"good", "fair"}
    assert (tmp_path / "out" / "panel.png").exists()
    named = command(*options, "-o", tmp_path / "named", "--cases", "fair,unlabeled", "--panel", "fair", "--json")
    result, error = named.events[-2:]
    assert (named.status, error["code"], result["cases"]) == (7, "SOME_CASES_FAILED", 1)
    assert [(one["case"], one["code"]) for one in result["left_out"]] == [("unlabeled", "NO_LABELS")]


def test_an_evaluation_of_nothing_is_refused(command: Callable, data: Path, tiny_model: Path, tmp_path: Path) -> None:
    options = ["evaluate", "--data", data, "--model", tiny_model, "-o", tmp_path / "out"]
    for more, code in (
        (["--cases", "damaged,odd"], "NO_CASE_USABLE"),
        (["--cases", "absent"], "CASE_UNKNOWN"),
        (["--cases", "fair", "--panel", "good"], "CASE_UNKNOWN"),
    ):
        done = command(*options, *more)
        assert (done.status, code in done.err) == (3, True), (more, done.err)
    assert not (tmp_path / "out").exists()


def test_which_cases_are_evaluated_is_said_once_and_plainly(
    command: Callable, data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "split.json").write_text(json.dumps({"train": ["good"], "election": ["fair"], "test": []}))
    options = ["evaluate", "--data", data, "--model", tiny_model, "--device", "cpu", "-o", tmp_path / "out"]
    done = command(*options, "--split", tmp_path / "split.json")
    assert (done.status, "NO_TEST_CASE" in done.err) == (3, True)
    assert command(*options, "--split", tmp_path / "split.json", "--cases", "fair").status == 2
    assert command(*options, "--cases", "").status == 3
    assert not (tmp_path / "out").exists()
    assert command(*options, "--cases", "fair, good").status == 0


def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    announced: list[str] = []
    engine = Engine(load_model(tiny_model), Settings(device="cpu"))
    with pytest.raises(OutputError):
        evaluate(engine, [find_case(data / "fair")], tmp_path / "file", lambda name, done: announced.append(name))
    assert not announced


def test_a_mistake_in_the_program_costs_one_case(
    data: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(load_model(tiny_model), Settings(device="cpu"))
    real = engine.segment_subsets

    def segment(case: Case, *more: object) -> list[Result]:
        if case.name == "good":
            raise ZeroDivisionError("by mistake")
        return real(case, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "segment_subsets", segment)
    told: list[LeftOut] = []
    cases = [find_case(data / name) for name in ("good", "fair")]
    table = evaluate(engine, cases, tmp_path, panel="good", leave_out=told.append)
    assert set(table) == {parse_subset("t1")}
    assert [(one.case, one.refusal.code) for one in told] == [("good", "BUG")]
    assert "ZeroDivisionError: by mistake" in told[0].refusal.message
    monkeypatch.setattr(engine, "segment_subsets", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        evaluate(engine, cases, tmp_path / "stopped")


def test_cases_that_share_a_name_and_files_that_cannot_be_told_are_left_out(tmp_path: Path) -> None:
    for place in ("a/patient", "b/patient", "c/other"):
        write_case(tmp_path / place, sequences=parse_subset("flair"))
    write_case(tmp_path / "twice", sequences=parse_subset("flair"))
    (tmp_path / "twice" / "other_flair.nii.gz").write_bytes((tmp_path / "twice" / "flair.nii.gz").read_bytes())
    cases, left_out = choose_cases(tmp_path)
    assert [case.name for case in cases] == ["other"]
    assert [one.case for one in left_out] == ["patient", "patient", "twice"]
    assert left_out[0].refusal.code == "CASE_TWICE"
    (tmp_path / "split.json").write_text(json.dumps({"train": [], "election": [], "test": ["other"]}))
    assert [case.name for case in choose_cases(tmp_path, split=tmp_path / "split.json")[0]] == ["other"]
    write_case(tmp_path / "d" / "x", labels=False)
    with pytest.raises(InputError, match="has a segmentation"):
        choose_cases(tmp_path / "d")


def test_the_case_of_the_picture_is_a_typical_one() -> None:
    subsets = {name: subsets_of(SEQUENCES) for name in "abcd"} | {"e": subsets_of(SEQUENCES[:1])}
    dice = {"a": 0.9, "b": 0.5, "c": 0.1, "d": 0.7, "e": 0.6}
    scores = [Score(c, s, region, dice[c], 0.0, 1.0) for c in subsets for s in subsets[c] for region in REGIONS]
    assert median_case(scores) == "b"
    assert median_case(score for score in scores if score.case != "d") == "b"
    assert median_case(score for score in scores if score.case != "c") == "d"


def test_the_picture_shows_reference_and_results_side_by_side() -> None:
    made = make_case()
    case = Case.from_images(made.images, name="Secret^Name")
    truth = sitk.GetArrayFromImage(made.labels)
    grid = Grid.of(case.reference)
    reference = Reference("seg.nii.gz", regions_from_labels(truth, LabelConvention.BRATS2023))
    # The second result misses the enhancing tumor.
    maps = [truth, np.where(truth == 3, 1, truth)]
    subsets = [SEQUENCES, parse_subset("t1")]
    results = [Result(case, make_segmentation(m, grid, s), {}) for m, s in zip(maps, subsets, strict=True)]
    picture = np.asarray(draw_panel(results, reference))
    yellow = (picture == TISSUE_COLORS[Tissue.ET]).all(axis=2)
    # Where the panels begin is told by the picture: nothing else is yellow but the legend in the last lines.
    rows = np.array_split(yellow[:-80], 2)
    edges = np.linspace(206, picture.shape[1], 4).astype(int)
    counts = [[row[:, a:b].sum() for a, b in itertools.pairwise(edges)] for row in rows]
    assert [[count > 0 for count in row] for row in counts] == [[False, True, True], [False, True, False]]
    assert counts[0][1] == counts[0][2] == counts[1][1], "one plane, the same reference"
    assert shown_subsets(parse_subset("flair,t1c")) == [
        parse_subset("flair"),
        parse_subset("t1c"),
        parse_subset("flair,t1c"),
    ]
    assert shown_subsets(SEQUENCES)[-1] == SEQUENCES
    assert len(shown_subsets(SEQUENCES)) == 7


def test_the_picture_is_drawn_where_there_is_no_tumor_at_all(tmp_path: Path) -> None:
    case = Case.from_images(make_case().images)
    grid = Grid.of(case.reference)
    nothing = np.zeros(grid.shape, np.uint8)
    result = Result(case, make_segmentation(nothing, grid), {})
    reference = Reference("seg.nii.gz", regions_from_labels(nothing, LabelConvention.BRATS2023))
    assert isinstance(draw_panel([result], reference), Image.Image)
