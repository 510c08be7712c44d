"""The card of a model as a user needs it: what it was trained on and what to expect from which sequences.

Only the standard library is needed: a card is read without loading the model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REGIONS = ("ET", "TC", "WT")


@dataclass(frozen=True)
class ModelCard:
    """What ``configs/metadata.json`` of a MONAI bundle says, with ``expectedDice[subset][region]`` in 0..1."""

    name: str
    version: str
    description: str
    dataSource: str
    expectedDice: dict[str, dict[str, float]]

    @property
    def subsets(self) -> list[str]:
        """The measured subsets, written ``flair+t1c``, the fullest first."""
        return sorted(self.expectedDice, key=lambda subset: -subset.count("+"))


def readModelCard(metadataFile: Path) -> ModelCard:
    """Read a card. What the file does not say stays empty.

    :raises OSError: the file cannot be read
    :raises ValueError: the file is not a JSON object
    """
    metadata = json.loads(metadataFile.read_text(encoding="utf-8"))
    if not isinstance(metadata, dict):
        raise ValueError(f"{metadataFile} does not hold a JSON object")
    return ModelCard(
        name=str(metadata.get("name") or metadataFile.parents[1].name),
        version=str(metadata.get("version", "")),
        description=str(metadata.get("description", "")),
        dataSource=str(metadata.get("data_source", "")),
        expectedDice=_expectedDice(metadata),
    )


def findModelCards(resourceFolder: Path) -> list[Path]:
    """Return the metadata files of the models below ``Models`` of a resource folder, in the order of their names."""
    return sorted(resourceFolder.glob("Models/*/configs/metadata.json"))


def embeddedModelCards() -> list[Path]:
    """Return the metadata files of the models that came with the extension; none where its resources are missing."""
    from lckd.errors import LckdError
    from lckd.resources import resource_dir

    try:
        return findModelCards(resource_dir())
    except LckdError:
        return []


def _expectedDice(metadata: dict[str, Any]) -> dict[str, dict[str, float]]:
    section = metadata.get("lckd")
    dice = section.get("dice") if isinstance(section, dict) else None
    if not isinstance(dice, dict):
        return {}
    return {
        subset: {region: float(row[region]) for region in REGIONS if isinstance(row.get(region), (int, float))}
        for subset, row in dice.items()
        if isinstance(row, dict)
    }
