"""The LCKD authors' network: 3-D ResNet-50 with weight standardization, ASPP, and a residual decoder (size `paper`).

Written from the facts in the paper and from the published tensor shapes; weights of the authors' layout are read by
`lckd.network.convert`. Axes are (D, H, W); the stem halves H and W only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..labels import REGIONS
from ..sequences import Sequence, Subset
from .blocks import NEGATIVE_SLOPE, InstanceNorm, WeightStandardisedConv, initialize
from .config import NetworkConfig
from .decoder import SubsetDecoder
from .encodings import Encodings
from .fusion import FusedConv
from .lckd import LCKDNetwork

BLOCKS = (3, 4, 6, 3)
EXPANSION = 4
ASPP_DILATIONS = (1, 2, 4, 8)


def _activation() -> nn.LeakyReLU:
    return nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)


class ConvUnit(nn.Sequential):
    """Weight-standardized convolution, instance norm and, unless told otherwise, LeakyReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int | tuple[int, ...] = 1,
        dilation: int = 1,
        activate: bool = True,
    ) -> None:
        padding = dilation * (kernel // 2)
        conv = WeightStandardisedConv(
            in_channels, out_channels, kernel, stride=stride, padding=padding, dilation=dilation
        )
        super().__init__(conv, InstanceNorm(out_channels), *([_activation()] if activate else []))


class Residual(nn.Module):
    """LeakyReLU of the sum of a body and a shortcut."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut if shortcut is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, D, H, W) to (B, C', D', H', W')."""
        return functional.leaky_relu(self.body(x) + self.shortcut(x), NEGATIVE_SLOPE, inplace=True)


def bottleneck(in_channels: int, planes: int, stride: int, project: bool) -> Residual:
    """1×1×1, 3×3×3, 1×1×1 with four times as many channels out."""
    out_channels = planes * EXPANSION
    body = nn.Sequential(
        ConvUnit(in_channels, planes),
        ConvUnit(planes, planes, 3, stride=stride),
        ConvUnit(planes, out_channels, activate=False),
    )
    return Residual(body, ConvUnit(in_channels, out_channels, stride=stride, activate=False) if project else None)


class Aspp(nn.Module):
    """Atrous spatial pyramid: four dilations and the global average, concatenated and projected."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            ConvUnit(channels, channels, 1 if dilation == 1 else 3, dilation=dilation) for dilation in ASPP_DILATIONS
        )
        self.pooled = ConvUnit(channels, channels)
        self.project = ConvUnit(channels * (len(ASPP_DILATIONS) + 1), channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, D, H, W) to the same."""
        pooled = self.pooled(x.mean(dim=(2, 3, 4), keepdim=True)).expand_as(x)
        return self.project(torch.cat([*(branch(x) for branch in self.branches), pooled], dim=1))


class Encoder(nn.Module):
    """ResNet-50 whose last stage is projected and passed through ASPP."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        width, bottom = channels[0], channels[-1]
        self.stem = ConvUnit(1, width, 7, stride=(1, 2, 2))
        self.pool = nn.MaxPool3d(3, stride=2, padding=1)
        planes = (*(out // EXPANSION for out in channels[1:-1]), width * 5)
        stages, before = [], width
        for index, (plane, count) in enumerate(zip(planes, BLOCKS, strict=True)):
            stride = 1 if index == 0 else 2
            first = bottleneck(before, plane, stride, project=True)
            before = plane * EXPANSION
            stages.append(nn.Sequential(first, *(bottleneck(before, plane, 1, False) for _ in range(count - 1))))
        self.stages = nn.ModuleList(stages)
        self.reduce = ConvUnit(before, bottom)
        self.aspp = Aspp(bottom)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Image (B, 1, D, H, W) to 64@(D, H/2, W/2), 256@(/2, /4, /4), 512, 1024, and 256@(/16, /32, /32)."""
        x = self.stem(image)
        features = [x]
        x = self.pool(x)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        features[-1] = self.aspp(self.reduce(x))
        return features


class DecoderLevel(nn.Module):
    """Add the fused skip to the upsampled coarser level, then a residual block."""

    def __init__(self, skip: int, channels: int, contributions: bool = False) -> None:
        super().__init__()
        self.skip = FusedConv(skip, channels, standardize=True, contributions=contributions)
        self.skip_norm = nn.Sequential(InstanceNorm(channels), _activation())
        body = nn.Sequential(ConvUnit(channels, channels, 3), ConvUnit(channels, channels, 3, activate=False))
        self.block = Residual(body)

    def forward(self, upsampled: Tensor, skips: Mapping[Sequence, Tensor], zero: Tensor | None) -> Tensor:
        """`upsampled` (B, C, D, H, W) and the sequences' features (B, C_l, D, H, W) to (B, C, D, H, W)."""
        return self.block(upsampled + self.skip_norm(self.skip(skips, zero)))


class Decoder(SubsetDecoder):
    """Transposed convolutions from the concatenated bottom up; logits upsampled in H and W."""

    def __init__(
        self, channels: tuple[int, ...], decoder_channels: tuple[int, ...], contributions: bool = False
    ) -> None:
        super().__init__()
        self.bottom = FusedConv(channels[-1], decoder_channels[-1], upsample=True)
        self.upsample = nn.ModuleList(
            nn.ConvTranspose3d(coarse, fine, 2, stride=2, bias=False)
            for coarse, fine in zip(decoder_channels[1:], decoder_channels[:-1], strict=True)
        )
        self.levels = nn.ModuleList(
            DecoderLevel(skip, own, contributions) for skip, own in zip(channels[:-1], decoder_channels, strict=True)
        )
        self.head = nn.Conv3d(decoder_channels[0], len(REGIONS), 1, bias=False)

    def features(self, encodings: Encodings, subset: Subset) -> Iterator[Tensor]:
        """What each level makes of a subset, the coarsest first; the finest is (B, C, D, H/2, W/2)."""
        bottom = len(self.levels)
        x = self.bottom(encodings.level(bottom, subset))
        for index in reversed(range(bottom)):
            x = self.levels[index](x, encodings.level(index, subset), encodings.zero_level(index))
            yield x
            if index > 0:
                x = self.upsample[index - 1](x)

    def logits(self, finest: Tensor) -> Tensor:
        """Logits (B, 3, D, H, W) of the finest level's features."""
        return functional.interpolate(self.head(finest), scale_factor=(1, 2, 2), mode="trilinear", align_corners=False)


def build_resnet_aspp(config: NetworkConfig) -> LCKDNetwork:
    """The network of a configuration with architecture ``resnet_aspp``, freshly initialized."""
    contributions = config.imputation == "bottom"
    encoder = Encoder(config.channels)
    decoder = Decoder(config.channels, config.decoder_channels, contributions)
    initialize(encoder)
    initialize(decoder)
    return LCKDNetwork(config, encoder, decoder, (16, 32, 32))
