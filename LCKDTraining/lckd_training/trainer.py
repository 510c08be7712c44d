"""The training loop: one patch a step and process, resumable after any interruption."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lckd.device import place
from lckd.errors import InputError, LckdError, UsageError
from lckd.labels import Region
from lckd.models import load_model
from lckd.network import LCKDNetwork, build_network
from lckd.sequences import Sequence, Subset

from .config import TrainingConfig
from .data import TrainingCase, find_labeled, load_cases
from .distributed import Group
from .election import count_votes, elect, mean_dice, teacher_set
from .losses import distillation_loss, task_loss
from .run_folder import RunFolder
from .sampling import Sample, draw_patch, draw_present
from .schedule import learning_rate
from .split import Split

Announce = Callable[[dict[str, Any]], None]


class Trainer:
    """A run: network, moving average, optimizer, teachers and the number of iterations done.

    Args:
        config: the resolved settings.
        folder: where everything is written; a checkpoint in it is taken up.
        cases: cases to train on.
        election: cases that elect the teachers.
        group: the processes that train together.
        announce: gets every event that is also written to ``events.jsonl``.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: RunFolder,
        cases: list[TrainingCase],
        election: list[TrainingCase],
        group: Group,
        announce: Announce = lambda _: None,
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.folder, self.cases, self.election = config, folder, cases, election
        self.group, self.announce = group, announce
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = place(_first_network(config), self.device)
        self.average = copy.deepcopy(self.network).eval()
        self.optimizer = _optimizer(self.network, config)
        self.teachers: dict[Region, Sequence] = {}
        self.iteration = 0

    def resume(self) -> None:
        """Take up the last checkpoint of the folder, if there is one."""
        state = self.folder.load_checkpoint()
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.teachers = {Region(r): Sequence(s) for r, s in state["teachers"].items()}
        self.iteration = state["iteration"]

    def run(self) -> None:
        """Train up to the configured number of iterations.

        Raises:
            LckdError: the loss is no longer a number; the last checkpoint is kept.
        """
        while self.iteration < self.config.iterations:
            self._step()
            self.iteration += 1
            if self.iteration % self.config.election_interval == 0:
                self._elect()
            if self.iteration % self.config.checkpoint_interval == 0 or self.iteration == self.config.iterations:
                self._save()

    def _step(self) -> None:
        started = time.perf_counter()
        rng = np.random.default_rng([self.config.seed, self.iteration, self.group.rank])
        sample = self._draw(rng)
        loaded = time.perf_counter()
        rate = learning_rate(self.iteration, self.config)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        task, ckd = self._losses(sample, rng)
        loss = task + self.config.alpha * ckd
        values = self.group.sum(np.array([value.item() for value in (loss, task, ckd)])) / self.group.size
        if not np.isfinite(values).all():
            raise LckdError("LOSS_NOT_FINITE", "The training loss is no longer a number.", "Lower the learning rate.")
        loss.backward()
        self.group.mean_gradients(self.network.parameters())
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.gradient_norm)
        self.optimizer.step()
        self._update_average()
        self._report(
            event="step",
            iteration=self.iteration,
            loss=values[0],
            loss_task=values[1],
            loss_ckd=values[2],
            lr=rate,
            present=[sequence.value for sequence in sample.images],
            seconds=time.perf_counter() - started,
            seconds_data=loaded - started,
        )

    def _draw(self, rng: np.random.Generator) -> Sample:
        case = self.cases[rng.integers(len(self.cases))]
        present = draw_present(case.present, rng, np.random.default_rng([self.config.seed, self.iteration]))
        sample = draw_patch(case, present, self.config.patch, self.config.tumor_share, rng)
        images = {sequence: image.to(self.device) for sequence, image in sample.images.items()}
        return Sample(images, sample.regions.to(self.device))

    def _losses(self, sample: Sample, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Mean task loss over the decoded subsets, and distillation among what was encoded."""
        encodings = self.network.encode(sample.images)
        subsets: list[Subset] = [encodings.present]
        while len(subsets) < self.config.subsets_per_step:
            subsets.append(draw_present(encodings.present, rng))
        losses = [task_loss(self.network.decode(encodings, subset), sample.regions) for subset in subsets]
        teachers = teacher_set(self.teachers, self.config.several_teachers) if self.teachers else ()
        return torch.stack(losses).mean(), distillation_loss(encodings, teachers, self.config.distance)

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.config.average, (1 + self.iteration) / (10 + self.iteration))
        for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)

    def _elect(self) -> None:
        """Each process polls its share of the election cases with the averaged weights."""
        own = self.election[self.group.rank :: self.group.size]
        dice = mean_dice(self.group.sum(count_votes(self.average, own)))
        self.teachers = elect(dice)
        self._report(
            event="election",
            iteration=self.iteration,
            dice={s.value: {r.value: value for r, value in by_region.items()} for s, by_region in dice.items()},
            teachers={region.value: sequence.value for region, sequence in self.teachers.items()},
        )

    def _save(self) -> None:
        if not self.group.is_first:
            return
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "teachers": {region.value: sequence.value for region, sequence in self.teachers.items()},
            "iteration": self.iteration,
        }
        self.folder.save_checkpoint(state, self.iteration, self.config.keep_checkpoints)

    def _report(self, **event: Any) -> None:
        if self.group.is_first:
            self.folder.append_event(event)
            self.announce(event)


def _first_network(config: TrainingConfig) -> LCKDNetwork:
    """The network before the first step: with the weights of the model to start from, if there is one."""
    if not config.start_from:
        return build_network(config.network)
    model = load_model(config.start_from)
    if model.network.config != config.network:
        raise UsageError(
            "BAD_SETTING",
            f"The model '{model.name}' to start from has another network than the settings describe.",
            "Set size and imputation as its card says, or start from another model.",
        )
    return model.network.train()


def _optimizer(network: LCKDNetwork, config: TrainingConfig) -> torch.optim.Optimizer:
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(),
            lr=config.learning_rate,
            momentum=config.momentum,
            nesterov=True,
            weight_decay=config.weight_decay,
        )
    return torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)


def train(
    data: Path, config: TrainingConfig, run: Path, resume: bool = False, announce: Announce = lambda _: None
) -> None:
    """Train on the labeled cases below `data`, into the run folder `run`.

    Raises:
        InputError: no usable cases, or the run folder has a run and `resume` is not asked for.
    """
    folder, group = RunFolder(run), Group()
    if folder.load_checkpoint() is not None and not resume:
        raise InputError("RUN_EXISTS", f"{run} already holds a run.", "Add --resume, or choose another folder.")
    files = find_labeled(data)
    split = Split.read(folder.split) if folder.split.exists() else Split.draw((file.name for file in files), config)
    if group.is_first:
        run.mkdir(parents=True, exist_ok=True)
        folder.write_text(folder.config, config.to_yaml())
        split.write(folder.split)
        load_cases(files, run / "cache", lambda text: announce({"event": "stage", "message": text}))
    group.barrier()
    by_name = {case.name: case for case in load_cases(files, run / "cache")}
    trainer = Trainer(
        config, folder, [by_name[n] for n in split.train], [by_name[n] for n in split.election], group, announce
    )
    trainer.resume()
    try:
        trainer.run()
    finally:
        group.close()
