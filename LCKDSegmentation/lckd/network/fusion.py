"""Missing features (Eq. 5) and their fusion (Eq. 6), folded into the weights of the first operation.

The decoder concatenates the features of the N sequences, real or imputed, and the first thing it does with them is
linear: y = Σ_i W_i f_i over all N. Where the missing f_n are the mean of the features of the present set A, this is

    y = Σ_{i∈A} (W_i + (1/|A|) Σ_{n∉A} W_n) f_i,

so that no imputed feature ever has to exist, and absent sequences cost nothing. Where the missing f_n are the response
z to an all-zero volume, y = Σ_{i∈A} W_i f_i + (Σ_{n∉A} W_n) z. Both equal the plain form to rounding.

With one shared encoder, the mean of the features of a single sequence meets (Σ_n W_n) f_i, the same weights whichever
sequence it is. Where not the features but the contributions W_n f_n of the missing are the mean of those present,

    y = (N/|A|) Σ_{i∈A} W_i f_i,

each sequence keeps its own weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..sequences import SEQUENCES, Sequence, missing_from, subset_of
from .blocks import standardized


class FusedConv(nn.Module):
    """The first, linear operation on the concatenated features of one level, without bias.

    Args:
        channels: channels of one sequence's features.
        out_channels: channels of the result.
        upsample: a transposed 2×2×2 convolution of stride 2 instead of a 1×1×1 convolution.
        standardize: apply weight standardization.
        contributions: the missing contribute the mean of what those present contribute, instead of having the mean of
            their features.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        upsample: bool = False,
        standardize: bool = False,
        contributions: bool = False,
    ) -> None:
        super().__init__()
        total = channels * len(SEQUENCES)
        shape = (total, out_channels, 2, 2, 2) if upsample else (out_channels, total, 1, 1, 1)
        self.weight = nn.Parameter(torch.empty(shape))
        self.upsample = upsample
        self.standardize = standardize
        self.contributions = contributions
        nn.init.normal_(self.weight, std=(2.0 / total) ** 0.5)

    def forward(self, features: Mapping[Sequence, Tensor], zero: Tensor | None = None) -> Tensor:
        """Fuse the features of the present sequences.

        Args:
            features: for each present sequence (B, C, D, H, W).
            zero: the encoder's response to an all-zero volume, standing for each missing sequence; None: a mean.
        """
        present, missing = subset_of(features), missing_from(features)
        weight = dict(zip(SEQUENCES, self._weight_by_sequence(), strict=True))
        terms = [(weight[sequence], features[sequence]) for sequence in present]
        if missing and self.contributions:
            terms = [(own * (len(SEQUENCES) / len(present)), feature) for own, feature in terms]
        elif missing:
            absent = torch.stack([weight[sequence] for sequence in missing]).sum(0)
            if zero is None:
                terms = [(own + absent / len(present), feature) for own, feature in terms]
            else:
                terms.append((absent, zero.expand(len(terms[0][1]), -1, -1, -1, -1)))
        return self._upsample(terms) if self.upsample else self._project(terms)

    def _weight_by_sequence(self) -> tuple[Tensor, ...]:
        weight = standardized(self.weight) if self.standardize else self.weight
        return weight.chunk(len(SEQUENCES), dim=0 if self.upsample else 1)

    @staticmethod
    def _project(terms: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Sum of 1×1×1 convolutions as matrix products, accumulated without a concatenated copy."""
        first = terms[0][1]
        channels_last = first.is_contiguous(memory_format=torch.channels_last_3d)
        total: Tensor | None = None
        for weight, feature in terms:
            product = weight.flatten(1).expand(len(feature), -1, -1), feature.flatten(2)
            if channels_last:  # computed transposed, so that the result is channels-last too
                product = product[1].mT, product[0].mT
            total = torch.bmm(*product) if total is None else torch.baddbmm(total, *product)
        assert total is not None
        return (total.mT if channels_last else total).unflatten(2, first.shape[2:])

    @staticmethod
    def _upsample(terms: list[tuple[Tensor, Tensor]]) -> Tensor:
        weight = torch.cat([weight for weight, _ in terms], dim=0)
        return functional.conv_transpose3d(torch.cat([feature for _, feature in terms], dim=1), weight, stride=2)
