"""Learned teachers: a weight for each region and sequence instead of a choice, the paper's stated future work.

φ (regions × sequences) gives the weights w^(k) = softmax(φ^(k)): how likely region k is to elect each sequence. A
sequence then teaches as much as it is likely to be elected by at least one region,

    teaching_i = 1 − Π_k (1 − w_i^(k)),

so that Eq. 4 becomes the expectation of its sum under that random election. Where every w^(k) is one-hot this is the
election of Eq. 1 and 2 and the very same loss.

φ is learned on cases that are never trained on: region k is decoded from the mixture Σ_i w_i^(k) f_i as if those were
the features of the only sequence, and φ^(k), not the network, follows the gradient of the region's loss. A one-hot
w^(k) is the decoding from one sequence alone, which Eq. 1 judges; φ goes to the best of what lies between. It is the
first-order form of the outer step (the network counts as constant), as in the same first author's MetaKD (arXiv
2405.07155), where one vector for all regions scales the features instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lckd.labels import REGIONS, Region
from lckd.network import Encodings, LCKDNetwork
from lckd.sequences import SEQUENCES, Sequence

from ..distributed import Group
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

    def add_gradient(self, network: LCKDNetwork, sample: Sample) -> float:
        """Add the gradient of φ for one sample of a held-out case, and return the mean of the regions' losses."""
        with torch.no_grad():
            encodings = network.encode(sample.images)
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        for parameter in parameters:
            parameter.requires_grad_(False)
        try:
            losses = [self._region_loss(network, encodings, sample.regions, k) for k in range(len(REGIONS))]
            loss = torch.stack(losses).mean()
            loss.backward()
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)
        return float(loss.detach())

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
        """Take up what `state` gave."""
        with torch.no_grad():
            self.phi.copy_(state["phi"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _region_loss(self, network: LCKDNetwork, encodings: Encodings, regions: Tensor, k: int) -> Tensor:
        own = self.phi[k, [sequence.index for sequence in encodings.present]].softmax(dim=0)
        weights = dict(zip(encodings.present, own, strict=True))
        logits = network.decode(mixed(encodings, weights, network.config.imputation))
        return task_loss(logits[:, k : k + 1], regions[:, k : k + 1])


def mixed(encodings: Encodings, weights: Mapping[Sequence, Tensor], imputation: str) -> Encodings:
    """Encodings whose decoding lies between those from each sequence alone; with one weight 1 it is that one.

    The features of all sequences are the mixture, as Eq. 5 has it where one sequence is there. At the levels above the
    bottom, where missing sequences are imputed by an all-zero volume, each sequence's features lie between its own and
    that volume's; where their contributions are imputed, between N times its own and nothing.
    """
    count = len(encodings.features[encodings.present[0]])
    mixtures = [_sum(weights, encodings.level(index, encodings.present)) for index in range(count)]

    def level(sequence: Sequence, index: int) -> Tensor:
        if index == count - 1 or imputation == "mean":
            return mixtures[index]
        zero = encodings.zero_level(index)
        absent = torch.zeros_like(mixtures[index]) if zero is None else zero.expand_as(mixtures[index])
        if sequence not in weights:
            return absent
        own = encodings.features[sequence][index] * (len(SEQUENCES) if imputation == "bottom" else 1)
        return weights[sequence] * own + (1 - weights[sequence]) * absent

    return Encodings({s: tuple(level(s, index) for index in range(count)) for s in SEQUENCES}, encodings.zero)


def _sum(weights: Mapping[Sequence, Tensor], features: Mapping[Sequence, Tensor]) -> Tensor:
    return torch.stack([weight * features[sequence] for sequence, weight in weights.items()]).sum(dim=0)
