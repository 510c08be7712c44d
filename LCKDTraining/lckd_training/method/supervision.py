"""Deep supervision: the decoder's coarser levels are told the regions, too. Its heads belong to training only."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from lckd.labels import REGIONS
from lckd.network import Encodings, LCKDNetwork
from lckd.sequences import Subset

from .losses import task_loss


class DeepSupervision(nn.ModuleList):
    """One 1×1×1 convolution for each of the decoder's levels but the finest, the coarsest first.

    Args:
        network: whose decoder it is for.
    """

    def __init__(self, network: LCKDNetwork) -> None:
        coarser = network.config.decoder_channels[:0:-1]
        super().__init__(nn.Conv3d(channels, len(REGIONS), 1) for channels in coarser)

    def loss(
        self, network: LCKDNetwork, encodings: Encodings, subset: Subset, regions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Task loss of the network's logits, and of its coarser levels: each counts half of the next finer one.

        Args:
            network: that encoded.
            encodings: of a batch.
            subset: the sequences to decode from.
            regions: (B, 3, D, H, W) in {0, 1}; at a coarser level the nearest voxel's.
        """
        levels = list(network.decoder.features(encodings, subset))
        coarse = [
            task_loss(head(level), functional.interpolate(regions, size=level.shape[2:], mode="nearest"))
            for head, level in zip(self, levels[:-1], strict=True)
        ]
        weights = [0.5 ** (len(coarse) - place) for place in range(len(coarse))]
        weighted = [weight * loss for weight, loss in zip(weights, coarse, strict=True)]
        return task_loss(network.decoder.logits(levels[-1]), regions), sum(weighted[1:], weighted[0])
