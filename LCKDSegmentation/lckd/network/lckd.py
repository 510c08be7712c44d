"""The LCKD network: one shared encoder, fusion with missing sequences, one decoder, three nested regions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..sequences import SEQUENCES, Sequence, Subset, subset_of
from .config import NetworkConfig
from .decoder import SubsetDecoder
from .encodings import Encodings, Features


class LCKDNetwork(nn.Module):
    """Encoder and decoder with the LCKD treatment of missing sequences (Eq. 3, 5, 6).

    Args:
        config: how it was built.
        encoder: image (B, 1, D, H, W) to features by level.
        decoder: encodings and a subset to logits (B, 3, D, H, W) in the order ET, TC, WT.
        stride: what D, H and W must be multiples of.
    """

    def __init__(
        self, config: NetworkConfig, encoder: nn.Module, decoder: SubsetDecoder, stride: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.decoder = decoder
        self.stride = stride
        #: Whether training computes activations again instead of keeping them: less memory, a third more time.
        self.recomputes = False
        self._zero: tuple[tuple[object, ...], Features] | None = None

    def encode(self, images: Mapping[Sequence, Tensor]) -> Encodings:
        """Encode each present sequence once, alone (Eq. 3).

        Args:
            images: (B, 1, D, H, W) for each present sequence; D, H, W multiples of `stride`.

        Raises:
            ValueError: there is no image, or a size is not a multiple of the stride.
        """
        present = subset_of(images)
        if not present:
            raise ValueError("no sequence to encode")
        first = images[present[0]]
        if any(length % step for length, step in zip(first.shape[2:], self.stride, strict=True)):
            raise ValueError(f"size {tuple(first.shape[2:])} is not a multiple of {self.stride}")
        features = {sequence: tuple(self._run(self.encoder, images[sequence])) for sequence in present}
        return Encodings(features, self._zero_features(first) if self.config.imputation == "zero" else None)

    def decode(self, encodings: Encodings, subset: Subset | None = None) -> Tensor:
        """Logits (B, 3, D, H, W) as if only the sequences of `subset` (default: all encoded) were there (Eq. 6)."""
        return self._run(self.decoder, encodings, encodings.present if subset is None else subset_of(subset))

    def forward(self, images: Tensor, subset: Subset = SEQUENCES) -> Tensor:
        """Logits (B, 3, D, H, W) of a stack (B, 4, D, H, W), of which only the channels of `subset` are looked at."""
        chosen = subset_of(subset)
        return self.decode(self.encode({sequence: images[:, sequence.index, None] for sequence in chosen}))

    def _run(self, part: nn.Module, *inputs: object) -> Any:
        if self.recomputes and torch.is_grad_enabled():
            return checkpoint(part, *inputs, use_reentrant=False)
        return part(*inputs)

    def _zero_features(self, like: Tensor) -> Features:
        """Response to an all-zero volume of that size: with gradient in training, else computed once and kept."""
        volume = torch.zeros_like(like[:1])
        if torch.is_grad_enabled():
            return tuple(self._run(self.encoder, volume))
        version = sum(parameter._version for parameter in self.encoder.parameters())
        autocast = torch.is_autocast_enabled(like.device.type)
        key = (tuple(volume.shape), volume.dtype, volume.device, autocast, version)
        if self._zero is None or self._zero[0] != key:
            self._zero = (key, tuple(self.encoder(volume)))
        return self._zero[1]
