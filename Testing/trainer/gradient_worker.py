"""Run by torchrun: each process computes the gradient of its own sample; the first writes the group's mean."""

import sys

import torch

from lckd_training.distributed import Group


def gradients(seed: int) -> torch.nn.Linear:
    """A layer, the same in every process, with the gradient of a sample that depends on `seed`."""
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    torch.manual_seed(1 + seed)
    layer(torch.randn(5, 3)).square().mean().backward()
    return layer


if __name__ == "__main__":
    group = Group()
    layer = gradients(group.rank)
    if group.rank == 1:
        layer.bias.grad = None  # counts as zero
    group.mean_gradients(layer.parameters())
    if group.is_first:
        torch.save([parameter.grad for parameter in layer.parameters()], sys.argv[1])
    group.close()
