"""Two processes train on the mean of their gradients."""

import subprocess
import sys
from pathlib import Path

import torch

WORKER = Path(__file__).with_name("gradient_worker.py")


def test_two_processes_have_the_mean_gradient(tmp_path: Path, subprocess_environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(WORKER)]
    subprocess.run([*command, str(tmp_path / "mean.pt")], check=True, env=subprocess_environment, timeout=120)
    weight, bias = torch.load(tmp_path / "mean.pt", weights_only=True)
    sys.path.insert(0, str(WORKER.parent))
    try:
        from gradient_worker import gradients
    finally:
        sys.path.pop(0)
    first, second = gradients(0), gradients(1)
    assert torch.allclose(weight, (first.weight.grad + second.weight.grad) / 2)
    assert torch.allclose(bias, first.bias.grad / 2)
