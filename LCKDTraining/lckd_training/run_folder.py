"""The folder of a training run: configuration, split, events, checkpoints; each file whole or not there at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from lckd.errors import InputError
from lckd.images import writing


class RunFolder:
    """Names and formats of a run's files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.split = path / "split.json"
        self.events = path / "events.jsonl"
        self.checkpoints = path / "checkpoints"

    def write_text(self, path: Path, text: str) -> None:
        """Write a small text file atomically."""
        with writing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def append_event(self, event: dict[str, Any]) -> None:
        """One JSON object a line."""
        with self.events.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(event) + "\n")

    def save_checkpoint(self, state: dict[str, Any], iteration: int, keep: int) -> None:
        """Save tensors and plain values under the iteration's number and drop all but the last `keep`."""
        with writing(self.checkpoints / f"{iteration:07d}.pt") as temporary:
            torch.save(state, temporary)
        for old in self._saved()[:-keep]:
            old.unlink()

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint, or None before the first.

        Raises:
            InputError: the file is damaged.
        """
        saved = self._saved()
        if not saved:
            return None
        try:
            return torch.load(saved[-1], map_location="cpu", weights_only=True)
        except Exception as error:
            message = f"The checkpoint {saved[-1].name} cannot be read."
            raise InputError("CHECKPOINT_DAMAGED", message, "Delete it to use the one before.") from error

    def _saved(self) -> list[Path]:
        return sorted(self.checkpoints.glob("[0-9]*.pt"))
