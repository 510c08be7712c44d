"""What a run has made so far."""

from __future__ import annotations

from pathlib import Path

from lckd.errors import InputError
from lckd.network import LCKDNetwork, build_network

from ..config import TrainingConfig
from .folder import RunFolder


def load_averaged(run: Path, best: bool = False) -> tuple[LCKDNetwork, TrainingConfig, int]:
    """The averaged network of a run's last or best checkpoint, its settings, and the number of iterations done.

    Raises:
        InputError: the folder holds no checkpoint.
    """
    folder = RunFolder(run)
    state = folder.load_best() if best else folder.load_checkpoint()
    if state is None:
        raise InputError("NO_CHECKPOINT", f"{run} holds no checkpoint.", "Choose the folder of a training run.")
    config = TrainingConfig.preset(str(folder.config))
    network = build_network(config.network)
    network.load_state_dict(state["average"])
    return network.eval(), config, state["iteration"]
