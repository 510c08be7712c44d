"""Sampling, schedule, settings, and a whole small run: resumed exactly, exported, evaluated."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from phantoms import make_case, write_case

from lckd import Case
from lckd.discovery import find_case
from lckd.engine import Engine, Settings
from lckd.errors import InputError, LckdError, UsageError
from lckd.labels import REGIONS
from lckd.models import load_model
from lckd.sequences import SEQUENCES, Sequence, parse_subset, subset_name
from lckd_training.config import TrainingConfig
from lckd_training.data.cache import prepare_cases
from lckd_training.data.split import Split
from lckd_training.evaluation.evaluate import evaluate, mean_of_subsets
from lckd_training.export import export
from lckd_training.method.sampling import draw_patch
from lckd_training.run.folder import RunFolder
from lckd_training.run.schedule import learning_rate
from lckd_training.run.train import train

SMOKE = TrainingConfig.preset("smoke").overridden(
    [
        "iterations=6",
        "election_interval=2",
        "checkpoint_interval=3",
        "election=[b]",
        "test=[c]",
        "patch=32",
        "election_dice=soft",
    ]
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four labeled cases, one of them with two sequences only."""
    root = tmp_path_factory.mktemp("data")
    for seed, name in enumerate("abcd"):
        write_case(root / name, make_case(seed), SEQUENCES if name != "d" else parse_subset("flair,t1c"))
    return root


def steps(run: Path) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in RunFolder(run).events.read_text().splitlines()]
    keys = ("iteration", "loss", "loss_task", "loss_ckd", "lr", "present")
    return [{key: event[key] for key in keys} for event in events if event["event"] == "step"]


@pytest.fixture(scope="module")
def finished_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    train(data, SMOKE, run)
    return run


