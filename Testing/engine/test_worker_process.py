"""The worker as a process: cancelling, dying, and libraries that print, crash or are missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from phantoms import make_case, write_tiny_model
from worker_process import PATIENCE, WorkerProcess, write_job

#: Within this time, in seconds, nothing may be left.
AT_ONCE = 3.0

#: A worker in which preparing a case prints everywhere, starts a child, or goes wrong, as the case's name says.
PLAYED = """
import ctypes, os, subprocess, sys
import lckd.engine
from lckd.worker.service import main

prepare = lckd.engine.prepare

def played(case):
    if case.name == "noise":
        print("a print")
        sys.stdout.write("a write")
        os.write(1, b"a write to the descriptor")
        ctypes.CDLL(None).puts(b"a line of C")
        subprocess.run(["echo", "a child"])
        assert sys.stdin.read() == ""
    if case.name == "child":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print("child", child.pid, file=sys.stderr, flush=True)
    if case.name == "bug":
        raise ZeroDivisionError("one\\ntwo")
    if case.name == "memory":
        raise MemoryError
    if case.name == "missing":
        import no_such_package
    return prepare(case)

lckd.engine.prepare = played
main()
"""


@pytest.fixture(scope="module")
def slow_job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job of so many windows and mirrorings that it takes minutes."""
    folder = tmp_path_factory.mktemp("slow")
    model = write_tiny_model(folder / "model", window_voxels=16**3)
    return write_job(folder / "job", model, make_case(spacing=(3.0, 3.0, 3.0)), mirror=True, case="child")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> str:
    script = tmp_path_factory.mktemp("script") / "played.py"
    script.write_text(PLAYED)
    return str(script)


def encoding(worker: WorkerProcess) -> None:
    """Wait until the network has begun."""
    worker.wait(lambda event: event["event"] == "stage" and event["stage"] == "network")
    worker.wait(lambda event: event["event"] == "progress")


def child_of(worker: WorkerProcess) -> int:
    return int(worker.log.decode().split("child ")[1].split()[0])


def wait_until_gone(*processes: int) -> None:
    until = time.monotonic() + AT_ONCE
    while any(is_running(process) for process in processes):
        assert time.monotonic() < until, "still there"
        time.sleep(0.02)


def is_running(process: int) -> bool:
    """Whether a process lives; one that ended but was not yet waited for does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_cancelling(subprocess_environment: dict[str, str], slow_job: Path, tiny_model: Path, tmp_path: Path) -> None:
    quick = write_job(tmp_path / "quick", tiny_model)
    with WorkerProcess(subprocess_environment) as worker:
        slow = worker.send("segment", job=str(slow_job))
        waiting = worker.send("segment", job=str(quick))
        encoding(worker)
        assert worker.result("ping")["busy"] == slow
        assert worker.wait(lambda event: event["event"] == "heartbeat" and event["id"] == slow)["rss_mb"] > 50
        twice = f'{{"id": "{waiting}", "do": "segment", "job": "x"}}'
        worker.send_line(twice)
        assert worker.wait(lambda event: event["event"] == "error")["code"] == "REQUEST_INVALID"
        # What only waits is gone at once; what is under way ends with its window.
        found = worker.send("cancel", target=waiting)
        assert worker.wait(lambda event: event["event"] == "cancelled")["id"] == waiting
        assert worker.wait(lambda event: event["id"] == found)["found"]
        before = worker.events_of({"id": slow}, "progress")[-1]["fraction"]
        worker.send("cancel", target=slow)
        ended = worker.wait(lambda event: event["id"] == slow and event["event"] in ("cancelled", "result", "error"))
        assert ended["event"] == "cancelled"
        assert worker.events_of(ended, "progress")[-1]["fraction"] < before + 0.1 < 0.9
        assert not (slow_job / "results").exists()
        for target in (slow, waiting, "never heard of", None, [1]):
            assert not worker.result("cancel", target=target)["found"]
        assert worker.result("decode", job=str(quick), subset="t1")["encoded"]
        # It quits whatever it does.
        worker.send("segment", job=str(slow_job))
        encoding(worker)
        worker.send("quit")
        assert worker.process.wait(timeout=PATIENCE) == 0


def test_a_closed_stdin_ends_it_with_its_children(
    subprocess_environment: dict[str, str], slow_job: Path, played: str
) -> None:
    with WorkerProcess(subprocess_environment, played) as worker:
        worker.send("segment", job=str(slow_job))
        encoding(worker)
        child = child_of(worker)
        assert is_running(child)
        worker.process.stdin.close()
        wait_until_gone(worker.process.pid, child)
        assert worker.process.wait() == 0


def test_a_killed_parent_takes_it_along(
    subprocess_environment: dict[str, str], slow_job: Path, played: str, tmp_path: Path
) -> None:
    """The worker's stdin stays open: somebody else than the parent holds its other end."""
    os.mkfifo(tmp_path / "requests")
    start = (
        "import os, subprocess, sys, time\n"
        f"stdin = open({str(tmp_path / 'requests')!r}, 'rb')\n"
        f"worker = subprocess.Popen([sys.executable, {played!r}, '--parent', str(os.getpid())], stdin=stdin)\n"
        "time.sleep(600)\n"
    )
    with WorkerProcess(subprocess_environment, "-c", start) as parent, open(tmp_path / "requests", "wb") as requests:
        worker = parent.wait(lambda event: event["event"] == "hello")["pid"]
        requests.write(f'{{"id": 1, "do": "segment", "job": "{slow_job}"}}\n'.encode())
        requests.flush()
        encoding(parent)
        child = child_of(parent)
        assert worker != parent.process.pid
        assert is_running(worker)
        assert is_running(child)
        os.kill(parent.process.pid, signal.SIGKILL)
        wait_until_gone(worker, child)


