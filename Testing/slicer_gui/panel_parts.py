"""What the tests of the panel share: a worker that does what the test says, dialogs that answer, volumes, a panel."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from lckd.errors import LckdError
from LCKDSegmentationLib.WorkerClient import WorkerClient


class FakeClient:
    """Takes requests; the test says what becomes of them."""

    def __init__(self) -> None:
        self.requests: list[FakeRequest] = []
        self.isRunning = self.isBusy = False
        self.shutdowns = 0

    @property
    def last(self) -> FakeRequest:
        return self.requests[-1]

    def request(
        self,
        do: str,
        onEvent: Callable[[dict[str, Any]], None] | None = None,
        onFinished: Callable[[Any], None] | None = None,
        **fields: Any,
    ) -> FakeRequest:
        self.isRunning = True
        self.requests.append(FakeRequest(do, fields, onEvent, onFinished))
        return self.last

    def shutdown(self) -> None:
        self.isRunning = False
        self.shutdowns += 1


@dataclass
class FakeRequest:
    do: str
    fields: dict[str, Any]
    onEvent: Callable[[dict[str, Any]], None] | None
    onFinished: Callable[[Any], None] | None
    result: dict[str, Any] | None = None
    error: LckdError | None = None
    isCancelled: bool = False

    def cancel(self) -> None:
        self.isCancelled = True

    def tell(self, event: str, **facts: Any) -> None:
        self.onEvent({"event": event, **facts})

    def end(self, result: dict[str, Any] | None = None, error: LckdError | None = None) -> None:
        self.result, self.error = result, error
        self.onFinished(self)


@dataclass
class FakeDialogs:
    """Answers with what the test has put there, and remembers what it was asked."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def _answer(self, kind: str, default: Any = "") -> Any:
        self.asked.append(kind)
        answer = self.answers.get(kind, default)
        return answer.pop(0) if isinstance(answer, list) else answer

    def folder(self, title: str) -> str:
        return self._answer("folder")

    def file(self, title: str, filter: str) -> str:
        return self._answer("file")

    def saveFile(self, title: str, filter: str, suffix: str) -> str:
        return self._answer("saveFile")

    def text(self, title: str, label: str) -> str:
        return self._answer("text")

    def confirm(self, text: str) -> bool:
        return self._answer("confirm", False)

    def openFolder(self, folder: Path) -> None:
        self.asked.append(f"openFolder {folder.name}")


class FakeRequirements:
    """All is there, unless the test says otherwise."""

    def __init__(self) -> None:
        self.absent: list[str] = []
        self.refusal: LckdError | None = None

    def missing(self) -> list[str]:
        return self.absent

    def ensure(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.absent = []


def real_client() -> WorkerClient:
    """The real worker, in this Python."""
    return WorkerClient(lambda: [sys.executable, "-m", "lckd.worker", "--parent", str(os.getpid())])


def small_volume(scene: Any, name: str, size: tuple[int, int, int] = (6, 5, 4)) -> Any:
    """A volume of a few voxels, `size` in (i, j, k)."""
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    array = np.arange(np.prod(size), dtype=np.int16).reshape(size[::-1])
    slicer.util.updateVolumeFromArray(volume, array)
    volume.CreateDefaultDisplayNodes()
    return volume


def read_volume(scene: Any, file: Path, name: str) -> Any:
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(file))
    assert storage.ReadData(volume)
    volume.CreateDefaultDisplayNodes()
    return volume


def make_python_slicer(folder: Path) -> Path:
    """A program called PythonSlicer, as Slicer puts it on its PATH, that is this Python."""
    program = folder / "PythonSlicer"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return program
