"""Learned teachers: a weight for each region and sequence instead of a choice, the paper's stated future work.

φ (regions × sequences) gives the weights w^(k) = softmax(φ^(k)): how likely region k is to elect each sequence. A
sequence then teaches as much as it is likely to be elected by at least one region,

    teaching_i = 1 − Π_k (1 − w_i^(k)),

so that Eq. 4 becomes the expectation of its sum under that random election. Where every w^(k) is one-hot this is the
election of Eq. 1 and 2 and the very same loss.

φ is learned on cases that are never trained on, by descending the loss that is to be expected of that election,

    Σ_i w_i^(k) L_k(i),   L_k(i) the loss of region k, decoded from sequence i alone.

These are the predictions that Eq. 1 judges: as w^(k) becomes one-hot, it elects who is best alone; until then, and as
far as weight decay holds φ back, sequences that are nearly as good teach nearly as much. It is the first-order form of
the outer step (the network counts as constant), as in the same first author's MetaKD (arXiv 2405.07155), where one
vector for all regions scales the features instead.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lckd.labels import REGIONS, Region
from lckd.network import LCKDNetwork
from lckd.sequences import SEQUENCES, Sequence

from ..distributed import Group
from ..run.optimization import take_up
from .losses import Teaching, task_loss
from .sampling import Sample


class TeacherWeights:
    """φ and its optimizer.

    Args:
        rate: learning rate of Adam.
        decay: weight decay.
        device: where φ is.
    """

    def __init__(self, rate: float, decay: float, device: torch.device) -> None:
        self.phi = torch.zeros((len(REGIONS), len(SEQUENCES)), device=device, requires_grad=True)
        self.optimizer = torch.optim.Adam([self.phi], lr=rate, weight_decay=decay)

    def weights(self) -> dict[Region, dict[Sequence, float]]:
        """w^(k): for each region the weights of the sequences, which sum to 1."""
        rows = self.phi.detach().softmax(dim=1).tolist()
        return {region: dict(zip(SEQUENCES, row, strict=True)) for region, row in zip(REGIONS, rows, strict=True)}

    def teaching(self) -> Teaching:
        """How much each sequence teaches: the probability that at least one region elects it."""
        strength = 1 - (1 - self.phi.detach().cpu().double().softmax(dim=1)).prod(dim=0)
        return dict(zip(SEQUENCES, strength.tolist(), strict=True))

    def add_gradient(self, network: LCKDNetwork, sample: Sample) -> None:
        """Add the gradient of φ for one sample of a held-out case; a region that it does not hold decides nothing."""
        with torch.no_grad():
            encodings = network.encode(sample.images)
            alone = [network.decode(encodings, (sequence,)) for sequence in encodings.present]
            losses = torch.stack([_region_losses(logits, sample.regions) for logits in alone], dim=1)
        weights = self.phi[:, [sequence.index for sequence in encodings.present]].softmax(dim=1)
        is_there = sample.regions.flatten(2).any(dim=2).any(dim=0)
        (weights * losses)[is_there].sum().backward()

    def update(self, draws: int, group: Group) -> None:
        """One step along the mean gradient of so many samples, which the processes of a group have shared."""
        own = torch.zeros_like(self.phi) if self.phi.grad is None else self.phi.grad
        total = group.sum(own.cpu().double().numpy())
        self.phi.grad = torch.from_numpy(total / draws).to(self.phi)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"phi": self.phi.detach().clone(), "optimizer": self.optimizer.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave, with the rate and decay of now."""
        with torch.no_grad():
            self.phi.copy_(state["phi"])
        take_up(self.optimizer, state["optimizer"])


def _region_losses(logits: Tensor, regions: Tensor) -> Tensor:
    """The task loss of each region of (B, K, D, H, W), (K,)."""
    count = regions.shape[1]
    return torch.stack([task_loss(logits[:, k : k + 1], regions[:, k : k + 1]) for k in range(count)])
