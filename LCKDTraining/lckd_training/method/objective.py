"""The loss of one part of a batch, as one module: what several processes share by DistributedDataParallel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lckd.network import Encodings, LCKDNetwork
from lckd.sequences import Subset

from ..config import TrainingConfig
from .losses import Teaching, distillation_loss, task_loss
from .masking import Hiding
from .reconstruction import Reconstruction
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
        self.reconstruction = Reconstruction(network) if config.pretraining_iterations else None

    def forward(
        self, sample: Sample, subsets: list[Subset], teaching: Teaching, hiding: Hiding | None = None
    ) -> tuple[Tensor, Tensor]:
        """The loss to be minimized, Eq. 7, and its terms: (loss, [loss, task loss, distillation loss]).

        In pre-training the task is to fill in what is hidden, and nothing is distilled.

        Args:
            sample: patches with the same sequences.
            subsets: the task loss is the mean over the decodings of these; the features are encoded once.
            teaching: how much each sequence teaches.
            hiding: in pre-training, what is hidden.
        """
        if self.reconstruction is not None and hiding is not None:
            loss = self.reconstruction.loss(self.network, sample, hiding)
            return loss, torch.stack([loss, loss, torch.zeros_like(loss)]).detach()
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
