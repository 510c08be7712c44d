"""What the encoder made of the present sequences: costly to compute once, cheap to decode for any subset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..sequences import Sequence, Subset, subset_of

#: Features of one sequence by level, finest first, bottom last; each (B, C, D, H, W).
Features = tuple[Tensor, ...]


@dataclass(frozen=True)
class Encodings:
    """Features of each encoded sequence (Eq. 3), and of an all-zero volume where the network imputes with it."""

    features: Mapping[Sequence, Features]
    zero: Features | None = None

    @property
    def present(self) -> Subset:
        """The encoded sequences."""
        return subset_of(self.features)

    @property
    def nbytes(self) -> int:
        """Memory that the features take."""
        tensors = {id(level): level for levels in (*self.features.values(), self.zero or ()) for level in levels}
        return sum(level.nbytes for level in tensors.values())

    def level(self, index: int, subset: Subset) -> dict[Sequence, Tensor]:
        """Features of one level for the sequences of `subset`.

        Raises:
            KeyError: a sequence of the subset was not encoded.
        """
        return {sequence: self.features[sequence][index] for sequence in subset}

    def zero_level(self, index: int) -> Tensor | None:
        """The all-zero volume's features of one level; None where missing sequences get the mean."""
        return None if self.zero is None else self.zero[index]

    def bottom(self, sequence: Sequence) -> Tensor:
        """Bottom features of one sequence, on which knowledge is distilled (Eq. 4)."""
        return self.features[sequence][-1]

    def to(self, device: torch.device | str) -> Encodings:
        """The same encodings on another device."""
        features = {s: tuple(level.to(device) for level in levels) for s, levels in self.features.items()}
        return Encodings(features, None if self.zero is None else tuple(level.to(device) for level in self.zero))
