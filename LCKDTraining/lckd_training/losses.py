"""The objective: L = L_task + α L_ckd (Eq. 7)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from monai.losses import DiceLoss
from torch import Tensor
from torch.nn import functional

from lckd.network import Encodings
from lckd.sequences import Sequence

# The smoothing in the denominator alone leaves empty regions to the cross-entropy, as in the authors' code.
_dice = DiceLoss(sigmoid=True, batch=True, smooth_nr=0.0, smooth_dr=1.0)


def task_loss(logits: Tensor, regions: Tensor) -> Tensor:
    """Dice (mean over the regions) + binary cross-entropy (sum over the regions) of (B, 3, D, H, W)."""
    entropy = functional.binary_cross_entropy_with_logits(logits, regions, reduction="none").mean(dim=(0, 2, 3, 4))
    return _dice(logits, regions) + entropy.sum()


def distillation_loss(encodings: Encodings, teachers: Iterable[Sequence], distance: int = 1) -> Tensor:
    """Eq. 4: mean |f_i − f_j|^p at the bottom, summed over available teachers i and available sequences j ≠ i.

    The teacher's features get no gradient, and teachers teach each other, as in the authors' code.
    """
    present = encodings.present
    compare = functional.l1_loss if distance == 1 else functional.mse_loss
    terms = [
        compare(encodings.bottom(student), encodings.bottom(teacher).detach())
        for teacher in teachers
        if teacher in present
        for student in present
        if student != teacher
    ]
    return torch.stack(terms).sum() if terms else encodings.bottom(present[0]).new_zeros(())
