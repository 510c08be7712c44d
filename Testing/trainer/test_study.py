"""The studies: from phantoms to answers, taken up where they stopped; clear differences are told from noise."""

import contextlib
import csv
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from phantoms import make_case

from lckd.cli import run as run_lckd
from lckd.labels import REGIONS, Region
from lckd.network import PRESETS, NetworkConfig
from lckd.sequences import SEQUENCES, Sequence, subsets_of
from lckd_training.evaluation import significance
from lckd_training.evaluation.compare import CaseDice
from lckd_training.phantom import Phantom, PhantomSettings, generate_phantom, write_phantom

STUDIES = Path(__file__).parents[1] / "studies"
CASES = 6
#: Options of a study that takes seconds.
QUICK = ("--cases", str(CASES), "--iterations", "4", "--patch", "32", "--seeds", "1", "--jobs", "1")


#: Small brains with large tumors and little noise.
EASY = PhantomSettings(
    core_radius_mm=(6, 8), edema_ml=(4, 7), deformation_mm=0.5, bias=0.02, noise=0.01, enhancing=1.0, scale=0.4
)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """The presets' network has a quarter of its channels, and intervals are of fewer draws."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(significance, "RESAMPLES", 300)
        tiny = NetworkConfig(channels=(8, 16, 24, 32), decoder_channels=(8, 8, 16))
        patch.setitem(PRESETS, "small", tiny)
        yield


@pytest.fixture(scope="module")
def modules() -> Iterator[SimpleNamespace]:
    """The study's files as modules; phantoms.py has the name of another one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(STUDIES)
        loaded = {}
        for name in ("runs", "results", "cross_validation"):
            loaded[name] = importlib.import_module(name)
        spec = importlib.util.spec_from_file_location("phantom_study", STUDIES / "phantoms.py")
        assert spec is not None
        assert spec.loader is not None
        loaded["phantoms"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded["phantoms"])
    yield SimpleNamespace(**loaded)
    for name in ("runs", "results", "cross_validation"):
        del sys.modules[name]


class InThisProcess:
    """Stands for `subprocess` in runs.py: the same command lines, without starting Python and torch each time.

    With `kill_in`, the training of that variant is stopped in the middle, as if it had been killed.
    """

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.kill_in = ""

    def run(self, words: list[str], stdout: Any, **_: object) -> SimpleNamespace:
        assert words[1:3] == ["-m", "lckd"]
        arguments = words[3:]
        target = Path(arguments[arguments.index("-o") + 1]).name
        self.commands.append(f"{arguments[0]} {target}")
        kill = arguments[0] == "train" and bool(self.kill_in) and target.startswith(self.kill_in)
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stdout):
            status = run_lckd([*arguments, "--set", "iterations=2"] if kill else arguments)
        return SimpleNamespace(returncode=137 if kill else status)


