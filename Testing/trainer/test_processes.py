"""Several processes that train together: as one with all their batches, and ending together, however they end."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from run_parts import SMOKE, command, events, losses, wait_for_steps, weights, write_three_cases

from lckd_training.run.folder import RunFolder
from lckd_training.run.train import train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_three_cases(tmp_path_factory.mktemp("data"))


@pytest.mark.skipif(os.name == "nt", reason="torchrun on Windows lacks gloo's libuv in some builds")
def test_two_processes_train_as_one_with_the_doubled_batch(
    data: Path, tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    settings = ["missing_per=sample", "iterations=3", "optimizer=sgd", "momentum=0.5", "deep_supervision=0.5"]
    config = SMOKE.overridden([*settings, "subsets_per_step=2", "accumulate=1", "pretraining_iterations=1"])
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    words = [*torchrun, *command(data, tmp_path / "two", config)]
    subprocess.run(words, check=True, env=subprocess_environment, timeout=200, stdout=subprocess.DEVNULL)
    train(data, config.overridden(["batch=2", "accumulate=2"]), tmp_path / "one")
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert {k: pytest.approx(v, rel=1e-4) for k, v in one.items()} == two
    assert torch.allclose(weights(tmp_path / "one"), weights(tmp_path / "two"), atol=1e-5)
    assert len(events(tmp_path / "two", "step")) == 3, "one process writes"


def begun_by_two(data: Path, run: Path, environment: dict[str, str], *settings: str) -> subprocess.Popen[str]:
    """A training of two processes, each of which trains on one case of `data`."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    words = [*torchrun, *command(data, run, SMOKE.overridden(settings)), "--device", "cpu"]
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGTERM for another process")
def test_several_processes_end_after_their_iteration_where_torchrun_is_told_to_end(
    data: Path, tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    """As where a job's time on a cluster ends: each process gets the signal, and none may leave the others."""
    run = tmp_path / "run"
    process = begun_by_two(data, run, subprocess_environment, "iterations=5000", "checkpoint_interval=5000")
    wait_for_steps(run, process, 2)
    process.terminate()
    process.communicate(timeout=60)
    (end,) = events(run, "end")
    assert end["reason"] == "interrupted", end
    state = RunFolder(run).load_checkpoint()
    assert state is not None
    assert state["iteration"] == len(losses(run))


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_process_that_is_gone_ends_the_others(
    data: Path, tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    run = tmp_path / "run"
    process = begun_by_two(data, run, subprocess_environment, "iterations=5000")
    wait_for_steps(run, process, 2)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout
    (first,) = (event["pid"] for event in events(run, "start"))
    (other,) = (int(pid) for pid in children.split() if int(pid) != first)
    os.kill(other, signal.SIGKILL)
    _, words = process.communicate(timeout=60)
    assert "mistake in the program" not in words
    (end,) = events(run, "end")
    assert (end["reason"], end["code"]) == ("failed", "PROCESS_LOST")


@pytest.mark.skipif(os.name == "nt", reason="torchrun on Windows lacks gloo's libuv in some builds")
def test_what_one_process_cannot_prepare_all_refuse(
    data: Path, tmp_path: Path, subprocess_environment: dict[str, str]
) -> None:
    cases, run = tmp_path / "cases", tmp_path / "run"
    shutil.copytree(data, cases)
    (damaged,) = (cases / "c").glob("*t1c*")
    damaged.write_bytes(damaged.read_bytes()[:3000])
    _, words = begun_by_two(cases, run, subprocess_environment).communicate(timeout=200)
    assert "mistake in the program" not in words
    (end,) = events(run, "end")
    assert (end["reason"], end["code"]) == ("failed", "UNREADABLE")
    assert end["message"].startswith("c: ")
