"""Masked reconstruction, which needs no segmentations: fill in what is hidden, from what is left.

As in M3AE (Liu et al., AAAI 2023), whole sequences and cubes of the others are hidden, and all four sequences are to be
found again. Encoder, fusion and decoder are those of segmentation; only the last convolution belongs to this alone.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from lckd.network import LCKDNetwork
from lckd.sequences import SEQUENCES, Sequence

from .masking import Hiding
from .sampling import Sample


class Reconstruction(nn.Module):
    """One 1×1×1 convolution from the decoder's finest level to the four sequences, at its resolution.

    Args:
        network: whose decoder it is for.
    """

    def __init__(self, network: LCKDNetwork) -> None:
        super().__init__()
        self.head = nn.Conv3d(network.config.decoder_channels[0], len(SEQUENCES), 1)

    def loss(self, network: LCKDNetwork, sample: Sample, hiding: Hiding) -> Tensor:
        """Mean squared error, in the brain, of what was hidden of the sequences that the sample has; 0 if nothing was.

        Args:
            network: that fills in; it sees 0, the mean of the brain, in place of what is hidden.
            sample: its sequences as they are.
            hiding: of that size.
        """
        seen = {s: sample.images[s].masked_fill(_of(s, hiding.hidden), 0) for s in hiding.left}
        *_, finest = network.decoder.features(network.encode(seen), hiding.left)
        found, size = self.head(finest), finest.shape[2:]
        errors, counted = found.new_zeros(()), found.new_zeros(())
        for sequence, image in sample.images.items():
            wanted = functional.interpolate(image, size=size, mode="area")
            # Outside the brain an image is 0.
            weight = (_of(sequence, hiding.hidden) & (image != 0)).to(image.dtype)
            weight = functional.interpolate(weight, size=size, mode="area")
            errors = errors + (weight * (_of(sequence, found) - wanted) ** 2).sum()
            counted = counted + weight.sum()
        return errors / counted.clamp_min(1)


def _of(sequence: Sequence, stack: Tensor) -> Tensor:
    """The channel (B, 1, D, H, W) of a sequence."""
    return stack[:, sequence.index, None]
