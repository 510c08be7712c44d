"""Models made of a run: what is on their card, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from phantoms import make_case, write_case

from lckd.discovery import find_case
from lckd.engine import Engine, Settings
from lckd.errors import InputError
from lckd.models import load_model
from lckd.network import build_network
from lckd.sequences import parse_subset
from lckd_training.config import TrainingConfig
from lckd_training.data.split import Split
from lckd_training.evaluation.evaluate import evaluate
from lckd_training.export import export
from lckd_training.run.folder import RunFolder


def make_run(folder: Path, seed: int = 0, start_from: str = "", roles: str = "abc") -> Path:
    """What a training leaves, with random weights and no best checkpoint; the cases that train, elect, and test."""
    config = TrainingConfig(start_from=start_from)
    torch.manual_seed(seed)
    run = RunFolder(folder)
    run.checkpoints.mkdir(parents=True)
    run.write_text(run.config, config.to_yaml())
    run.append_event({"event": "start"})
    Split(*map(tuple, roles)).write(run.split)
    run.save_checkpoint({"average": build_network(config.network).state_dict(), "iteration": 9}, 9, 1)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_case(tmp_path_factory.mktemp("cases") / "c", make_case())


@pytest.fixture(scope="module")
def scores(run: Path, case: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the run, evaluated on a case that it has not seen."""
    folder = tmp_path_factory.mktemp("scored")
    export(run, folder / "model", {})
    evaluate(Engine(folder / "model", Settings(device="cpu")), [find_case(case)], folder / "scores")
    return folder / "scores"


def test_only_a_model_or_an_empty_folder_is_replaced(command: Callable, run: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "thesis.txt").write_text("years", encoding="utf-8")
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    for target, kept in (
        (work, work / "thesis.txt"),
        (work / "thesis.txt", work / "thesis.txt"),
        (copy, copy / "split.json"),
    ):
        done = command("export", copy, "-o", target, "--overwrite")
        assert (done.status, "OUTPUT_NO_MODEL" in done.err) == (5, True), target
        assert kept.is_file()
    (tmp_path / "model").mkdir()
    for _ in range(2):
        assert command("export", copy, "-o", tmp_path / "model", "--overwrite").status == 0
    assert load_model(tmp_path / "model").name == "model"


def test_a_card_takes_the_scores_of_its_own_weights_only(
    command: Callable, run: Path, scores: Path, tmp_path: Path
) -> None:
    assert command("export", run, "-o", tmp_path / "model", "--evaluation", scores).status == 0
    card = load_model(tmp_path / "model").card
    assert len(card.dice) == 15
    assert card.dice_basis == "Mean over 1 cases, by lckd evaluate. The model has seen none of them in training."
    other = make_run(tmp_path / "other", seed=1)
    done = command("export", other, "-o", tmp_path / "wrong", "--evaluation", scores)
    assert (done.status, "OTHER_WEIGHTS" in done.err) == (3, True)
    assert not (tmp_path / "wrong").exists()


def test_scores_that_lack_subsets_are_refused(run: Path, scores: Path, tmp_path: Path) -> None:
    engine = Engine(scores.parent / "model", Settings(device="cpu"))
    poor = write_case(tmp_path / "poor", make_case(), parse_subset("t2"))
    evaluate(engine, [find_case(poor)], tmp_path / "scores")
    with pytest.raises(InputError, match="no scores for FLAIR"):
        export(run, tmp_path / "model", {}, tmp_path / "scores")


def test_the_card_says_what_the_model_it_started_from_had_seen(scores: Path, tmp_path: Path) -> None:
    first = make_run(tmp_path / "first", roles="cba")
    export(first, tmp_path / "model", {})
    for start, words in (
        (first, "1 of them had been trained on by first, from which it started."),
        (tmp_path / "model", "1 of them had been trained on by model, from which it started."),
        (tmp_path / "gone", "Which of them gone was trained on, from which it started, is not known."),
    ):
        later = make_run(tmp_path / f"after {start.name}", start_from=str(start))
        export(later, tmp_path / "later", {}, scores, overwrite=True)
        basis = load_model(tmp_path / "later").card.dice_basis
        assert basis == f"Mean over 1 cases, by lckd evaluate. {words}"


def test_mirrored_scores_are_called_so(run: Path, scores: Path, tmp_path: Path) -> None:
    mirrored = Path(shutil.copytree(scores, tmp_path / "scores"))
    facts = json.loads((mirrored / "evaluation.json").read_text(encoding="utf-8"))
    (mirrored / "evaluation.json").write_text(json.dumps(facts | {"mirror": True}), encoding="utf-8")
    export(run, tmp_path / "model", {}, mirrored)
    assert "averaged over mirrored copies" in load_model(tmp_path / "model").card.dice_basis


def test_a_card_file_fills_in_what_the_run_does_not_know(command: Callable, run: Path, tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text("data_source: Bonn\ntraining: {command: by hand}\n", encoding="utf-8")
    assert command("export", run, "-o", tmp_path / "model", "--card", tmp_path / "card.yaml").status == 0
    card = load_model(tmp_path / "model").card
    assert (card.data_source, card.training["command"], card.training["iterations"]) == ("Bonn", "by hand", 9)
    (tmp_path / "empty.yaml").write_text("", encoding="utf-8")
    assert command("export", run, "-o", tmp_path / "plain", "--card", tmp_path / "empty.yaml").status == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "does not exist"),
        ("a: [", "not a YAML file"),
        ("[1, 2]", "no fields with values"),
        ("name: other", "field 'name'"),
        ("training: yes", "names and values under 'training'"),
    ],
)
def test_a_bad_card_file_is_refused_in_one_sentence(
    command: Callable, run: Path, tmp_path: Path, text: str | None, words: str
) -> None:
    if text is not None:
        (tmp_path / "card.yaml").write_text(text, encoding="utf-8")
    done = command("export", run, "-o", tmp_path / "model", "--card", tmp_path / "card.yaml")
    assert (done.status, words in done.err) == (3, True), done.err
    assert not (tmp_path / "model").exists()


def test_a_run_without_a_best_checkpoint_is_told_from_no_run(command: Callable, run: Path, tmp_path: Path) -> None:
    done = command("export", run, "-o", tmp_path / "model", "--best")
    assert (done.status, "NO_BEST_CHECKPOINT" in done.err) == (3, True)
    done = command("export", tmp_path, "-o", tmp_path / "model", "--best")
    assert (done.status, "NO_CHECKPOINT" in done.err) == (3, True)
