"""Several processes, started by torchrun on one computer or several, train on one gradient or share a list of work."""

from __future__ import annotations

import contextlib
import os
import sys
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lckd.errors import LckdError

#: How long a process waits for its peers, which may still be preparing their cases.
_PATIENCE = timedelta(hours=2)


class Group:
    """This process among its peers; a group of one where torchrun did not start it.

    Args:
        device: where this process computes.

    Attributes:
        failed_together: whether `raise_together` has raised: no process knows more of it than the others.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.failed_together = False
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        if device.type == "cuda" and device.index is not None:
            torch.cuda.set_device(device)
        if self.size > 1 and not dist.is_initialized():
            nccl = device.type == "cuda" and dist.is_nccl_available()  # not on Windows
            dist.init_process_group("nccl" if nccl else "gloo", timeout=_PATIENCE)

    @staticmethod
    def own_device(device: torch.device) -> torch.device:
        """The GPU of this process, where several processes of a computer each have one."""
        local = os.environ.get("LOCAL_RANK")
        if device.type == "cuda" and device.index is None and local is not None:
            return torch.device("cuda", int(local) % torch.cuda.device_count())
        return device

    @property
    def is_first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def share(self, module: nn.Module, some_unused: bool = False) -> nn.Module:
        """The module, whose gradients are the mean over the group.

        Args:
            module: to be trained.
            some_unused: whether it may compute a loss without some of its parameters.
        """
        if self.size == 1:
            return module
        return DistributedDataParallel(module, gradient_as_bucket_view=True, find_unused_parameters=some_unused)

    @staticmethod
    def adding(shared: nn.Module, is_last: bool) -> contextlib.AbstractContextManager[Any]:
        """Only the last part of a batch exchanges the gradients that all parts have added up."""
        if isinstance(shared, DistributedDataParallel) and not is_last:
            return shared.no_sync()
        return contextlib.nullcontext()

    def barrier(self) -> None:
        """Wait for the peers."""
        if self.size > 1:
            dist.barrier()

    def sum(self, array: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum of an array over the group."""
        if self.size == 1:
            return array
        tensor = torch.from_numpy(array.copy()).to(self.device)
        dist.all_reduce(tensor)
        return tensor.cpu().numpy()

    def gather(self, thing: Any) -> list[Any]:
        """What each process of the group has, by rank."""
        things = [thing] * self.size
        if self.size > 1:
            dist.all_gather_object(things, thing)
        return things

    def raise_together(self, error: LckdError | None) -> None:
        """Raise in every process the first of the errors that some of them have."""
        for failure in self.gather(error):
            if failure is not None:
                self.failed_together = True
                raise failure

    def has_lost_a_peer(self, error: BaseException) -> bool:
        """Whether an exception means that another process of the group is no more."""
        return self.size > 1 and (isinstance(error, dist.DistError) or "gloo" in str(error))

    def close(self) -> None:
        """Leave the group; not while an exception passes on its way out.

        NCCL would wait here for peers that wait for this process in a gradient. Where it ends instead, torchrun ends
        them.
        """
        if self.size > 1 and dist.is_initialized() and sys.exc_info()[0] is None:
            dist.destroy_process_group()
