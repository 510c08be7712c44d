"""The U-Net of the sizes `small` and `base`: made for a CPU.

A space-to-depth stem turns 2×2×2 voxels into channels, so that everything runs at half resolution or below. The
decoder, whose cost is the price of one more subset, is lighter than the encoder: fewer channels, nearest-neighbor
upsampling and addition instead of transposed convolution and concatenation, and logits by a 1×1×1 convolution to
depth-to-space.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn
from torch.nn import functional

from ..labels import REGIONS
from ..sequences import Sequence, Subset
from .blocks import NEGATIVE_SLOPE, ConvNormAct, InstanceNorm, depth_to_space, initialize, space_to_depth
from .config import NetworkConfig
from .decoder import SubsetDecoder
from .encodings import Encodings
from .fusion import FusedConv
from .lckd import LCKDNetwork

STEM_FACTOR = 2


class Encoder(nn.Module):
    """Two convolutions a level; every level after the first halves the resolution."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        inputs = (STEM_FACTOR**3, *channels[:-1])
        self.levels = nn.ModuleList(
            nn.Sequential(ConvNormAct(before, after, stride=1 if level == 0 else 2), ConvNormAct(after, after))
            for level, (before, after) in enumerate(zip(inputs, channels, strict=True))
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        """Image (B, 1, D, H, W) to features (B, C_l, D/2^(l+1), …) by level."""
        x = space_to_depth(image, STEM_FACTOR)
        features = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


class DecoderLevel(nn.Module):
    """Add the upsampled coarser level to this level's fused features, then a few convolutions."""

    def __init__(self, coarser: int, skip: int, channels: int, convs: int, contributions: bool = False) -> None:
        super().__init__()
        self.skip = FusedConv(skip, channels, contributions=contributions)
        self.reduce = nn.Conv3d(coarser, channels, 1, bias=False)
        self.norm = InstanceNorm(channels)
        self.convs = nn.Sequential(*(ConvNormAct(channels, channels) for _ in range(convs)))

    def forward(self, coarser: Tensor, skips: Mapping[Sequence, Tensor], zero: Tensor | None) -> Tensor:
        """`coarser` (B, C', D/2, …) and the sequences' features (B, C_l, D, …) to (B, C, D, …)."""
        skip = self.skip(skips, zero)
        x = functional.interpolate(self.reduce(coarser), scale_factor=2, mode="nearest")
        x = skip.add_(x[..., : skip.shape[2], : skip.shape[3], : skip.shape[4]])
        return self.convs(functional.leaky_relu(self.norm(x), NEGATIVE_SLOPE, inplace=True))


class Decoder(SubsetDecoder):
    """From fused features, bottom up, to the logits of the three regions."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        channels, decoder_channels = config.channels, config.decoder_channels
        self.bottom = FusedConv(channels[-1], decoder_channels[-1])
        self.bottom_norm = InstanceNorm(decoder_channels[-1])
        coarser = (*decoder_channels[1:], decoder_channels[-1])
        self.levels = nn.ModuleList(
            DecoderLevel(*sizes, contributions=config.imputation == "bottom")
            for sizes in zip(coarser, channels[:-1], decoder_channels, config.decoder_convs, strict=True)
        )
        self.head = nn.Conv3d(decoder_channels[0], len(REGIONS) * STEM_FACTOR**3, 1)

    def features(self, encodings: Encodings, subset: Subset) -> Iterator[Tensor]:
        """What each level makes of a subset, (B, C_l, D/2^(l+1), …), the coarsest first."""
        bottom = len(self.levels)
        x = self.bottom(encodings.level(bottom, subset))
        x = functional.leaky_relu(self.bottom_norm(x), NEGATIVE_SLOPE, inplace=True)
        for index in reversed(range(bottom)):
            x = self.levels[index](x, encodings.level(index, subset), encodings.zero_level(index))
            yield x

    def logits(self, finest: Tensor) -> Tensor:
        """Logits (B, 3, D, H, W) of the finest level's features."""
        return depth_to_space(self.head(finest), STEM_FACTOR)


def build_unet(config: NetworkConfig) -> LCKDNetwork:
    """The network of a configuration with architecture ``unet``, freshly initialized."""
    encoder, decoder = Encoder(config.channels), Decoder(config)
    initialize(encoder)
    initialize(decoder)
    nn.init.constant_(decoder.head.bias, -2.0)  # type: ignore[arg-type]
    nn.init.normal_(decoder.head.weight, std=0.02)
    return LCKDNetwork(config, encoder, decoder, (STEM_FACTOR,) * 3)
