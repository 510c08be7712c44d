"""The training loop, resumable after any interruption."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from lckd.device import place
from lckd.errors import LckdError, UsageError
from lckd.labels import Region
from lckd.memory import resident_mb
from lckd.models import load_model
from lckd.network import LCKDNetwork, build_network
from lckd.predictor import Predictor
from lckd.sequences import Sequence

from ..config import TrainingConfig
from ..data.cases import TrainingCase
from ..data.loading import PatchLoader
from ..distributed import Group
from ..method.election import Election, count_up, count_votes, elect, teaching
from ..method.losses import Teaching
from ..method.masking import Hiding
from ..method.objective import Objective
from ..method.sampling import BatchDrawer, Sample, draw_held_out
from ..method.teacher_weights import TeacherWeights
from .averaged import load_averaged
from .folder import RunFolder
from .optimization import Optimization
from .reporter import Reporter, this_process


class Trainer:
    """A run: network, optimization, teachers, and the number of iterations done.

    Args:
        config: the resolved settings.
        folder: where everything is written; `resume` takes up a checkpoint in it.
        cases: cases to train on.
        election: cases that elect the teachers, or teach their weights; the network never learns from them.
        group: the processes that train together.
        reporter: tells what happens.
        should_stop: asked after each iteration; any process may want it.
        unlabeled: cases without a segmentation, for pre-training.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: RunFolder,
        cases: list[TrainingCase],
        election: list[TrainingCase],
        group: Group,
        reporter: Reporter,
        should_stop: Callable[[], bool] = lambda: False,
        unlabeled: Iterable[TrainingCase] = (),
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.folder, self.election = config, folder, election
        self.group, self.reporter, self.should_stop = group, reporter, should_stop
        self.device = group.device
        self.network = place(_first_network(config, folder), self.device)
        _require_stride(config, self.network)
        objective = place(Objective(self.network, config), self.device)
        self.optimization = Optimization(objective, self.network, config, self.device)
        self.network.recomputes = config.checkpoint_activations
        if config.compile:
            self.network.encoder.compile()
        self.objective = objective
        # Pre-training leaves the regions' head out, and segmentation the head of pre-training.
        self.shared = group.share(objective, some_unused=config.pretraining_iterations > 0)
        self.draw = BatchDrawer(cases, config, group.rank, list(unlabeled))
        self.teachers: dict[Region, Sequence] = {}
        self.weights = TeacherWeights(config.weights_rate, config.weights_decay, self.device)
        self.best = 0.0
        self.iteration = self._first = 0
        self._started = time.perf_counter()

    def resume(self) -> None:
        """Take up the last checkpoint of the folder, if there is one."""
        state = self.folder.load_checkpoint()
        if state is None:
            return
        self.objective.load_state_dict(state["objective"])
        self.optimization.load(state)
        self.weights.load(state["weights"])
        self.teachers = {Region(r): Sequence(s) for r, s in state["teachers"].items()}
        self.best, self.iteration = state["best"], state["iteration"]

    def run(self) -> bool:
        """Train up to the configured number of iterations; return whether that was reached.

        Raises:
            LckdError: the loss is no longer a number, or a file cannot be written; the last checkpoint is kept.
        """
        config, pin = self.config, self.device.type == "cuda"
        self._started, self._first = time.perf_counter(), self.iteration
        self.reporter.report(event="start", iteration=self.iteration, **self._circumstances())
        with PatchLoader(self.draw, self.iteration, config.iterations, config.workers, pin) as loader:
            for parts in loader:
                stopping = self._step(parts, loader.waited)
                self.iteration += 1
                if self.iteration > config.pretraining_iterations:
                    self._judge_sequences()
                last = stopping or self.iteration == config.iterations
                if last or self.iteration % config.checkpoint_interval == 0:
                    self._save()
                if stopping:
                    break
        finished = self.iteration >= config.iterations
        self.reporter.end("finished" if finished else "interrupted")
        return finished

    def teaching(self) -> Teaching:
        """How much each sequence teaches now."""
        if self.config.teachers == "learned":
            return self.weights.teaching()
        return teaching(self.teachers, self.config.teachers == "several")

    def _judge_sequences(self) -> None:
        """When it is time, elect the teachers and learn their weights."""
        if self.iteration % self.config.election_interval == 0:
            self._elect()
        if self.config.teachers == "learned" and self.iteration % self.config.weights_interval == 0:
            self._learn_weights()

    def _step(self, parts: list[Sample], waited: float) -> bool:
        """One optimizer step on a batch; return whether somebody wants to stop after it."""
        started = time.perf_counter()
        terms = self._add_gradients(parts)
        values = self.group.sum(np.array([*terms.sum(axis=0), float(self.should_stop())])) / self.group.size
        if not np.isfinite(values).all():
            self._refuse([part for part, own in zip(parts, terms, strict=True) if not np.isfinite(own).all()])
        try:
            rate = self.optimization.step(self.iteration)
        except FloatingPointError:
            self._refuse(parts)
        seconds = waited + time.perf_counter() - started
        self.reporter.report(
            event="step",
            iteration=self.iteration,
            loss=values[0],
            loss_task=values[1],
            loss_ckd=values[2],
            lr=rate,
            present=[sequence.value for sequence in parts[0].present],
            seconds=seconds,
            seconds_data=waited,
            memory_mb=self._memory_mb(),
            patches_per_second=self.config.batch * self.group.size / seconds,
            seconds_left=self._seconds_left(),
        )
        return values[3] > 0

    def _add_gradients(self, parts: list[Sample]) -> NDArray[np.float64]:
        """Add the gradient of the loss over the batch.

        Returns:
            By part, what it adds to loss, task loss and distillation loss (parts, 3).
        """
        strengths, every = self.teaching(), []
        for number, part in enumerate(parts):
            share = len(part.cases) / self.config.batch
            subsets = self.draw.subsets(part.present, self.iteration)
            hiding = self._hiding(parts, number)
            with self.group.adding(self.shared, number == len(parts) - 1):
                with self.optimization.computing():
                    loss, terms = self.shared(part.to(self.device), subsets, strengths, hiding)
                self.optimization.backward(share * loss)
            every.append(share * terms)
        return torch.stack(every).cpu().double().numpy()

    def _refuse(self, parts: list[Sample]) -> NoReturn:
        """Raise, in all processes, that the loss of some of the parts of their batches is no number."""
        own = [name for part in parts for name in part.cases]
        error = _not_finite(name for names in self.group.gather(own) for name in names)
        self.group.raise_together(error)
        raise error

    def _seconds_left(self) -> float:
        """Of the whole run, at its pace since it was started, elections and checkpoints included."""
        done = self.iteration + 1
        pace = (time.perf_counter() - self._started) / (done - self._first)
        return pace * (self.config.iterations - done)

    def _hiding(self, parts: list[Sample], number: int) -> Hiding | None:
        """What is hidden of a part of the batch; None after pre-training."""
        if not self.draw.pretrains(self.iteration):
            return None
        return self.draw.hiding(parts, number, self.iteration).to(self.device)

    def _elect(self) -> None:
        """Each process polls its share of the election cases with the averaged weights."""
        own = self.election[self.group.rank :: self.group.size]
        predictor = Predictor(self.optimization.average, self.device, half=self.optimization.dtype is not None)
        election = count_up(self.group.sum(count_votes(predictor, own, self.config.election_dice == "soft")))
        # Where the memory of the GPU ran out, they were taken to the CPU.
        place(self.optimization.average, self.device)
        self.teachers = elect(election, self.teachers)
        self.reporter.report(event="election", iteration=self.iteration, **_as_event(election, self.teachers))
        if election.score > self.best:
            self.best = election.score
            if self.group.is_first:
                state = {"average": self.optimization.average.state_dict(), "iteration": self.iteration}
                self.folder.save_best(state)
            self.reporter.report(event="checkpoint", iteration=self.iteration, best=True)

    def _learn_weights(self) -> None:
        """Each process draws its share of the held-out patches; all follow the mean gradient."""
        draws = range(self.group.rank, self.config.weights_draws, self.group.size)
        for number in draws:
            sample = draw_held_out(self.election, self.config, self.iteration, number).to(self.device)
            with self.optimization.computing():
                self.weights.add_gradient(self.network, sample)
        self.weights.update(self.config.weights_draws, self.group)
        weights = {r.value: {s.value: w for s, w in row.items()} for r, row in self.weights.weights().items()}
        self.reporter.report(event="weights", iteration=self.iteration, weights=weights)

    def _save(self) -> None:
        if self.group.is_first:
            state = {
                "objective": self.objective.state_dict(),
                "weights": self.weights.state(),
                "teachers": {region.value: sequence.value for region, sequence in self.teachers.items()},
                "best": self.best,
                "iteration": self.iteration,
            }
            self.folder.save_checkpoint(state | self.optimization.state(), self.iteration, self.config.keep_checkpoints)
        self.reporter.report(event="checkpoint", iteration=self.iteration, best=False)

    def _memory_mb(self) -> float | None:
        if self.device.type == "cuda":
            return round(torch.cuda.max_memory_allocated(self.device) / 2**20, 1)
        return resident_mb()

    def _circumstances(self) -> dict[str, Any]:
        return {
            "iterations": self.config.iterations,
            "pretraining_iterations": self.config.pretraining_iterations,
            "batch": self.config.batch,
            "device": str(self.device),
            "processes": self.group.size,
            **this_process(),
        }


