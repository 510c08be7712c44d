"""What only a real GPU can tell. It is not called test_…, so that nobody without one runs it: see README.md."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from phantoms import make_case, write_case

from lckd import Case
from lckd.device import place
from lckd.models import load_model
from lckd.network import LCKDNetwork
from lckd.predictor import MIN_WINDOW_VOXELS, Plan, Predictor
from lckd.prepare import PreparedCase, prepare
from lckd.resources import sample_case_dir
from lckd.sequences import SEQUENCES, Subset, subsets_of

CPU = torch.device("cpu")
Results = dict[Subset, np.ndarray]
#: Starts ``lckd`` with algorithms that give the same twice.
EXACTLY = "import sys, torch; torch.use_deterministic_algorithms(True); from lckd.cli import main; sys.exit(main())"
SMOKE = ["--preset", "smoke", "--set", "election=[b]"]


@pytest.fixture(scope="module")
def prepared(device: torch.device, tmp_path_factory: pytest.TempPathFactory) -> PreparedCase:
    """The sample case; a small made one where the checks themselves are tried on a CPU."""
    if device.type == "cpu":
        return prepare(Case.from_folder(write_case(tmp_path_factory.mktemp("made") / "case")))
    return prepare(Case.from_folder(sample_case_dir()))


@pytest.fixture
def network() -> LCKDNetwork:
    """The embedded model's."""
    return load_model().network


@pytest.fixture(scope="module")
def expected(prepared: PreparedCase) -> Results:
    """Probabilities of every subset, computed on the CPU in float32."""
    return Predictor(load_model().network, CPU, half=False).predict(prepared, subsets_of())


def agreement(found: np.ndarray, expected: np.ndarray) -> float:
    """The least Dice of the three regions; of masks that are nearly empty a few voxels do not count."""
    scores = [1.0]
    for one, other in zip(found > 0.5, expected > 0.5, strict=True):
        differing, total = np.count_nonzero(one != other), np.count_nonzero(one) + np.count_nonzero(other)
        scores.append(1.0 if differing < 50 else 1 - differing / total)
    return min(scores)


@pytest.mark.parametrize("window", ["whole", "divided", "features in main memory"])
def test_every_subset_is_that_of_the_cpu(
    device: torch.device, network: LCKDNetwork, prepared: PreparedCase, expected: Results, window: str
) -> None:
    predictor, reference = Predictor(network, device, half=False), expected
    if window == "divided":
        plain = Predictor(load_model().network, CPU, half=False)
        plain.plan = Plan(CPU, MIN_WINDOW_VOXELS)
        reference = plain.predict(prepared, [SEQUENCES])
        predictor.plan = Plan(device, MIN_WINDOW_VOXELS)
    elif window != "whole":
        predictor.plan = Plan(device, predictor.plan.window_voxels, offload=True)
    with torch.backends.cudnn.flags(allow_tf32=False):
        encoded = predictor.encode(prepared)
        for subset, probabilities in reference.items():
            found = predictor.decode(encoded, subset)
            assert np.abs(found - probabilities).max() < 5e-3, subset
            assert agreement(found, probabilities) > 0.999, subset
    assert predictor.plan.device == device


def test_half_precision_segments_the_same(
    device: torch.device, network: LCKDNetwork, prepared: PreparedCase, expected: Results
) -> None:
    found = Predictor(network, device).predict(prepared, subsets_of())
    for subset, probabilities in expected.items():
        assert agreement(found[subset], probabilities) > 0.98, subset


