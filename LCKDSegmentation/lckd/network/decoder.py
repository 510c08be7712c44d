"""What the decoders of both architectures have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from torch import Tensor, nn

from ..sequences import Subset
from .encodings import Encodings


class SubsetDecoder(nn.Module, ABC):
    """From the encodings of the sequences of a subset, level by level, to logits (Eq. 6)."""

    @abstractmethod
    def features(self, encodings: Encodings, subset: Subset) -> Iterator[Tensor]:
        """What each level makes of a subset, (B, C_l, …), the coarsest first."""

    @abstractmethod
    def logits(self, finest: Tensor) -> Tensor:
        """Logits (B, 3, D, H, W) of the finest level's features."""

    def forward(self, encodings: Encodings, subset: Subset) -> Tensor:
        """Logits (B, 3, D, H, W); the coarser levels are let go one by one."""
        for level in self.features(encodings, subset):
            finest = level
        return self.logits(finest)
