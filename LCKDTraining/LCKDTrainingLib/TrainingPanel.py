"""What the sections of the panel share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from LCKDSegmentationLib.Panel import Panel

if TYPE_CHECKING:
    from .Logic import TrainingLogic
    from .Parameters import TrainingParameters


@dataclass
class TrainingPanel(Panel):
    """`LCKDSegmentationLib.Panel.Panel` for trainings.

    Attributes:
        dataCases: what the last check of the data found, by the name of the case (``checks`` of ``lckd data check``).
    """

    logic: TrainingLogic
    parameters: TrainingParameters | None = None
    dataCases: dict[str, dict[str, Any]] = field(default_factory=dict)