def test_an_interrupted_run_goes_on_exactly(data: Path, finished_run: Path, tmp_path: Path) -> None:
    class Interruption(Exception):
        pass

    def interrupt(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["iteration"] == 4:
            raise Interruption

    with pytest.raises(Interruption):
        train(data, SMOKE, tmp_path / "run", announce=interrupt)
    with pytest.raises(InputError, match="already holds a run"):
        train(data, SMOKE, tmp_path / "run")
    train(data, SMOKE, tmp_path / "run", resume=True)
    again = steps(tmp_path / "run")
    assert [step["iteration"] for step in again] == [0, 1, 2, 3, 4, 3, 4, 5]
    assert again[3:5] == again[5:7]
    assert again[:3] + again[5:] == steps(finished_run)


def test_a_run_folder_holds_what_was_promised(finished_run: Path) -> None:
    folder = RunFolder(finished_run)
    assert TrainingConfig.preset(str(folder.config)) == SMOKE
    assert Split.read(folder.split) == Split(("a", "d"), ("b",), ("c",))
    events = [json.loads(line) for line in folder.events.read_text().splitlines()]
    election = next(event for event in events if event["event"] == "election")
    assert set(election["teachers"]) == {"ET", "TC", "WT"}
    assert set(election["dice"]) == {sequence.value for sequence in SEQUENCES}
    assert len(list(folder.checkpoints.glob("[0-9]*.pt"))) == SMOKE.keep_checkpoints
    assert [step["loss_ckd"] > 0 for step in steps(finished_run) if step["iteration"] < 2] == [False, False]
    taught = [s for s in steps(finished_run) if s["iteration"] >= 2 and s["loss_ckd"] > 0]
    assert taught, "after an election, teachers must teach"


def test_export_and_evaluation_of_a_run(data: Path, finished_run: Path, tmp_path: Path) -> None:
    export(finished_run, tmp_path / "model", {})
    engine = Engine(load_model(tmp_path / "model"), Settings(device="cpu"))
    table = evaluate(engine, [find_case(data / "c"), find_case(data / "d")], tmp_path / "evaluation")
    assert len(table) == 15
    export(finished_run, tmp_path / "model", {}, tmp_path / "evaluation", overwrite=True)
    card = load_model(tmp_path / "model").card
    assert set(card.dice) == {subset_name(subset) for subset in table}
    assert card.training["patients"]["test"] == ["c"]
    assert card.dice_basis.startswith("Mean over 2 cases, by lckd evaluate. 1 of them were trained on")
    lines = (tmp_path / "evaluation" / "cases.csv").read_text().splitlines()
    assert lines[0] == "case,subset,region,dice,hd95_mm,sensitivity"
    assert len(lines) == 1 + (15 + 3) * len(REGIONS)
    assert set(mean_of_subsets(table)) == set(REGIONS)
    facts = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert (facts["model"]["sha256"], facts["training"]["alpha"]) == (engine.model.sha256, SMOKE.alpha)
    assert Case.from_folder(data / "d").present == parse_subset("flair,t1c")


def test_a_run_starts_from_a_models_weights_if_its_network_has_the_same_size(
    data: Path, finished_run: Path, tmp_path: Path
) -> None:
    export(finished_run, tmp_path / "model", {})
    settings = [f"start_from={tmp_path / 'model'}", "iterations=1", "learning_rate=0.0", "checkpoint_interval=1"]
    train(data, SMOKE.overridden([*settings, "imputation=zero"]), tmp_path / "run")
    state = RunFolder(tmp_path / "run").load_checkpoint()
    assert state is not None
    for key, value in load_model(tmp_path / "model").network.state_dict().items():
        assert torch.equal(state["objective"][f"network.{key}"], value)
    export(tmp_path / "run", tmp_path / "again", {})
    again = load_model(tmp_path / "again")
    assert again.card.training["settings"]["start_from"] == "model"
    assert again.network.config.imputation == "zero"
    with pytest.raises(UsageError, match="another network"):
        train(data, SMOKE.overridden([*settings, "size=base"]), tmp_path / "other")


def test_patches_are_reproducible_masked_and_labeled_without_interpolation(data: Path, tmp_path: Path) -> None:
    case, config = prepare_cases([find_case(data / "a")], tmp_path)[0], TrainingConfig(patch=32, tumor_share=1.0)
    for number in range(6):
        first, second = (draw_patch(case, SEQUENCES[:2], config, np.random.default_rng([1, number])) for _ in range(2))
        assert all(torch.equal(first.images[s], second.images[s]) for s in first.images)
        assert first.images[Sequence.FLAIR].shape == (1, 1, 32, 32, 32)
        assert first.regions.shape == (1, 3, 32, 32, 32)
        assert set(first.regions.unique().tolist()) <= {0.0, 1.0}
        assert first.regions.any(), "a patch around a tumor voxel shows tumor"
        enhancing, core, whole = first.regions[0]
        assert (enhancing <= core).all()
        assert (core <= whole).all()
        flair = first.images[Sequence.FLAIR][0, 0]
        assert flair[whole > 0].mean() > flair[(whole == 0) & (flair != 0)].mean(), "the label follows the image"


def test_schedules_start_high_and_end_at_zero() -> None:
    for schedule in ("cosine", "polynomial", "trapezoid"):
        config = TrainingConfig(schedule=schedule, iterations=1000, warmup_iterations=10, decay_iterations=300)
        rates = [learning_rate(iteration, config) for iteration in range(1001)]
        assert rates[0] == pytest.approx(config.learning_rate / 10, rel=0.01)
        assert max(rates) == pytest.approx(config.learning_rate, rel=0.01)
        assert rates[1000] == pytest.approx(0, abs=1e-9)
    authors = TrainingConfig(schedule="polynomial", iterations=1000, warmup_iterations=0)
    assert [learning_rate(n, authors) / authors.learning_rate for n in (0, 500)] == pytest.approx([1, 0.5**0.9])
    assert rates[700] == config.learning_rate
    assert rates[850] == pytest.approx(config.learning_rate / 2)


def test_numbers_may_be_written_as_anywhere_else() -> None:
    assert TrainingConfig().overridden(["learning_rate=1e-3", "alpha=.5"]) == TrainingConfig(
        learning_rate=1e-3, alpha=0.5
    )
    for setting in ("learning_rate=1e-3x", "alpha=nan"):
        with pytest.raises(UsageError):
            TrainingConfig().overridden([setting])


@pytest.mark.parametrize(
    "setting", ["size=tiny", "nonsense=1", "patch=33", "iterations=many", "alpha", "schedule=steps", "distance=3"]
)
def test_impossible_settings_are_refused(setting: str) -> None:
    with pytest.raises(UsageError):
        TrainingConfig().overridden([setting])


def test_a_loss_that_is_no_number_stops_the_run_with_its_last_good_state(data: Path, tmp_path: Path) -> None:
    with pytest.raises(LckdError, match="no longer a number"):
        train(
            data, SMOKE.overridden(["learning_rate=1.0e+30", "iterations=20", "warmup_iterations=1"]), tmp_path / "run"
        )
    state = RunFolder(tmp_path / "run").load_checkpoint()
    assert state is None or all(value.isfinite().all() for value in state["objective"].values())