@pytest.fixture(scope="module")
def finished_study(modules: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A study of made cases that was killed in its second training and started again."""
    output = tmp_path_factory.mktemp("studies") / "study"
    for seed in range(CASES):
        made, name = make_case(seed), f"phantom-{seed:04d}"
        write_phantom(Phantom(made.images, made.labels), output / "phantoms" / name, name)
    process = InThisProcess()
    arguments = ["--output", str(output), *QUICK]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modules.runs, "subprocess", process)
        process.kill_in = "no-distillation-"
        with pytest.raises(SystemExit, match="status 137"):
            modules.phantoms.main(arguments)
        before, process.commands, process.kill_in = process.commands, [], ""
        modules.phantoms.main(arguments)
        after, process.commands = process.commands, []
        modules.phantoms.main(arguments)
    return SimpleNamespace(output=output, arguments=arguments, before=before, after=after, third=process.commands)


def elections(run: Path) -> list[int]:
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [event["iteration"] for event in events if event["event"] == "election"]


def test_a_killed_study_goes_on_where_it_stopped(finished_study: SimpleNamespace) -> None:
    scored = ["evaluate method-s0-scores"]
    assert finished_study.before[:3] == ["train method-s0", "export method-s0-model", *scored]
    assert "train no-distillation-s0" in finished_study.before
    assert not {"train method-s0", "data phantoms", *scored} & set(finished_study.after)
    assert "train no-distillation-s0" in finished_study.after
    # The iterations before the kill were not done again.
    assert elections(finished_study.output / "no-distillation-s0") == elections(finished_study.output / "method-s0")
    assert finished_study.third == ["evaluate comparison"]


def test_variants_differ_in_one_setting(finished_study: SimpleNamespace) -> None:
    facts = {
        name: json.loads((finished_study.output / f"{name}-s0-scores" / "evaluation.json").read_text())["training"]
        for name in ("method", "no-distillation", "zero", "mean")
    }
    method = facts.pop("method")
    changed = {name: {key for key in method if method[key] != other[key]} for name, other in facts.items()}
    assert changed == {"no-distillation": {"alpha"}, "zero": {"imputation"}, "mean": {"imputation"}}
    assert (facts["no-distillation"]["alpha"], facts["zero"]["imputation"]) == (0, "zero")
    assert (method["alpha"], method["imputation"]) == (0.1, "bottom")


def test_the_results_answer_the_three_questions(finished_study: SimpleNamespace) -> None:
    text = (finished_study.output / "RESULTS.md").read_text(encoding="utf-8")
    for question in ("## Which sequence is elected?", "## Does distillation help?", "## Above the bottom, imputation"):
        assert text.count(question) == 1
    # A number of a table, by another way: subsets without T1c of ET, from what lckd evaluate wrote.
    values = []
    for name in ("method", "no-distillation", "zero", "mean"):
        with (finished_study.output / f"{name}-s0-scores" / "cases.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        dice = [float(r["dice"]) for r in rows if r["region"] == "ET" and "t1c" not in r["subset"].split("+")]
        assert len(dice) == 7 * 2
        values.append(100 * np.mean(dice))
    row = "| without the teacher | ET | {:.2f} | {:.2f} | {:+.2f} |"
    assert row.format(values[0], values[1], values[0] - values[1]) in text
    assert row.format(values[0], values[2], values[0] - values[2]) in text


def test_other_options_need_another_folder(modules: SimpleNamespace, finished_study: SimpleNamespace) -> None:
    with pytest.raises(SystemExit, match="other options"):
        modules.phantoms.main([*finished_study.arguments, "--iterations", "8"])


def test_a_failing_command_stops_the_study_with_its_words(modules: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"(?s)lckd data ended with status 2 .*No such option '--cases'"):
        modules.runs.lckd(tmp_path / "log", "data", "phantom", "--cases", 3)


def test_finished_folds_are_summed_up_over_all_patients(
    modules: SimpleNamespace, finished_study: SimpleNamespace, tmp_path: Path
) -> None:
    """Runs of two folds, made of those of the study; a fold that one variant has not finished does not count."""
    for variant in ("method", "no-distillation", "zero", "mean"):
        for fold in ("f0", "f1", "f2"):
            source, target = finished_study.output / f"{variant}-s0", tmp_path / f"{variant}-{fold}"
            target.mkdir()
            for name in ("config.yaml", "events.jsonl", "split.json"):
                text = (source / name).read_text().replace("phantom-", f"{fold}-")
                (target / name).write_text(text)
            scores = tmp_path / f"{variant}-{fold}-scores"
            scores.mkdir()
            for name in ("cases.csv", "summary.csv", "evaluation.json"):
                text = Path(f"{source}-scores", name).read_text().replace("phantom-", f"{fold}-")
                (scores / name).write_text(text)
    (tmp_path / "no-distillation-f2-scores" / "evaluation.json").unlink()
    modules.cross_validation.main(["--output", str(tmp_path), "--summarize"])
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "4 cases, each tested on" in text
    assert "folds f0, f1)" in text
    assert "patches of 32×32×32 voxels" in text
    assert "4 cases are few" in text
    assert (tmp_path / "comparison" / "tests.csv").exists()


def test_folds_hold_each_patient_once(modules: SimpleNamespace, tmp_path: Path) -> None:
    names = [f"BraTS-GLI-{patient:05d}-{visit:03d}" for patient in range(5) for visit in range(2)]
    for name in names:
        made = make_case(0)
        write_phantom(Phantom(made.images, made.labels), tmp_path / name, name)
    folds = modules.cross_validation.test_folds(tmp_path, 2, names[:1])
    assert sorted(name for fold in folds for name in fold) == names[2:]
    patients = [{name.rsplit("-", 1)[0] for name in fold} for fold in folds]
    assert not patients[0] & patients[1]
    assert [len(fold) for fold in patients] == [2, 2]


@pytest.mark.parametrize("variant", ["phantoms", "mirrored-brains"])
def test_synthetic_cases_grow_in_brains_of_training_patients_only(
    modules: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    data, output = tmp_path / "data", tmp_path / "study"
    for name in ("BraTS-GLI-00001-000", "BraTS-GLI-00002-000", "BraTS-GLI-00002-001", "BraTS-GLI-00003-000"):
        made = make_case(0)
        write_phantom(Phantom(made.images, made.labels), data / name, name)
    seen: dict[str, list[str]] = {}

    def lckd(log: Path, *words: object) -> None:
        texts = [str(word) for word in words]
        seen[texts[0]] = texts
        if texts[0] == "data":
            brains = Path(texts[texts.index("--brains") + 1]) if "--brains" in texts else None
            seen["brains"] = sorted(path.name for path in brains.iterdir()) if brains else []
        if texts[0] == "train":
            learned = Path(texts[texts.index("--data") + 1])
            assert sorted(path.name for path in (learned / "real").iterdir()) == sorted(p.name for p in data.iterdir())

    monkeypatch.setattr(modules.runs, "lckd", lckd)
    output.mkdir()
    held_out = ("BraTS-GLI-00002-001", "BraTS-GLI-00003-000")
    modules.runs.Run(output, variant, "f0", ("patch=32",), held_out).carry_out(data)
    assert seen["brains"] == (["BraTS-GLI-00001-000"] if variant == "mirrored-brains" else [])
    assert seen["data"][:4] == ["data", "phantom", "-o", str(output / f"{variant}-f0-data" / "synthetic")]
    assert seen["evaluate"][seen["evaluate"].index("--data") + 1] == str(data), "scored on real cases"


def made_scores(advantage: float, cases: int = 20) -> CaseDice:
    """Scores about 0.5; ET is better by `advantage` where T1c is missing."""
    rng = np.random.default_rng(round(1000 * abs(advantage)))
    return {
        (f"case-{case}", subset, region): 0.5
        + (advantage if region is Region.ET and Sequence.T1C not in subset else 0)
        + 1e-5 * rng.random() * (region is Region.ET and Sequence.T1C not in subset)
        for case in range(cases)
        for subset in subsets_of()
        for region in REGIONS
    }


@pytest.mark.parametrize(("by_seed", "word"), [((0.1, 0.08), "better"), ((-0.1, -0.08), "worse"), ((0.3, -0.1), None)])
def test_a_difference_is_clear_only_if_all_trainings_agree(
    modules: SimpleNamespace, by_seed: tuple[float, float], word: str | None
) -> None:
    scores = {("method", f"s{seed}"): made_scores(value) for seed, value in enumerate(by_seed)}
    scores |= {("no-distillation", f"s{seed}"): made_scores(0.0) for seed in range(2)}
    section = modules.results.comparison_section("Alpha", "method", "no-distillation", scores)
    clear = [line for line in section.splitlines() if line.startswith("- ")]
    if word is None:
        assert clear == ["- None."]
    else:
        # All subsets hold those without T1c, so that they differ, too.
        assert [line.split(" by ")[0] for line in clear] == [
            f"- ET, subsets without the teacher: method is {word}",
            f"- ET, subsets all: method is {word}",
        ]
        assert f"by {100 * abs(np.mean(by_seed)):.2f}." in clear[0]


def test_an_election_that_nobody_wins_is_no_choice(modules: SimpleNamespace, tmp_path: Path) -> None:
    def event(iteration: int, best: Sequence | None) -> str:
        dice = {s.value: {r.value: 0.5 * (s is best) for r in REGIONS} for s in SEQUENCES}
        teachers = {region.value: (best or SEQUENCES[0]).value for region in REGIONS}
        return json.dumps({"event": "election", "iteration": iteration, "dice": dice, "teachers": teachers}) + "\n"

    # The second election was held again after a resume.
    lines = [event(10, None), event(20, Sequence.T1), event(20, Sequence.T1C), event(30, Sequence.T1C)]
    (tmp_path / "events.jsonl").write_text("".join(lines))
    held = modules.results.read_elections(tmp_path)
    assert [election.iteration for election in held] == [10, 20, 30]
    assert held[0].decided(Region.WT) is None
    assert modules.results.visible_since(held, Region.ET) == 20
    assert modules.results.visible_since(held, Region.WT) is None


def test_each_region_elects_a_sequence_that_shows_it(modules: SimpleNamespace, tmp_path: Path) -> None:
    """After fifty iterations on easy phantoms, with one that has a thick rim to elect."""
    for seed in range(4):
        write_phantom(generate_phantom(seed, EASY), tmp_path / "data" / f"p{seed}", f"p{seed}")
    settings = {
        "patch": 48,
        "iterations": 50,
        "decay_iterations": 10,
        "election_interval": 50,
        "checkpoint_interval": 50,
        "learning_rate": 0.005,
        "warmup_iterations": 5,
        "tumor_share": 1.0,
        "election": "[p3]",
    }
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    run = tmp_path / "run"
    assert run_lckd(["train", "--data", str(tmp_path / "data"), "--preset", "small-cpu", "-o", str(run), *words]) == 0
    (held,) = modules.results.read_elections(run)
    for region in REGIONS:
        assert held.decided(region) in modules.results.VISIBLE[region]
        assert held.dice[held.teachers[region]][region] > 0.3
    assert held.dice[Sequence.FLAIR][Region.WT] > held.dice[Sequence.T1][Region.WT] + 0.1
