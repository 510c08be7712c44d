"""Training samples: which sequences are there, and where the patch is cut.

Every draw comes from a generator that is seeded by seed, iteration and place, so that a resumed run goes on exactly as
it would have without the interruption, with no random state to save, whoever draws, and in whatever order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lckd.sequences import Sequence, Subset, subset_of

from ..config import TrainingConfig
from ..data.cases import TrainingCase
from .augmentation import DEFORMATIONS, vary_intensity, vary_space
from .masking import Hiding, draw_hiding

#: What a generator is for; the first number of its seed after that of the run.
_PATCH, _HOW_MANY, _WHICH, _FURTHER, _HELD_OUT, _HIDDEN = range(6)


@dataclass(frozen=True)
class Sample:
    """Patches that have the same sequences.

    Attributes:
        images: (B, 1, D, H, W) of each sequence that was not dropped.
        regions: (B, 3, D, H, W) in {0, 1}, in the order ET, TC, WT.
        cases: names of the cases they are cut from.
    """

    images: Mapping[Sequence, Tensor]
    regions: Tensor
    cases: tuple[str, ...] = ()

    @property
    def present(self) -> Subset:
        """The sequences at hand."""
        return subset_of(self.images)

    def to(self, device: torch.device) -> Sample:
        """The same on a device; does not wait for the copy where memory is pinned."""
        # To an Apple GPU the copy would be made when the memory may hold something else (PyTorch issue 189690).
        ahead = device.type == "cuda"
        images = {sequence: image.to(device, non_blocking=ahead) for sequence, image in self.images.items()}
        return Sample(images, self.regions.to(device, non_blocking=ahead), self.cases)

    def pin_memory(self) -> Sample:
        """The same in memory from which a GPU copies without waiting; called by torch's data loader."""
        images = {sequence: image.pin_memory() for sequence, image in self.images.items()}
        return Sample(images, self.regions.pin_memory(), self.cases)


@dataclass(frozen=True)
class BatchDrawer:
    """Draws the batches of one training process; a function of the iteration.

    Attributes:
        cases: to train on.
        config: the settings.
        rank: number of the process among its peers.
        unlabeled: cases that take part in pre-training only.
    """

    cases: list[TrainingCase]
    config: TrainingConfig
    rank: int = 0
    unlabeled: list[TrainingCase] = field(default_factory=list)

    def __call__(self, iteration: int) -> list[Sample]:
        """The parts of a batch: patches with the same sequences together, at most batch / accumulate in one."""
        config = self.config
        cases = [*self.cases, *self.unlabeled] if self.pretrains(iteration) else self.cases
        parts: dict[Subset, list[Sample]] = {}
        for number in range(self.rank * config.batch, (self.rank + 1) * config.batch):
            rng = self._rng(_PATCH, iteration, number)
            case = cases[rng.integers(len(cases))]
            present = self._present(case.present, iteration, number)
            parts.setdefault(present, []).append(draw_patch(case, present, config, rng))
        most = config.batch // config.accumulate
        return [
            _stacked(patches[first : first + most])
            for patches in parts.values()
            for first in range(0, len(patches), most)
        ]

    def subsets(self, present: Subset, iteration: int) -> list[Subset]:
        """The subsets that are decoded from a part that has these sequences; the first is all of them.

        In the first iterations, in which nothing is dropped, it is the only one.
        """
        if iteration < self.config.full_iterations:
            return [present]
        place = self.rank if self.config.missing_per == "batch" else 0
        rng = self._rng(_FURTHER, iteration, place)
        return [present, *(draw_present(present, rng) for _ in range(self.config.subsets_per_step - 1))]

    def pretrains(self, iteration: int) -> bool:
        """Whether that is an iteration of pre-training."""
        return iteration < self.config.pretraining_iterations

    def hiding(self, parts: list[Sample], number: int, iteration: int) -> Hiding:
        """What pre-training hides of one of the parts of a batch."""
        part, before = parts[number], sum(len(part.cases) for part in parts[:number])
        rng = self._rng(_HIDDEN, iteration, self.rank * self.config.batch + before)
        left = draw_present(part.present, rng, self.config.missing)
        return draw_hiding(left, len(part.cases), self.config.patch, self.config.masked_share, rng)

    def _present(self, available: Subset, iteration: int, number: int) -> Subset:
        """What is left of the sequences of a patch.

        Where a batch lacks the same sequences, all processes encode equally many, so that none waits for the others.
        """
        if self.pretrains(iteration) or iteration < self.config.full_iterations:
            return available
        per_batch = self.config.missing_per == "batch"
        how_many = self._rng(_HOW_MANY, iteration, 0 if per_batch else number)
        which = self._rng(_WHICH, iteration, self.rank if per_batch else number)
        return draw_present(available, which, self.config.missing, how_many)

    def _rng(self, purpose: int, iteration: int, place: int) -> np.random.Generator:
        return np.random.default_rng([self.config.seed, purpose, iteration, place])