def _as_event(election: Election, teachers: dict[Region, Sequence]) -> dict[str, Any]:
    return {
        "dice": {s.value: {r.value: value for r, value in row.items()} for s, row in election.single.items()},
        "full": {region.value: value for region, value in election.full.items()},
        "score": election.score,
        "teachers": {region.value: sequence.value for region, sequence in teachers.items()},
    }


def _not_finite(names: Iterable[str]) -> LckdError:
    cases = ", ".join(dict.fromkeys(names))
    what = "The training loss or its gradient is no longer a number"
    message = f"{what}, at a patch of {cases}; the last checkpoint is kept."
    return LckdError("LOSS_NOT_FINITE", message, "Resume with a lower learning rate, and check that case.")


def _first_network(config: TrainingConfig, folder: RunFolder) -> LCKDNetwork:
    """The network before the first step: with the weights of the model or run to start from, if there is one.

    A run with a checkpoint has no need of them; they may be gone.
    """
    if not config.start_from or folder.has_checkpoint:
        return build_network(config.network)
    start = Path(config.start_from)
    first = load_averaged(start)[0] if RunFolder(start).is_run else load_model(config.start_from).network
    # No imputation has weights of its own.
    if dataclasses.replace(config.network, imputation=first.config.imputation) != first.config:
        raise UsageError(
            "BAD_SETTING",
            f"'{start.name}' to start from has another network than the settings describe.",
            "Set size as it says, or start from another model.",
        )
    network = build_network(config.network)
    network.load_state_dict(first.state_dict())
    return network


def _require_stride(config: TrainingConfig, network: LCKDNetwork) -> None:
    if any(length % step for length, step in zip(config.patch, network.stride, strict=True)):
        message = f"The size {config.size} takes patches of multiples of {network.stride} voxels, not {config.patch}."
        raise UsageError("BAD_SETTING", message, "Correct the setting patch.")
