"""What a run is made of, so that it can be made again: program, packages, device, settings, data by content."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import lckd
from lckd.device import describe_device
from lckd.errors import InputError

from ..config import TrainingConfig
from ..data.cases import TrainingCase
from ..distributed import Group
from .folder import RunFolder

PACKAGES = ("torch", "monai", "numpy", "scipy", "SimpleITK")


def record_start(
    folder: RunFolder, data: Path, config: TrainingConfig, cases: list[TrainingCase], group: Group
) -> None:
    """Add this start to ``provenance.json``: its first is that of the run, the others are resumptions.

    Raises:
        InputError: the data are not those that the run began with.
        OutputError: it cannot be written.
    """
    hashes = {case.name: case.fingerprint for case in cases}
    record: dict[str, Any] = {"cases": hashes, "starts": []}
    if folder.provenance.exists():
        record = json.loads(folder.provenance.read_text(encoding="utf-8"))
        _require_same(record["cases"], hashes)
        record["cases"] |= hashes
    record["starts"].append({"data": str(data.resolve())} | _start(config, group))
    folder.write_text(folder.provenance, json.dumps(record, indent=1) + "\n")


def git_revision(folder: Path) -> str | None:
    """The commit of the working copy that a folder belongs to, with ``+`` where files differ; None without one."""
    try:
        head, changes = (
            subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no", "."))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.strip() + ("+" if changes.strip() else "")


def _start(config: TrainingConfig, group: Group) -> dict[str, Any]:
    return {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "lckd": lckd.__version__,
        "revision": git_revision(Path(__file__).parent),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "system": platform.platform(),
        "device": describe_device(group.device),
        "processes": group.size,
        "seed": config.seed,
        "settings": dataclasses.asdict(config),
    }


def _require_same(before: dict[str, str], now: dict[str, str]) -> None:
    changed = sorted(name for name, value in now.items() if before.get(name, value) != value)
    if changed:
        message = f"The files of {changed[0]} are not those that this run began with."
        raise InputError("DATA_CHANGED", message, "Put them back, or begin a new run.")
