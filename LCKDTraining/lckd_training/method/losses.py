"""The objective: L = L_task + α L_ckd (Eq. 7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

from lckd.network import Encodings
from lckd.sequences import Sequence

#: How much each sequence teaches; 1 for each elected teacher (Eq. 2).
Teaching = Mapping[Sequence, float]

# The smoothing in the denominator alone leaves empty regions to the cross-entropy, as in the authors' code.
_dice = DiceLoss(sigmoid=True, smooth_nr=0.0, smooth_dr=1.0)


def task_loss(logits: Tensor, regions: Tensor) -> Tensor:
    """Dice (mean over samples and regions) + binary cross-entropy (summed over the regions) of (B, 3, D, H, W).

    The mean over samples, so that a batch has the same gradient on one device and divided among several.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, regions, reduction="none").mean(dim=(0, 2, 3, 4))
    return _dice(logits, regions) + entropy.sum()


def distillation_loss(
    encodings: Encodings,
    teaching: Teaching,
    distance: int = 1,
    levels: Iterable[int] = (-1,),
    over_features: str = "mean",
    teacher_gradient: bool = False,
) -> Tensor:
    """Eq. 4: |f_i − f_j|^p, summed over the available teachers i and the available sequences j ≠ i; 0 without teachers.

    Args:
        encodings: features of the available sequences.
        teaching: how much each teacher teaches; teachers teach each other, as in the authors' code.
        distance: p, 1 or 2.
        levels: indices of the encoder's levels, summed; the bottom alone in the paper.
        over_features: ``mean`` over the elements of a feature map, as in the authors' code, or ``sum`` (per sample).
        teacher_gradient: whether the teacher's features move, too; in the authors' code they do not.
    """
    present = encodings.present
    terms = [
        strength * _distance(encodings.features[student][level], teachers_features, distance, over_features)
        for teacher, strength in teaching.items()
        if teacher in present and strength > 0
        for level in levels
        for teachers_features in [_kept(encodings.features[teacher][level], teacher_gradient)]
        for student in present
        if student != teacher
    ]
    return torch.stack(terms).sum() if terms else encodings.bottom(present[0]).new_zeros(())


def _kept(features: Tensor, with_gradient: bool) -> Tensor:
    return features if with_gradient else features.detach()


def _distance(student: Tensor, teacher: Tensor, p: int, over_features: str) -> Tensor:
    compare = functional.l1_loss if p == 1 else functional.mse_loss
    mean = compare(student, teacher)
    return mean * student[0].numel() if over_features == "sum" else mean
