"""The client of the worker against real child processes that do everything a worker can do."""

import json
import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer

from lckd.errors import CancelledError, LckdError, ModelError
from LCKDSegmentationLib import WorkerClient as module
from LCKDSegmentationLib.WorkerClient import RequestState, WorkerClient
from LCKDSegmentationLib.WorkerProcess import WorkerProcess, _Lines, killProcessTree, workerCommand, workerEnvironment

FAKE = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]
MakeClient = Callable[..., WorkerClient]


def is_alive(process: int) -> bool:
    """Whether a process runs; one that ended and is not yet fetched by its parent does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def make_client() -> Iterator[MakeClient]:
    made: list[WorkerClient] = []

    def make(*arguments: str, **options: Any) -> WorkerClient:
        made.append(WorkerClient(lambda: [*FAKE, *arguments], **options))
        return made[-1]

    yield make
    for client in made:
        client.shutdown()


@pytest.fixture
def client(make_client: MakeClient) -> WorkerClient:
    return make_client("--launch")


def failure_of(client: WorkerClient, job: str) -> LckdError:
    with pytest.raises(LckdError) as caught:
        client.waitFor(client.request("segment", job=job), 60)
    return caught.value


def test_events_come_in_order_and_the_result_at_the_end(client: WorkerClient) -> None:
    told: list[Any] = []
    request = client.request(
        "segment", lambda event: told.append(event["event"]), lambda request: told.append(request.state), job="steps"
    )
    assert told == []
    assert not client.isRunning
    assert client.waitFor(request, 60)["pid"] > 0
    assert told[:2] == ["stage", "progress"]
    assert told.count(RequestState.DONE) == 1
    assert told[-1] is RequestState.DONE


def test_one_process_serves_all_requests(client: WorkerClient) -> None:
    requests = [client.request("segment", job="pid") for _ in range(3)]
    assert len({client.waitFor(request, 60)["pid"] for request in requests}) == 1


def test_a_refusal_is_typed_and_the_worker_lives_on(client: WorkerClient) -> None:
    before = client.waitFor(client.request("segment", job="pid"), 60)["pid"]
    error = failure_of(client, "refuse")
    assert (error.code, error.message, error.action) == ("NO_SEQUENCE", "There is no image.", "Choose one.")
    assert client.waitFor(client.request("segment", job="pid"), 60)["pid"] == before


@pytest.mark.parametrize("arguments", [(), ("--launch",)])
def test_a_crash_is_told_with_its_reason_and_the_next_request_starts_a_worker(
    make_client: MakeClient, arguments: tuple[str, ...]
) -> None:
    client = make_client(*arguments)
    before = client.waitFor(client.request("segment", job="pid"), 60)["pid"]
    error = failure_of(client, "crash")
    assert error.code == "WORKER_ENDED"
    assert "crashed" in error.message
    assert error.message.endswith("; it hurts.")
    assert "abnormally" not in error.message
    assert not client.isRunning
    assert client.waitFor(client.request("segment", job="pid"), 60)["pid"] != before


def test_an_exit_is_told_with_its_code_and_what_was_printed(client: WorkerClient) -> None:
    error = failure_of(client, "exit")
    assert error.code == "WORKER_ENDED"
    assert "exit code 3" in error.message
    assert "Tumör ≠ CSF" in error.message
    assert client.log[-1] == "Tumör ≠ CSF"


def test_a_program_that_does_not_exist() -> None:
    client = WorkerClient(lambda: ["/no/such/PythonSlicer"])
    assert failure_of(client, "pid").code == "WORKER_NOT_STARTED"
    assert not client.isRunning


def test_a_command_that_cannot_be_made() -> None:
    def refuse() -> list[str]:
        raise ModelError("PYTHON_NOT_FOUND", "No Python.", "Install.")

    assert failure_of(WorkerClient(refuse), "pid").code == "PYTHON_NOT_FOUND"


def test_garbage_is_kept_for_the_log(client: WorkerClient) -> None:
    assert client.waitFor(client.request("segment", job="garbage"), 60) == {"fine": True}
    assert list(client.log)[:2] == ["loading...", '{"event":']
    assert len(client.log) == 5


def test_characters_split_between_reads_arrive_whole(client: WorkerClient) -> None:
    assert client.waitFor(client.request("segment", job="bytes"), 60)["text"] == "é≠😀"


def test_progress_bars_and_endless_lines_are_cut(client: WorkerClient) -> None:
    assert client.waitFor(client.request("segment", job="bars"), 60) == {"fine": True}
    deadline = time.monotonic() + 60
    while "afterwards" not in client.log and time.monotonic() < deadline:
        slicer.app.processEvents()
    assert list(client.log)[:2] == ["step 0", "step 1"]
    assert client.log[-1] == "afterwards"
    assert max(map(len, client.log)) <= 8192


def test_a_line_that_does_not_end_is_not_hoarded() -> None:
    lines = _Lines(10)
    for _each in range(5):
        lines.add(b"x" * 8)
    assert b"".join(lines.taken()) == b"x" * 32
    assert lines.rest() == b"x" * 8
    assert lines.rest() == b""


def test_a_worker_without_a_sign_of_life_is_killed(make_client: MakeClient) -> None:
    client = make_client("--launch", silenceSeconds=2)
    process = client.waitFor(client.request("segment", job="pid"), 60)["pid"]
    assert failure_of(client, "dead").code == "WORKER_HANGS"
    assert not is_alive(process)


def test_an_event_loop_that_stands_still_is_no_silence(make_client: MakeClient) -> None:
    client = make_client(silenceSeconds=2)
    request = client.request("segment", onEvent=lambda _event: None, job="steps")
    deadline = time.monotonic() + 60
    while not client.isRunning and time.monotonic() < deadline:
        slicer.app.processEvents()
    time.sleep(3.5)
    assert client.waitFor(request, 60)["pid"] > 0


def test_a_worker_that_obeys_is_not_killed(client: WorkerClient) -> None:
    process = client.waitFor(client.request("segment", job="pid"), 60)["pid"]
    finished: list[RequestState] = []
    request = client.request(
        "segment", lambda _event: request.cancel(), lambda request: finished.append(request.state), job="steps"
    )
    with pytest.raises(CancelledError):
        client.waitFor(request, 60)
    assert finished == [RequestState.CANCELLED]
    assert client.waitFor(client.request("segment", job="pid"), 60)["pid"] == process


def test_a_deaf_worker_is_killed_with_its_children_and_other_requests_are_done_again(
    client: WorkerClient, wait_until: Callable[..., None]
) -> None:
    process = client.waitFor(client.request("segment", job="pid"), 60)["pid"]
    stages: list[str] = []
    request = client.request("segment", lambda event: stages.append(event.get("stage", "")), job="children")
    other = client.request("segment", job="pid")
    wait_until(lambda: "network" in stages, 60)
    started = time.monotonic()
    request.cancel()
    wait_until(lambda: request.isFinished, 60)
    assert request.state is RequestState.CANCELLED
    assert 1.5 < time.monotonic() - started < 20
    wait_until(lambda: not is_alive(process) and not is_alive(int(stages[0])))
    assert client.waitFor(other, 60)["pid"] != process


def test_cancelling_what_waits_is_done_at_once_and_leaves_what_runs_alone(client: WorkerClient) -> None:
    states: list[RequestState] = []

    def cancelOther(_event: dict[str, Any]) -> None:
        waiting.cancel()
        states.append(waiting.state)

    running = client.request("segment", onEvent=cancelOther, job="steps")
    waiting = client.request("segment", job="refuse")
    assert client.waitFor(running, 60)["pid"] > 0
    assert set(states) == {RequestState.CANCELLED}


def test_a_process_that_never_ran_is_not_waited_for() -> None:
    ended: list[LckdError] = []
    process = WorkerProcess(FAKE, deque(), lambda _event: None, ended.append)
    process.kill()
    process.kill()
    assert [error.code for error in ended] == ["WORKER_ENDED"]


def test_cancelling_before_anything_was_sent_starts_nothing(client: WorkerClient) -> None:
    finished: list[RequestState] = []
    request = client.request("segment", onFinished=lambda request: finished.append(request.state), job="pid")
    request.cancel()
    request.cancel()
    slicer.app.processEvents()
    assert finished == [RequestState.CANCELLED]
    assert not client.isRunning


@pytest.mark.parametrize("job", ["pid", "children"])
def test_shutdown_leaves_nothing_behind(client: WorkerClient, wait_until: Callable[..., None], job: str) -> None:
    process = client.waitFor(client.request("segment", job="pid"), 60)["pid"]
    stages: list[str] = []
    finished: list[RequestState] = []
    client.request(
        "segment",
        lambda event: stages.append(event.get("stage", "")),
        lambda request: finished.append(request.state),
        job=job,
    )
    wait_until(lambda: finished or "network" in stages, 60)
    client.shutdown()
    client.shutdown()
    assert not client.isRunning
    assert finished == [RequestState.DONE if job == "pid" else RequestState.CANCELLED]
    wait_until(lambda: not is_alive(process) and not any(is_alive(int(pid)) for pid in stages[:1]))
    assert client.waitFor(client.request("segment", job="pid"), 60)["pid"] != process


def test_waiting_has_a_limit(client: WorkerClient) -> None:
    with pytest.raises(CancelledError):
        client.waitFor(client.request("segment", job="deaf"), 0.5)


def test_an_error_in_a_receiver_loses_no_event(client: WorkerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, *_: seen.append(kind))

    def fail(event: dict[str, Any]) -> None:
        if event["event"] == "stage":
            raise ZeroDivisionError

    assert client.waitFor(client.request("segment", fail, job="steps"), 60)["pid"] > 0
    assert seen == [ZeroDivisionError]


def test_the_environment_of_the_worker_is_not_that_of_the_application(client: WorkerClient) -> None:
    before = dict(os.environ)
    environment = client.waitFor(client.request("segment", job="pid"), 60)["environment"]
    engine, trainer, *others = environment["PYTHONPATH"].split(os.pathsep)
    assert (Path(engine) / "lckd" / "worker").is_dir()
    assert (Path(trainer) / "lckd_training").is_dir()
    assert others == [folder for folder in before.get("PYTHONPATH", "").split(os.pathsep) if folder]
    assert environment["PYTHONUNBUFFERED"] == environment["PYTHONSAFEPATH"] == "1"
    assert environment["PYTHONIOENCODING"] == "utf-8"
    assert dict(os.environ) == before
    assert workerEnvironment().value("PATH") == before["PATH"]


def test_the_command_is_that_of_slicers_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "PythonSlicer"
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert workerCommand() == [str(python), "-m", "lckd.worker", "--parent", str(os.getpid())]
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LckdError) as caught:
        workerCommand()
    assert caught.value.code == "PYTHON_NOT_FOUND"
    monkeypatch.setattr(sys, "executable", str(python))
    assert workerCommand()[0] == str(python)


def test_there_is_one_client_a_session_and_it_ends_with_the_application(
    app: Any, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    monkeypatch.setattr(module, "_shared", None)
    client = module.sharedWorkerClient()
    assert module.sharedWorkerClient() is client
    client._command = lambda: FAKE
    process = client.waitFor(client.request("segment", job="pid"), 60)["pid"]
    app.aboutToQuit.emit()
    wait_until(lambda: not is_alive(process))
    client.waitFor(client.request("segment", job="pid"), 60)
    module.shutdownSharedWorkerClient()
    assert not client.isRunning
    app.disconnect("aboutToQuit()", client.shutdown)


def test_killing_what_has_ended_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    killProcessTree(0)
    killProcessTree(2**22 + 1)

    def deny(*_arguments: int) -> None:
        raise PermissionError

    # As on macOS.
    monkeypatch.setattr(os, "kill", deny)
    monkeypatch.setattr(os, "killpg", deny)
    killProcessTree(os.getpgrp(), os.getpgrp())


@pytest.fixture
def real_client(case_folder: Path, tiny_model: Path, tmp_path: Path) -> Iterator[WorkerClient]:
    images = {name: f"{name}.nii.gz" for name in ("flair", "t1c")}
    for file in images.values():
        shutil.copy(case_folder / file, tmp_path)
    job = {"images": images, "model": str(tiny_model), "device": "cpu", "threads": 1}
    (tmp_path / "job.json").write_text(json.dumps(job), encoding="utf-8")
    client = WorkerClient(lambda: [sys.executable, "-m", "lckd.worker", "--parent", str(os.getpid())])
    yield client
    client.shutdown()


def test_the_real_worker_segments_decodes_refuses_and_is_cancelled(real_client: WorkerClient, tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    result = real_client.waitFor(real_client.request("segment", told.append, job=str(tmp_path)), 300)
    assert result["subset"] == "flair+t1c"
    assert Path(result["files"]["segmentation"]).is_file()
    assert {"stage", "progress"} <= {event["event"] for event in told}
    decoded = real_client.waitFor(real_client.request("decode", job=str(tmp_path), subset="flair"), 60)
    assert (decoded["subset"], decoded["encoded"]) == ("flair", False)
    with pytest.raises(LckdError) as caught:
        real_client.waitFor(real_client.request("segment", job=str(tmp_path / "nowhere")), 60)
    assert caught.value.code == "JOB_NOT_FOUND"
    request = real_client.request("compare", lambda _event: request.cancel(), job=str(tmp_path))
    with pytest.raises(CancelledError):
        real_client.waitFor(request, 60)
    assert real_client.waitFor(real_client.request("ping"), 60) == {"busy": None}
