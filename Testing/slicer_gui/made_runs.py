"""Run folders as a training leaves them, made without one."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from LCKDTrainingLib.TrainingProcess import Launch


def write_run(folder: Path, *events: dict[str, Any], launch: Launch | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    if launch is not None:
        launch.write(folder)
    return folder


def append(folder: Path, *events: dict[str, Any]) -> None:
    with (folder / "events.jsonl").open("a") as stream:
        stream.writelines(json.dumps(event) + "\n" for event in events)


def start_event(pid: int | None = None, iterations: int = 10, when: float | None = None) -> dict[str, Any]:
    where = {"device": "cpu", "processes": 1, "pid": pid or os.getpid(), "host": platform.node()}
    return {"event": "start", "iteration": 0, "iterations": iterations, "time": when or time.time(), **where}


def step_event(iteration: int, when: float | None = None) -> dict[str, Any]:
    losses = {"loss": 1.5, "loss_task": 1.0, "loss_ckd": 5.0, "lr": 0.001}
    facts = {"present": ["flair"], "seconds": 0.1, "seconds_data": 0.0, "memory_mb": 100.0, "time": when or time.time()}
    return {"event": "step", "iteration": iteration, **losses, **facts}


def gone_process() -> int:
    """The number of a process that has ended."""
    done = subprocess.Popen(["true"])
    done.wait()
    return done.pid