@pytest.mark.parametrize("how", ["killed", "closed", "lives"])
def test_images_are_not_left_behind_a_parent_that_crashed(
    subprocess_environment: dict[str, str], tiny_model: Path, tmp_path: Path, how: str
) -> None:
    """Whether its death is seen first, or that stdin is closed; only its own folders go, and only after its death."""
    os.mkfifo(tmp_path / "requests")
    start = (
        "import os, subprocess, sys, time\n"
        f"stdin = open({str(tmp_path / 'requests')!r}, 'rb')\n"
        "command = [sys.executable, '-m', 'lckd.worker', '--parent', str(os.getpid())]\n"
        "worker = subprocess.Popen(command, stdin=stdin)\n"
        "time.sleep(600)\n"
    )
    with WorkerProcess(subprocess_environment, "-c", start) as parent, open(tmp_path / "requests", "wb") as requests:
        worker = parent.wait(lambda event: event["event"] == "hello")["pid"]
        own, other = (tmp_path / f"lckd-case-{name}-abc" for name in (parent.process.pid, os.getpid()))
        for folder in (own, other):
            job = str(write_job(folder, tiny_model, case="case"))
            requests.write(f'{{"id": "{folder.name}", "do": "decode", "subset": "adc", "job": "{job}"}}\n'.encode())
            requests.flush()
            parent.wait(lambda event, name=folder.name: event["id"] == name and event["event"] == "error")
        if how != "lives":
            os.kill(parent.process.pid, signal.SIGKILL)
        if how != "killed":
            requests.close()
        wait_until_gone(worker)
        assert own.exists() == (how == "lives")
        assert (other / "job.json").is_file()


def test_a_parent_that_is_gone_already(subprocess_environment: dict[str, str]) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with WorkerProcess(subprocess_environment, "-m", "lckd.worker", "--parent", str(gone.pid)) as worker:
        assert worker.process.wait(timeout=PATIENCE) == 0


def test_libraries_that_misbehave(
    subprocess_environment: dict[str, str], played: str, tiny_model: Path, tmp_path: Path
) -> None:
    def job(name: str) -> str:
        return str(write_job(tmp_path / name, tiny_model, case=name))

    with WorkerProcess(subprocess_environment, played) as worker:
        # Every line of stdout is an event: the reader of events parses each of them.
        assert worker.result("segment", job=job("noise"))["subset"] == "flair+t1+t1c+t2"
        worker.result("forget")
        assert worker.refusal("segment", job=job("bug")) == "BUG"
        assert "(ZeroDivisionError: one)" in worker.events[-1]["message"]
        assert worker.refusal("segment", job=job("memory")) == "OUT_OF_MEMORY"
        assert worker.refusal("segment", job=job("missing")) == "PACKAGE_MISSING"
        assert "no_such_package" in worker.events[-1]["message"]
        assert worker.result("segment", job=job("well"))["encoded"]
        assert worker.finish() == 0
    log = worker.log.decode()
    for said in ("a print", "a write", "a write to the descriptor", "a line of C", "a child"):
        assert said in log
    assert "Traceback" in log
    assert "ZeroDivisionError: one\ntwo" in log


def test_without_a_working_torch(subprocess_environment: dict[str, str], tiny_model: Path, tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", tiny_model)
    for content, code in (
        ("raise ModuleNotFoundError('No module named torch', name='torch')", "PACKAGE_MISSING"),
        ("raise ImportError('undefined symbol', name='torch._C')", "PACKAGE_BROKEN"),
        ("raise OSError('[WinError 126]')", "PACKAGE_BROKEN"),
    ):
        folder = tmp_path / code
        folder.mkdir(exist_ok=True)
        (folder / "torch.py").write_text(content)
        path = os.pathsep.join([str(folder), subprocess_environment["PYTHONPATH"]])
        changed = subprocess_environment | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        with WorkerProcess(changed) as worker:
            assert worker.refusal("segment", job=str(job)) == code
            assert "torch" in worker.events[-1]["message"]
            assert worker.result("models")["models"]
            doctor = worker.result("doctor")
            assert not doctor["usable"]
            assert "torch" in doctor["problem"]["message"]
