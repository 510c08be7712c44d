"""The worker as a child process: every request, with results equal to the engine's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from phantoms import make_case, write_tiny_model
from worker_process import WorkerProcess, write_job

from lckd.case import Case
from lckd.comparison import compare_results
from lckd.engine import Engine, Result, Settings
from lckd.geometry import Grid
from lckd.labels import LabelConvention
from lckd.models import write_bundle
from lckd.models.bundle import new_card
from lckd.network import NetworkConfig, build_network
from lckd.output import result_images
from lckd.reference import read_reference
from lckd.sequences import SEQUENCES, Sequence, Subset, parse_subset, subset_name, subsets_of

CPU = Settings(device="cpu", threads=1)


@pytest.fixture(scope="module")
def worker(subprocess_environment: dict[str, str]) -> Iterator[WorkerProcess]:
    """One worker for the requests of many tests, as in Slicer."""
    with WorkerProcess(subprocess_environment) as process:
        yield process
        assert process.finish() == 0


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Engine:
    return Engine(tiny_model, CPU)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    return write_job(tmp_path_factory.mktemp("jobs") / "job", tiny_model)


@pytest.fixture(scope="module")
def expected(engine: Engine, job: Path) -> dict[Subset, Result]:
    """What the engine itself makes of the job."""
    return {result.segmentation.subset: result for result in engine.segment_subsets(case_of(job))}


def case_of(job: Path) -> Case:
    return Case.from_files(
        **{s.value: job / f"{s.value}.nrrd" for s in SEQUENCES if (job / f"{s.value}.nrrd").exists()}
    )


def labels_in(path: str) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(path))


def test_hello_needs_nothing_heavy(worker: WorkerProcess, subprocess_environment: dict[str, str]) -> None:
    hello = worker.wait(lambda event: event["event"] == "hello")
    assert worker.events[0] is hello
    assert (hello["protocol"], hello["pid"]) == (1, worker.process.pid)
    heavy = "import sys, lckd.worker.service; print({'torch', 'monai', 'scipy', 'SimpleITK'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", heavy], env=subprocess_environment, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_segment_is_what_the_engine_makes(
    worker: WorkerProcess, job: Path, expected: dict[Subset, Result], files_in
) -> None:
    result = worker.result("segment", job=str(job))
    assert result["subset"] == "flair+t1+t1c+t2"
    assert result["encoded"]
    assert result["kept_mb"] > 0
    folder = Path(result["files"]["report"]).parent
    assert folder.parents[1] == job / "results"
    assert folder.name == result["subset"]
    assert files_in(folder) == ["report.json", "segmentation.nrrd"]
    assert result["files"] == {"segmentation": str(folder / "segmentation.nrrd"), "report": str(folder / "report.json")}
    assert np.array_equal(labels_in(result["files"]["segmentation"]), expected[SEQUENCES].labels)
    assert labels_in(result["files"]["segmentation"]).any()
    assert Grid.of(sitk.ReadImage(result["files"]["segmentation"])) == Grid.of(case_of(job).reference)
    report = json.loads((folder / "report.json").read_text())
    assert report == result["report"]
    assert set(report) == set(expected[SEQUENCES].report)
    assert report["volumes_ml"] == expected[SEQUENCES].report["volumes_ml"]
    assert all(report["seconds"][stage] > 0 for stage in ("start", "read", "prepare", "network", "restore", "write"))
    assert [event["message"] for event in worker.events_of(result, "warning")] == report["warnings"]
    stages = [event["stage"] for event in worker.events_of(result, "stage")]
    assert stages == ["start", "read", "prepare", "network", "restore", "write"]
    fractions = [event["fraction"] for event in worker.events_of(result, "progress")]
    assert fractions == sorted(set(fractions))
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert len(fractions) > 5


def test_a_toggled_sequence_is_decoded_not_encoded(
    worker: WorkerProcess, job: Path, tiny_model: Path, expected: dict[Subset, Result], tmp_path: Path
) -> None:
    worker.result("segment", job=str(job))
    result = worker.result("decode", job=str(job), subset="flair+t1c")
    assert not result["encoded"]
    assert (result["report"]["subset"], result["report"]["imputed"]) == ("flair+t1c", ["t1", "t2"])
    assert result["report"]["seconds"]["prepare"] == 0
    assert np.array_equal(labels_in(result["files"]["segmentation"]), expected[(Sequence.FLAIR, Sequence.T1C)].labels)
    assert worker.events_of(result, "progress")[-1]["fraction"] == 1.0
    assert "Without T1, T2" in worker.events_of(result, "warning")[0]["message"]
    # The same images under another name are the same case, but the report speaks of the new job.
    again = write_job(tmp_path / "again", tiny_model, case="another name", cleanup={"min_component_ml": 5000})
    result = worker.result("decode", job=str(again), subset="t2")
    assert not result["encoded"]
    assert result["report"]["case"] == "another name"
    assert result["report"]["inputs"]["t2"] == str(again / "t2.nrrd")
    assert "removed" in result["report"]["postprocessing"][0]
    assert not labels_in(result["files"]["segmentation"]).any()


@pytest.mark.parametrize("what", ["images", "grid", "mirror", "sequences"])
def test_what_changes_the_encodings_is_encoded_again(
    worker: WorkerProcess, job: Path, tiny_model: Path, tmp_path: Path, what: str
) -> None:
    worker.result("segment", job=str(job))
    made = make_case(seed=1) if what == "images" else None
    sequences = (Sequence.T1C, Sequence.T2) if what == "sequences" else SEQUENCES
    fields = {"grid": {"grid": "t2"}, "mirror": {"mirror": True}}.get(what, {})
    other = write_job(tmp_path / "other", tiny_model, made, sequences, **fields)
    assert worker.result("decode", job=str(other), subset="t1c")["encoded"]
    assert not worker.result("decode", job=str(other), subset="t2")["encoded"]
    assert worker.result("decode", job=str(job), subset="t2")["encoded"]


def test_an_overwritten_image_is_noticed(worker: WorkerProcess, tiny_model: Path, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", tiny_model)
    worker.result("segment", job=str(job))
    sitk.WriteImage(make_case(seed=7).images[Sequence.T2], str(job / "t2.nrrd"))
    result = worker.result("segment", job=str(job))
    assert result["encoded"]
    assert np.array_equal(
        labels_in(result["files"]["segmentation"]), Engine(tiny_model, CPU).segment(case_of(job)).labels
    )


def test_compare_tells_each_subset_as_it_comes(
    worker: WorkerProcess, job: Path, expected: dict[Subset, Result]
) -> None:
    result = worker.result("compare", job=str(job), subsets=None, reference=None)
    told = worker.events_of(result, "subset")
    assert [event["subset"] for event in told] == [subset_name(s) for s in sorted(subsets_of(), key=len, reverse=True)]
    comparison = compare_results(list(expected.values()))
    assert result["subsets"] == [row.as_dict() for row in comparison.rows]
    assert result["basis"] == comparison.basis == "the full set (FLAIR, T1, T1c, T2)"
    for event in told:
        subset = parse_subset(event["subset"])
        rows = {region.value: row.as_dict() for region, row in comparison.of(subset).items()}
        for name, column in (("volumes_ml", "volume_ml"), ("dice", "dice"), ("hd95_mm", "hd95_mm")):
            assert event[name] == {region: row[column] for region, row in rows.items()}
        assert np.array_equal(labels_in(event["files"]["segmentation"]), expected[subset].labels)
        assert json.loads(Path(event["files"]["report"]).read_text())["subset"] == event["subset"]
    # Each is told as soon as it is there, not when all are.
    order = [event["event"] for event in worker.events if event["id"] == result["id"]]
    first, last = order.index("subset"), len(order) - 1 - order[::-1].index("subset")
    assert order[first:last].count("progress") > 10
    assert {Path(path).name for path in result["files"].values()} == {"subsets.csv", "subsets.md"}
    assert Path(result["files"]["csv"]).read_text().count("\n") == 1 + 15 * 3
    assert result["importance"]["t1c"]["ET"] == pytest.approx(
        1 - comparison.of(parse_subset("flair+t1+t2"))[next(iter(comparison.of(SEQUENCES)))].dice
    )
    full = json.loads((Path(result["files"]["csv"]).parent / "flair+t1+t1c+t2/report.json").read_text())
    assert full == result["report"]
    assert full["compared_with"] == result["basis"]
    assert len(full["subsets"]) == 15


def test_compare_some_subsets_with_a_reference(
    worker: WorkerProcess, job: Path, tiny_model: Path, expected: dict[Subset, Result], tmp_path: Path
) -> None:
    worker.result("segment", job=str(job))
    named = write_job(tmp_path / "named", tiny_model, reference="seg.nrrd")
    chosen = ["t1c", "flair+t2", "t1c"]
    results = [worker.result("compare", job=str(named), subsets=chosen)]
    results.append(worker.result("compare", job=str(job), subsets=chosen, reference="seg.nrrd"))
    wanted = [expected[parse_subset(name)] for name in ("t1c", "flair+t2")]
    truth = read_reference(job / "seg.nrrd", Grid.of(case_of(job).reference))
    for result in results:
        assert not result["encoded"]
        assert result["basis"] == "reference segmentation seg.nrrd"
        assert result["subsets"] == [row.as_dict() for row in compare_results(wanted, truth).rows]


def test_further_images_on_request(
    worker: WorkerProcess, engine: Engine, tiny_model: Path, expected: dict[Subset, Result], tmp_path: Path, files_in
) -> None:
    job = write_job(tmp_path / "job", tiny_model, probabilities=True, uncertainty=True)
    result = worker.result("segment", job=str(job))
    names = ["segmentation", "probability_ET", "probability_TC", "probability_WT", "uncertainty"]
    assert list(result["files"]) == [*names, "report"]
    images = result_images(expected[SEQUENCES].segmentation, LabelConvention.BRATS2023, True, True)
    for name, (_, image) in zip(names, images, strict=True):
        assert np.array_equal(labels_in(result["files"][name]), sitk.GetArrayFromImage(image)), name
    # A later run without them leaves no old ones behind.
    write_job(job, tiny_model)
    again = Path(worker.result("segment", job=str(job))["files"]["report"])
    assert again == Path(result["files"]["report"])
    place = "/".join(again.parts[-3:-1])
    assert files_in(job / "results") == [f"{place}/report.json", f"{place}/segmentation.nrrd"]


def test_models_and_ways_in_turn_do_not_replace_each_others_results(
    worker: WorkerProcess, tiny_model: Path, expected: dict[Subset, Result], tmp_path: Path
) -> None:
    other = write_tiny_model(tmp_path / "other", seed=3)
    job, files = tmp_path / "job", {}
    for name, model, mirror in (("other", other, False), ("tiny", tiny_model, False), ("mirrored", tiny_model, True)):
        result = worker.result("segment", job=str(write_job(job, model, mirror=mirror)))
        assert result["encoded"]
        assert result["report"]["model"]["name"] == ("other" if name == "other" else "tiny")
        files[name] = result["files"]["segmentation"]
    assert len(set(files.values())) == 3
    assert np.array_equal(labels_in(files["tiny"]), expected[SEQUENCES].labels)
    assert not np.array_equal(labels_in(files["other"]), expected[SEQUENCES].labels)


def test_forget_gives_the_memory_back(worker: WorkerProcess, tmp_path: Path) -> None:
    network = build_network(NetworkConfig(channels=(32, 4, 4, 4), decoder_channels=(2, 2, 2))).eval()
    write_bundle(tmp_path / "wide", network, new_card("wide", "tiny", network, "Random weights, for tests."))
    result = worker.result("segment", job=str(write_job(tmp_path / "job", tmp_path / "wide", mirror=True)))
    # Half of it where the CPU computes in bfloat16.
    assert result["kept_mb"] > 20
    before = worker.wait(lambda event: event["event"] == "heartbeat" and event["id"] is None)["rss_mb"]
    forgotten = worker.result("forget")
    assert forgotten["forgotten"]
    assert before - forgotten["rss_mb"] > 0.8 * result["kept_mb"]
    assert not worker.result("forget")["forgotten"]
    assert worker.result("decode", job=str(tmp_path / "job"), subset="t1")["encoded"]


def test_doctor_and_models(worker: WorkerProcess) -> None:
    doctor = worker.result("doctor")
    assert doctor["usable"]
    assert doctor["problem"] is None
    assert doctor["torch"] == torch.__version__
    assert "threads in use" in doctor["devices"]["cpu"]
    assert {"Python", "torch", "embedded model"} <= {check["name"] for check in doctor["checks"]}
    models = worker.result("models")
    small = next(model for model in models["models"] if model["name"] == models["default"])
    assert small["embedded"]
    assert (Path(small["path"]) / "models/model.pt").is_file()
    assert set(small["dice"]) == {subset_name(subset) for subset in subsets_of()}


class TestRefusals:
    @pytest.mark.parametrize(
        ("line", "name"),
        [
            ("{", None),
            ("[1]", None),
            ("\xff\x00", None),
            ("[" * 100_000, None),
            ('{"do": "ping"}', None),
            ('{"id": true, "do": "ping"}', None),
            ('{"id": 1, "do": "fly"}', 1),
            ('{"id": 2, "do": null}', 2),
            ('{"id": 3, "do": "segment"}', 3),
            ('{"id": 4, "do": "segment", "job": ["x"]}', 4),
            ('{"id": 5, "do": "decode", "job": "JOB"}', 5),
            ('{"id": 6, "do": "compare", "job": "JOB", "subsets": "t1"}', 6),
            ('{"id": 7, "do": "compare", "job": "JOB", "subsets": []}', 7),
            ('{"id": 8, "do": "compare", "job": "JOB", "reference": 1}', 8),
        ],
    )
    def test_a_bad_line(self, worker: WorkerProcess, job: Path, line: str, name: object) -> None:
        worker.send_line(line.replace('"JOB"', json.dumps(str(job))))
        error = worker.wait(lambda event: event["event"] == "error")
        assert (error["code"], error["id"]) == ("REQUEST_INVALID", name)
        assert worker.result("ping")["busy"] is None

    def test_a_bad_job(self, worker: WorkerProcess, job: Path, tiny_model: Path, tmp_path: Path) -> None:
        assert worker.refusal("segment", job=str(tmp_path / "nowhere")) == "JOB_NOT_FOUND"
        outside = write_job(tmp_path / "outside", tiny_model, images={"t1": str(job / "t1.nrrd")})
        assert worker.refusal("segment", job=str(outside)) == "JOB_OUTSIDE"
        assert worker.refusal("compare", job=str(job), reference=str(outside / "seg.nrrd")) == "JOB_OUTSIDE"
        assert worker.refusal("decode", job=str(job), subset="t3") == "UNKNOWN_SEQUENCE"
        two = write_job(tmp_path / "two", tiny_model, sequences=(Sequence.T1, Sequence.T2))
        assert worker.refusal("decode", job=str(two), subset="t1+t1c") == "SEQUENCE_ABSENT"
        absent = write_job(tmp_path / "absent", tiny_model, images={"t1": "no.nrrd"})
        assert worker.refusal("segment", job=str(absent)) == "FILE_NOT_FOUND"
        model = write_job(tmp_path / "model", tmp_path / "no model")
        assert worker.refusal("segment", job=str(model)) == "MODEL_NOT_FOUND"
        device = write_job(tmp_path / "device", tiny_model, device="cuda:99")
        assert worker.refusal("segment", job=str(device)) == "NO_SUCH_DEVICE"
        assert worker.result("decode", job=str(job), subset="t1")["subset"] == "t1"

    def test_results_that_cannot_be_written(self, worker: WorkerProcess, tiny_model: Path, tmp_path: Path) -> None:
        blocked = write_job(tmp_path / "blocked", tiny_model)
        (blocked / "results").write_text("a file")
        assert worker.refusal("segment", job=str(blocked)) == "NOT_WRITABLE"
        (blocked / "results").unlink()
        (tmp_path / "elsewhere").mkdir()
        (blocked / "results").symlink_to(tmp_path / "elsewhere")
        assert worker.refusal("segment", job=str(blocked)) == "JOB_OUTSIDE"
        assert os.listdir(tmp_path / "elsewhere") == []


def test_what_a_killed_worker_left_half_written_is_removed(
    worker: WorkerProcess, tiny_model: Path, tmp_path: Path
) -> None:
    folder = write_job(tmp_path / "job", tiny_model)
    target = Path(worker.result("decode", job=str(folder), subset="t1")["files"]["report"]).parent
    (target.parent / ".writing-left").mkdir()
    (target.parent / ".writing-left" / "segmentation.nrrd").touch()
    (tmp_path / "elsewhere").mkdir()
    (target.parent / ".writing-link").symlink_to(tmp_path / "elsewhere")
    worker.result("decode", job=str(folder), subset="t1")
    assert sorted(os.listdir(target.parent)) == [".writing-link", "t1"]
    assert (tmp_path / "elsewhere").is_dir()


def test_encodings_that_are_too_large_are_not_kept(
    engine: Engine, job: Path, expected: dict[Subset, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.open(case_of(job)).encoded is not None
    monkeypatch.setattr("lckd.predictor.physical_bytes", lambda: 1024)
    opened = engine.open(case_of(job))
    assert opened.encoded is None
    two = [SEQUENCES, (Sequence.T2,)]
    for subset, result in zip(two, engine.results(opened, two), strict=True):
        assert np.array_equal(result.labels, expected[subset].labels)