@contextlib.contextmanager
def little_memory(device: torch.device, network: LCKDNetwork) -> Iterator[None]:
    """200 MB besides the network's weights, too little for the whole case; a CPU is pretended to be full once."""
    if device.type == "cpu":
        encode, full = network.encoder.forward, [MemoryError()]

        def encode_or_fail(image: torch.Tensor) -> list[torch.Tensor]:
            if full:
                raise full.pop()
            return encode(image)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(network.encoder, "forward", encode_or_fail)
            yield
        return
    place(network, device)
    torch.cuda.empty_cache()
    allowed = torch.cuda.memory_reserved(device) + 200 * 2**20
    torch.cuda.set_per_process_memory_fraction(allowed / torch.cuda.mem_get_info(device)[1], device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def test_memory_that_runs_out_costs_time_and_little_else(
    device: torch.device, network: LCKDNetwork, prepared: PreparedCase, expected: Results
) -> None:
    warnings: list[str] = []
    predictor = Predictor(network, device, half=False, warn=warnings.append)
    with little_memory(device, network):
        found = predictor.predict(prepared, [SEQUENCES])[SEQUENCES]
    assert warnings, "the memory sufficed: allow less"
    assert predictor.plan.device == device, "smaller windows should have sufficed"
    assert agreement(found, expected[SEQUENCES]) > 0.95, "windows change what instance norm sees"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for seed, name in enumerate("abc"):
        write_case(root / name, make_case(seed))
    return root


@pytest.fixture
def start(
    data: Path, device: torch.device, tmp_path: Path, subprocess_environment: dict[str, str]
) -> Callable[..., subprocess.Popen[str]]:
    """Starts a training in a process of its own."""
    environment = subprocess_environment | {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}

    def begin(run: str, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", EXACTLY, "train", "--data", str(data), *SMOKE, "--device", str(device)]
        command += ["-o", str(tmp_path / run), *options]
        return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    return begin


def ended_well(process: subprocess.Popen[str]) -> None:
    _, said = process.communicate(timeout=1200)
    assert process.returncode == 0, said


def steps(run: Path) -> dict[int, dict[str, Any]]:
    """The steps by iteration; what was done again after a resumption counts."""
    file = run / "events.jsonl"
    events = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return {event["iteration"]: event for event in events if event["event"] == "step"}


def losses(run: Path) -> list[tuple[int, float, float]]:
    return [(number, event["loss"], event["loss_ckd"]) for number, event in steps(run).items()]


def test_a_killed_training_goes_on_exactly_while_another_runs(start: Any, tmp_path: Path) -> None:
    longer = ("--set", "iterations=24")
    whole, killed = start("whole", *longer), start("killed", *longer)
    while len(steps(tmp_path / "killed")) < 8:  # a checkpoint is written every 5 iterations
        assert killed.poll() is None, killed.communicate()[1]
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert len(steps(tmp_path / "killed")) < 24, "it was killed too late"
    ended_well(start("killed", "--resume", *longer))
    ended_well(whole)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == 24


def test_training_in_half_precision_begins_as_in_float32(start: Any, device: torch.device, tmp_path: Path) -> None:
    types = ["float32"]
    if device.type == "cuda":
        types += ["float16", *(["bfloat16"] if torch.cuda.get_device_capability(device) >= (8, 0) else [])]
    for name in types:
        ended_well(start(name, "--set", f"precision={name}", "--set", "warmup_iterations=0"))
        found, expected = (np.array(losses(tmp_path / run))[:, 1] for run in (name, "float32"))
        assert np.isfinite(found).all()
        assert np.allclose(found[:3], expected[:3], rtol=0.02), name


def test_the_estimate_of_memory_is_what_a_training_takes(
    start: Any, data: Path, device: torch.device, tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "lckd", "train", "estimate", "--data", str(data), *SMOKE, "--json"]
    command += ["--device", str(device)]
    done = subprocess.run(command, env=subprocess_environment, check=True, stdout=subprocess.PIPE, text=True)
    estimated = json.loads(done.stdout.splitlines()[-1])["memory_mb"]
    ended_well(start("run"))
    taken = max(event["memory_mb"] for event in steps(tmp_path / "run").values())
    assert estimated == pytest.approx(taken, rel=0.1 if device.type == "cuda" else 0.5)


def test_doctor_and_the_report_name_the_device(
    device: torch.device, data: Path, tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    lckd = [sys.executable, "-m", "lckd"]
    told = subprocess.run([*lckd, "doctor"], env=subprocess_environment, stdout=subprocess.PIPE, text=True, check=True)
    # Of a CPU it may also warn that not all threads are in use.
    assert (" CPU: " if device.type == "cpu" else f"ok    cuda:{device.index or 0}: ") in told.stdout
    command = [*lckd, "segment", str(data / "a"), "-o", str(tmp_path / "out"), "--device", str(device)]
    subprocess.run(command, env=subprocess_environment, check=True, stdout=subprocess.DEVNULL)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["device"].startswith(str(device))
    if device.type == "cuda":
        assert 0 < report["peak_gpu_memory_mb"] < 8000
        assert report["warnings"] == [], "no memory ran out"
