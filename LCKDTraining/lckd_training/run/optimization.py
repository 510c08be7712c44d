"""What happens with a gradient: precision, clipping, optimizer, learning rate, moving average."""

from __future__ import annotations

import contextlib
import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from lckd.device import autocast_type, cpu_has_bfloat16
from lckd.errors import UsageError
from lckd.network import LCKDNetwork

from ..config import TrainingConfig
from .schedule import learning_rate

_TYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Optimization:
    """Optimizer, gradient scaler and moving average of a network.

    Args:
        objective: all that is trained; the network is a part of it.
        network: whose moving average is kept.
        config: the settings.
        device: where the network is.

    Attributes:
        average: the network of averaged weights, in evaluation mode: what is validated, saved and used.

    Raises:
        UsageError: the precision is one that the device does not have.
    """

    def __init__(
        self, objective: nn.Module, network: LCKDNetwork, config: TrainingConfig, device: torch.device
    ) -> None:
        self.config = config
        self.device = device
        self.dtype = _precision(config.precision, device)
        self._network = network
        self._parameters = list(objective.parameters())
        self._optimizer = _optimizer(self._parameters, config)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self.dtype is torch.float16)
        self.average = copy.deepcopy(network).eval()
        self.average.recomputes = False

    def computing(self) -> contextlib.AbstractContextManager[Any]:
        """In half precision where that was chosen."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a loss."""
        self._scaler.scale(loss).backward()

    def step(self, iteration: int) -> float:
        """Follow the gradient that was added up, forget it, and return the learning rate.

        Raises:
            FloatingPointError: the gradient is not a number; the weights are as they were. In float16, where that
                happens now and then, the step is left out instead, as long as it may be for the scale of the loss.
        """
        rate = learning_rate(iteration, self.config)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._scaler.unscale_(self._optimizer)
        norm = nn.utils.clip_grad_norm_(self._parameters, self.config.gradient_norm or math.inf)
        # Else the scale would be halved for ever, and no step taken any more.
        if not torch.isfinite(norm) and self._scaler.get_scale() <= 1:
            raise FloatingPointError("the gradient is not a number")
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        self._update_average(iteration)
        return rate

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take up what `state` gave, with the settings of now."""
        self.average.load_state_dict(state["average"])
        take_up(self._optimizer, state["optimizer"])
        if state["scaler"]:  # another precision has none
            self._scaler.load_state_dict(state["scaler"])

    @torch.no_grad()
    def _update_average(self, iteration: int) -> None:
        # It begins anew where the network begins to segment.
        count = max(0, iteration - self.config.pretraining_iterations)
        decay = min(self.config.average, (1 + count) / (10 + count))
        for kept, new in zip(self.average.parameters(), self._network.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)


def take_up(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimizer's state, but for its settings, which may have been changed since."""
    settings = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict(state | {"param_groups": settings})


def _precision(name: str, device: torch.device) -> torch.dtype | None:
    """The type of half precision, or None for float32."""
    if name == "auto":
        return autocast_type(device) if device.type == "cuda" else None
    dtype = _TYPES[name]
    gpu_has = device.type == "cuda" and (dtype is torch.float16 or torch.cuda.get_device_capability(device) >= (8, 0))
    cpu_has = device.type == "cpu" and dtype is torch.bfloat16 and cpu_has_bfloat16()
    if dtype is not None and not (gpu_has or cpu_has):
        message = f"The device {device} has no instructions for {name}."
        raise UsageError("NO_SUCH_PRECISION", message, "Set precision to auto or float32.")
    return dtype


def _optimizer(parameters: list[nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    rate, decay = config.learning_rate, config.weight_decay
    if config.optimizer == "sgd":
        # Nesterov's method is not defined without momentum.
        nesterov = config.momentum > 0
        return torch.optim.SGD(parameters, rate, config.momentum, nesterov=nesterov, weight_decay=decay)
    return torch.optim.AdamW(parameters, rate, weight_decay=decay)
