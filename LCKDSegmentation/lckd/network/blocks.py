"""The few layers both architectures are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.01


class InstanceNorm(nn.GroupNorm):
    """Affine instance norm, as group norm with one channel a group: equal, and faster on a CPU.

    A map of one voxel, which torch's own instance norm refuses, gives the bias: its deviation from its mean is zero.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(self, input: Tensor) -> Tensor:
        """Normalize (B, C, D, H, W) over D, H, W."""
        if input[0, 0].numel() == 1:
            # Group norm computes the zero deviation with a rounding error, which 1/√eps would magnify 316 times.
            return (input - input) * self.weight.view(-1, 1, 1, 1) + self.bias.view(-1, 1, 1, 1)
        return torch.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)


class WeightStandardisedConv(nn.Conv3d):
    """Convolution without bias whose kernels have zero mean and unit variance (Qiao et al., 2019)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, **options: int | tuple[int, ...]) -> None:
        super().__init__(in_channels, out_channels, kernel, bias=False, **options)  # type: ignore[arg-type]

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, D, H, W)."""
        return self._conv_forward(input, standardized(self.weight), None)


def standardized(weight: Tensor) -> Tensor:
    """Weight standardization over all but the output channels, with the unbiased variance."""
    centered = weight - weight.mean(dim=(1, 2, 3, 4), keepdim=True)
    variance = centered.flatten(1).var(dim=1).view(-1, 1, 1, 1, 1)
    return centered / (variance + 1e-12).sqrt()


class ConvNormAct(nn.Sequential):
    """3×3×3 convolution, instance norm, LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv3d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            InstanceNorm(out_channels),
            nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
        )


def space_to_depth(image: Tensor, factor: int = 2) -> Tensor:
    """(B, C, D, H, W) to (B, C·f³, D/f, H/f, W/f): each block of voxels becomes channels."""
    b, c, d, h, w = image.shape
    blocks = image.view(b, c, d // factor, factor, h // factor, factor, w // factor, factor)
    return blocks.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(b, c * factor**3, d // factor, h // factor, w // factor)


def depth_to_space(image: Tensor, factor: int = 2) -> Tensor:
    """(B, C·f³, D, H, W) to (B, C, D·f, H·f, W·f): the inverse of `space_to_depth`."""
    b, c, d, h, w = image.shape
    blocks = image.view(b, c // factor**3, factor, factor, factor, d, h, w)
    return blocks.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(b, c // factor**3, d * factor, h * factor, w * factor)


def initialize(module: nn.Module) -> None:
    """He initialization for LeakyReLU of every convolution below `module`."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv3d, nn.ConvTranspose3d)):
            nn.init.kaiming_normal_(layer.weight, a=NEGATIVE_SLOPE, mode="fan_out")
