"""Eq. 7 for one part of a batch, as one module: what several processes share by DistributedDataParallel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lckd.network import Encodings, LCKDNetwork
from lckd.sequences import Subset

from ..config import TrainingConfig
from .losses import Teaching, distillation_loss, task_loss
from .sampling import Sample
from .supervision import DeepSupervision


class Objective(nn.Module):
    """The network, with what is trained beside it.

    Args:
        network: to be trained.
        config: the settings.
    """

    def __init__(self, network: LCKDNetwork, config: TrainingConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config
        self.supervision = DeepSupervision(network) if config.deep_supervision else None

    def forward(self, sample: Sample, subsets: list[Subset], teaching: Teaching) -> tuple[Tensor, Tensor]:
        """The loss to be minimized, and its terms: (loss, [loss, task loss, distillation loss]).

        Args:
            sample: patches with the same sequences.
            subsets: the task loss is the mean over the decodings of these; the features are encoded once.
            teaching: how much each sequence teaches.
        """
        encodings = self.network.encode(sample.images)
        task = torch.stack([self._task_loss(encodings, subset, sample.regions) for subset in subsets]).mean()
        config = self.config
        distillation = distillation_loss(
            encodings,
            teaching,
            config.distance,
            config.distilled_levels,
            config.distance_over_features,
            config.teacher_gradient,
        )
        loss = task + config.alpha * distillation
        return loss, torch.stack([loss, task, distillation]).detach()

    def _task_loss(self, encodings: Encodings, subset: Subset, regions: Tensor) -> Tensor:
        if self.supervision is None:
            return task_loss(self.network.decode(encodings, subset), regions)
        finest, coarser = self.supervision.loss(self.network, encodings, subset, regions)
        return finest + self.config.deep_supervision * coarser