def draw_held_out(cases: list[TrainingCase], config: TrainingConfig, iteration: int, number: int) -> Sample:
    """A patch of an election case with all its sequences, for learning the teacher weights."""
    rng = np.random.default_rng([config.seed, _HELD_OUT, iteration, number])
    case = cases[rng.integers(len(cases))]
    return draw_patch(case, case.present, config, rng)


def draw_present(
    available: Subset, rng: np.random.Generator, law: str = "number", count_rng: np.random.Generator | None = None
) -> Subset:
    """The sequences that are not dropped; at least one stays.

    ``number`` is the paper's law (how many are dropped, uniformly, then which), ``some`` the authors' code's (the same,
    but at least one is dropped), ``subset`` takes each subset equally often.

    Args:
        available: those of the case.
        rng: draws which.
        law: name of the law.
        count_rng: draws how many; None: `rng`.
    """
    counts = count_rng or rng
    if law == "subset":
        sizes = [math.comb(len(available), size) for size in range(1, len(available) + 1)]
        keep = 1 + int(counts.choice(len(sizes), p=np.array(sizes) / sum(sizes)))
    else:
        least = min(1, len(available) - 1) if law == "some" else 0
        keep = len(available) - int(counts.integers(least, len(available)))
    return subset_of(available[index] for index in rng.choice(len(available), keep, replace=False))


def draw_patch(case: TrainingCase, present: Subset, config: TrainingConfig, rng: np.random.Generator) -> Sample:
    """A varied patch of some sequences of a case, centered on a tumor voxel with the configured probability."""
    deformation = DEFORMATIONS[config.augmentation]
    deform = rng.random() < deformation.probability
    # Cut larger where it will be turned or scaled, so that its corners are not empty.
    size = tuple(16 * round(n * deformation.margin / 16) for n in config.patch) if deform else config.patch
    start = _patch_start(case, size, config.tumor_share, rng)
    stack = np.stack([_cut(case.images[sequence], start, size) for sequence in present]).astype(np.float32)
    regions = np.stack([_cut(region, start, size) for region in case.regions]).astype(np.float32)
    seed = int(rng.integers(2**31))
    name = config.augmentation
    image, labels = vary_space(torch.from_numpy(stack), torch.from_numpy(regions), config.patch, name, deform, seed)
    images = {
        sequence: vary_intensity(image[number : number + 1], name, seed + 1 + number)[None].float().contiguous()
        for number, sequence in enumerate(present)
    }
    return Sample(images, labels[None].float().contiguous(), (case.name,))


def _stacked(samples: list[Sample]) -> Sample:
    if len(samples) == 1:
        return samples[0]
    images = {sequence: torch.cat([sample.images[sequence] for sample in samples]) for sequence in samples[0].images}
    cases = tuple(name for sample in samples for name in sample.cases)
    return Sample(images, torch.cat([sample.regions for sample in samples]), cases)


def _patch_start(
    case: TrainingCase, size: tuple[int, ...], tumor_share: float, rng: np.random.Generator
) -> NDArray[np.int_]:
    """Lowest corner of a box: around a tumor voxel, or anywhere; kept inside the volume where that is larger."""
    shape, length = np.asarray(case.regions.shape[1:]), np.asarray(size)
    highest = np.maximum(shape - length, 0)
    if len(case.tumor) and rng.random() < tumor_share:
        center = case.tumor[rng.integers(len(case.tumor))]
        jitter = rng.integers(-length // 6, length // 6 + 1)
        return np.clip(center + jitter - length // 2, 0, highest)
    return rng.integers(0, highest + 1)


def _cut(array: NDArray, start: NDArray[np.int_], size: tuple[int, ...]) -> NDArray:
    """A box, padded with zeros at the far side where the volume ends."""
    part = array[tuple(slice(low, low + length) for low, length in zip(start, size, strict=True))]
    missing = [(0, length - has) for length, has in zip(size, part.shape, strict=True)]
    return np.pad(part, missing) if any(after for _, after in missing) else part
