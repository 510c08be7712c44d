"""Several processes, started by torchrun, train on one gradient or share a list of work."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor


class Group:
    """This process among its peers; a group of one where torchrun did not start it."""

    def __init__(self) -> None:
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")

    @property
    def is_first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for the peers."""
        if self.size > 1:
            dist.barrier()

    def mean_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Average the gradients over the group, in one message; a parameter that got none counts as zero."""
        if self.size == 1:
            return
        every = [p for p in parameters if p.requires_grad]
        flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in every])
        dist.all_reduce(flat)
        flat /= self.size
        offset = 0
        for parameter in every:
            count = parameter.numel()
            parameter.grad = flat[offset : offset + count].view_as(parameter).clone()
            offset += count

    def sum(self, array: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum of an array over the group."""
        if self.size == 1:
            return array
        tensor = torch.from_numpy(array.copy())
        if dist.get_backend() == "nccl":
            tensor = tensor.cuda()
        dist.all_reduce(tensor)
        return tensor.cpu().numpy()

    def close(self) -> None:
        """Leave the group."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()
