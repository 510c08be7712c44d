"""The folder of a training run: configuration, split, events, checkpoints; each file whole or not there at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch

from lckd.errors import InputError
from lckd.images import not_writable, writing
from lckd.locking import hold


class RunFolder:
    """Names and formats of a run's files.

    Attributes:
        config: every setting.
        split: which case is for what.
        provenance: what made the run: program, packages, device, data.
        events: what happens, one JSON object a line.
        stop: while this file is there, a training stops after its iteration.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.split = path / "split.json"
        self.provenance = path / "provenance.json"
        self.events = path / "events.jsonl"
        self.checkpoints = path / "checkpoints"
        self.best = self.checkpoints / "best.pt"
        self.stop = path / "stop"

    @property
    def is_run(self) -> bool:
        """Whether a training has written its settings here."""
        return self.config.is_file() and self.events.is_file()

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to go on from."""
        return bool(self._saved())

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other trainings out of the folder within the block.

        An old request to stop is forgotten, and half a checkpoint of a training that was killed is removed.

        Raises:
            InputError: another training writes to it.
            OutputError: it cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / "lock").open("w")
        except OSError as error:
            raise not_writable(self.path) from error
        with file:
            with contextlib.suppress(OSError):  # where the file system has no locks
                if not hold(file):
                    message = f"Another training writes to {self.path}."
                    raise InputError("RUN_ACTIVE", message, "Wait for its end, or stop it with lckd train stop.")
            self.stop.unlink(missing_ok=True)
            for half in self.checkpoints.glob(".writing-*"):  # named so by `writing`
                half.unlink(missing_ok=True)
            yield

    def ask_to_stop(self) -> None:
        """Let the training that writes to this folder stop after its iteration.

        Raises:
            OutputError: the folder cannot be written to.
        """
        self.write_text(self.stop, "")

    def write_text(self, path: Path, text: str) -> None:
        """Write a small text file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        with writing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def append_event(self, event: dict[str, Any]) -> None:
        """One JSON object a line.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            with self.events.open("ab+") as stream:
                stream.write(self._end_of_half_line(stream) + json.dumps(event).encode() + b"\n")
        except OSError as error:
            raise not_writable(self.events) from error

    def save_checkpoint(self, state: dict[str, Any], iteration: int, keep: int) -> None:
        """Save tensors and plain values under the iteration's number and drop all but the last `keep`.

        Raises:
            OutputError: it cannot be written; the checkpoints of before are still there.
        """
        self._save(state, self.checkpoints / f"{iteration:07d}.pt")
        for old in self._saved()[:-keep]:
            old.unlink()

    def save_best(self, state: dict[str, Any]) -> None:
        """Save the weights that scored best so far.

        Raises:
            OutputError: it cannot be written; the best of before is still there.
        """
        self._save(state, self.best)

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint, or None before the first.

        Raises:
            InputError: the file is damaged.
        """
        saved = self._saved()
        return self._load(saved[-1]) if saved else None

    def load_best(self) -> dict[str, Any] | None:
        """The weights that scored best, or None before the first election.

        Raises:
            InputError: the file is damaged.
        """
        return self._load(self.best) if self.best.exists() else None

    @staticmethod
    def _end_of_half_line(stream: BinaryIO) -> bytes:
        """What must be written first where a killed run left half a line."""
        if stream.seek(0, os.SEEK_END) == 0:
            return b""
        stream.seek(-1, os.SEEK_END)
        return b"" if stream.read(1) == b"\n" else b"\n"

    def _save(self, state: dict[str, Any], path: Path) -> None:
        with writing(path) as temporary:
            torch.save(state, temporary)

    def _load(self, path: Path) -> dict[str, Any]:
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            message = f"The checkpoint {path.name} cannot be read."
            raise InputError("CHECKPOINT_DAMAGED", message, "Delete it to use the one before.") from error

    def _saved(self) -> list[Path]:
        return sorted(self.checkpoints.glob("[0-9]*.pt"))
