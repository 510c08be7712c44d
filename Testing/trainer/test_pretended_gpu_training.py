"""Training on a pretended GPU: tensors of two devices never meet, and the losses are those of the CPU."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from phantoms import make_case, write_case
from pretended_gpu import CPU, GPU, pretended_gpu
from tiny_models import CONFIG

from lckd.errors import CancelledError
from lckd.network import PRESETS
from lckd.predictor import Predictor
from lckd_training.config import TrainingConfig
from lckd_training.run.folder import RunFolder
from lckd_training.run.train import train

#: Torch takes the pretended GPU for the device without values that it is made from.
pytestmark = pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter:UserWarning")

SHORT = [
    "iterations=3",
    "election_interval=2",
    "checkpoint_interval=2",
    "election=[b]",
    "patch=16",
    "batch=2",
    "augmentation=none",
    "precision=float32",
]
#: What differs in the tensors that meet.
WAYS = {
    "as usual": [],
    "authors": ["imputation=zero", "optimizer=sgd", "election_dice=soft", "deep_supervision=0.5", "distance=2"],
    "learned": ["imputation=mean", "teachers=learned", "weights_interval=2", "weights_draws=1", "accumulate=2"],
    "pre-training": ["pretraining_iterations=1", "missing_per=sample", "checkpoint_activations=true"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for seed, name in enumerate("abc"):
        write_case(root / name, make_case(seed))
    return root


def losses(run: Path) -> np.ndarray:
    events = [json.loads(line) for line in RunFolder(run).events.read_text().splitlines()]
    return np.array([[e["loss"], e["loss_task"], e["loss_ckd"]] for e in events if e["event"] == "step"])


@pytest.mark.parametrize("way", WAYS)
def test_a_run_stopped_and_resumed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setitem(PRESETS, "small", CONFIG)
    config = TrainingConfig.preset("smoke").overridden([*SHORT, *WAYS[way]])
    for device in (CPU, GPU):
        monkeypatch.setattr("lckd_training.run.train.choose_device", lambda _, device=device: device)
        with pretended_gpu():
            for resume in (False, True):
                run = tmp_path / str(device)
                done = 0 if not resume else len(losses(run))
                stopping = {"should_stop": lambda run=run: len(losses(run)) == 1} if not resume else {}
                try:
                    train(data, config, run, resume, cache=tmp_path / "cache", **stopping)
                except CancelledError:
                    assert not resume
                assert len(losses(run)) > done
    assert len(losses(tmp_path / "cpu")) == 3
    assert np.allclose(losses(tmp_path / "meta"), losses(tmp_path / "cpu"), rtol=1e-4, atol=1e-6)


def test_an_election_that_falls_back_to_the_cpu_leaves_the_weights_where_they_were(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnAFullGpu(Predictor):
        def _parts(self, *arguments: Any) -> Any:
            if self.plan.device == GPU:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
            return super()._parts(*arguments)

    monkeypatch.setitem(PRESETS, "small", CONFIG)
    monkeypatch.setattr("lckd_training.run.train.choose_device", lambda _: GPU)
    monkeypatch.setattr("lckd_training.run.trainer.Predictor", OnAFullGpu)
    with pretended_gpu():
        train(data, TrainingConfig.preset("smoke").overridden(SHORT), tmp_path / "run")
    assert len(losses(tmp_path / "run")) == 3
