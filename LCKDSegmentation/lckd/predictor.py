"""Encode each present sequence once, decode any subset: from a prepared case to region probabilities."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .device import computing_on, describe_device, is_out_of_memory, place
from .errors import OutOfMemoryError
from .labels import REGIONS
from .memory import physical_bytes
from .network import Encodings, LCKDNetwork
from .prepare import PreparedCase
from .sequences import Subset
from .windows import Window, importance, plan_windows

T = TypeVar("T")
Probabilities = NDArray[np.float32]
#: Cost of decoding a subset, as a share of encoding one sequence; only the progress bar depends on it.
DECODE_COST = 0.5
MIN_WINDOW_VOXELS = 64**3
#: Features that are kept may take this part of the GPU's memory, or of the computer's.
KEPT_ON_GPU, KEPT_IN_MAIN = 0.5, 0.25
NO_FLIP: tuple[int, ...] = ()
ALL_FLIPS = tuple(flip for count in range(4) for flip in itertools.combinations((2, 3, 4), count))


@dataclass(frozen=True)
class Plan:
    """How a case is put through the network: device, largest window, and whether features wait in main memory."""

    device: torch.device
    window_voxels: int
    offload: bool = False

    def __str__(self) -> str:
        where = ", features in main memory" if self.offload else ""
        return f"windows of at most {self.window_voxels / 1e6:.2g} million voxels on {self.device}{where}"


@dataclass
class EncodedCase:
    """Everything that is needed to decode any subset of a case's sequences again.

    Attributes:
        prepared: the case.
        plan: how it was encoded; another one after memory ran out in decoding.
        parts: window, mirrored axes and encodings, for every window and mirroring.
    """

    prepared: PreparedCase
    plan: Plan
    parts: list[tuple[Window, tuple[int, ...], Encodings]]

    @property
    def nbytes(self) -> int:
        """Memory that the features take."""
        return sum(encodings.nbytes for _, _, encodings in self.parts)


class Predictor:
    """Runs a network over prepared cases.

    Args:
        network: in evaluation mode.
        device: where it runs.
        mirror: average over the eight mirrorings of the volume (eight times the work).
        half: compute in half precision where the device has the instructions for it.
        warn: told in words when memory ran out and how the work goes on.
    """

    def __init__(
        self,
        network: LCKDNetwork,
        device: torch.device,
        mirror: bool = False,
        half: bool = True,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.network = network
        self.flips = ALL_FLIPS if mirror else (NO_FLIP,)
        self.half = half
        self.warn = warn
        self.plan = Plan(device, network.config.window_voxels)

    def predict(
        self,
        prepared: PreparedCase,
        subsets: Iterable[Subset],
        tell: Callable[[float], None] = lambda _: None,
    ) -> dict[Subset, Probabilities]:
        """Nested region probabilities (3, D, H, W) in the order ET, TC, WT, for each subset.

        Each sequence is encoded once; only one window's features are in memory at a time.

        Raises:
            OutOfMemoryError: not even small windows on the CPU fit.
        """
        wanted, tell = list(subsets), _never_backwards(tell)
        return self._with_enough_memory(lambda: self._predict(prepared, wanted, tell))

    def encode(self, prepared: PreparedCase, tell: Callable[[float], None] = lambda _: None) -> EncodedCase:
        """Encode a case and keep the features, so that a further subset costs only its decoding.

        Raises:
            OutOfMemoryError: not even small windows on the CPU fit, or the features would take more of the memory than
                is left for them (`KEPT_ON_GPU`, `KEPT_IN_MAIN`).
        """
        tell = _never_backwards(tell)

        def run() -> EncodedCase:
            count = len(self.flips) * self._count(prepared)
            parts = []
            for part in self._parts(prepared, _Counter(count * len(prepared.present), tell)):
                parts.append(part)
                if parts[0][2].nbytes * count > _room_for_features(self.plan):
                    raise _does_not_fit()
            return EncodedCase(prepared, self.plan, parts)

        return self._with_enough_memory(run)

    def decode(
        self, encoded: EncodedCase, subset: Subset, tell: Callable[[float], None] = lambda _: None
    ) -> Probabilities:
        """Nested region probabilities (3, D, H, W) of one subset of an encoded case.

        Raises:
            OutOfMemoryError: not even small windows on the CPU fit.
        """
        tell = _never_backwards(tell)
        if not encoded.parts:
            again = self.encode(encoded.prepared)
            encoded.plan, encoded.parts = again.plan, again.parts
        try:
            return self._decode(encoded, subset, tell)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # The features go before the smaller ones are made, and those are kept for the next subset.
        encoded.parts = []
        self._make_smaller()
        return self.decode(encoded, subset, tell)

    def _decode(self, encoded: EncodedCase, subset: Subset, tell: Callable[[float], None]) -> Probabilities:
        place(self.network, encoded.plan.device)
        canvas, counter = _Canvas(encoded.prepared.grid.shape), _Counter(len(encoded.parts), tell)
        for window, flip, encodings in encoded.parts:
            canvas.add(window, self._decode_part(encodings, flip, subset, encoded.plan))
            counter.advance(1)
        return canvas.result()

    def _predict(
        self, prepared: PreparedCase, subsets: list[Subset], tell: Callable[[float], None]
    ) -> dict[Subset, Probabilities]:
        each = len(prepared.present) + DECODE_COST * len(subsets)
        counter = _Counter(len(self.flips) * self._count(prepared) * each, tell)
        canvases = {subset: _Canvas(prepared.grid.shape) for subset in subsets}
        for window, flip, encodings in self._parts(prepared, counter):
            for subset, canvas in canvases.items():
                canvas.add(window, self._decode_part(encodings, flip, subset, self.plan))
                counter.advance(DECODE_COST)
        return {subset: canvas.result() for subset, canvas in canvases.items()}

    def _windows(self, prepared: PreparedCase) -> list[Window]:
        return plan_windows(prepared.grid.shape, self.network.stride, self.plan.window_voxels)

    def _count(self, prepared: PreparedCase) -> int:
        return len(self._windows(prepared))

    def _parts(self, prepared: PreparedCase, counter: _Counter) -> Iterator[tuple[Window, tuple[int, ...], Encodings]]:
        """Encode window by window, mirroring by mirroring, sequence by sequence."""
        place(self.network, self.plan.device)
        volumes = {sequence: torch.from_numpy(array)[None, None] for sequence, array in prepared.arrays.items()}
        for window in self._windows(prepared):
            for flip in self.flips:
                features, zero = {}, None
                for sequence, volume in volumes.items():
                    image = _mirrored(window.cut(volume), flip).to(self.plan.device)
                    with computing_on(self.plan.device, self.half):
                        encodings = self.network.encode({sequence: image})
                    if self.plan.offload:
                        encodings = encodings.to("cpu")
                    features[sequence], zero = encodings.features[sequence], encodings.zero
                    counter.advance(1)
                yield window, flip, Encodings(features, zero)

    def _decode_part(self, encodings: Encodings, flip: tuple[int, ...], subset: Subset, plan: Plan) -> Tensor:
        """Probabilities (3, D, H, W) of one window on the CPU."""
        if plan.offload:
            chosen = {sequence: encodings.features[sequence] for sequence in subset}
            encodings = Encodings(chosen, encodings.zero).to(plan.device)
        with computing_on(plan.device, self.half):
            logits = self.network.decode(encodings, subset)
            return _mirrored(logits.float().sigmoid_(), flip)[0].cpu()

    def _with_enough_memory(self, run: Callable[[], T]) -> T:
        while True:
            try:
                return run()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._make_smaller()

    def _make_smaller(self) -> None:
        """Take the next, more modest plan: smaller windows, then features off the device, then the CPU."""
        plan = self.plan
        if plan.device.type == "cuda":
            torch.cuda.empty_cache()
        if plan.window_voxels > MIN_WINDOW_VOXELS:
            self.plan = replace(plan, window_voxels=max(MIN_WINDOW_VOXELS, plan.window_voxels // 2))
        elif plan.device.type == "cpu":
            raise _does_not_fit()
        elif not plan.offload:
            self.plan = replace(plan, offload=True)
        else:
            self.plan = Plan(torch.device("cpu"), self.network.config.window_voxels)
        self.warn(f"Memory ran out on {describe_device(plan.device)}; going on with {self.plan}.")


def _mirrored(volume: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The volume mirrored along some axes; torch copies it even where there are none."""
    return volume.flip(axes) if axes else volume


def _room_for_features(plan: Plan) -> float:
    """How many bytes the features of a case may take where the plan keeps them."""
    if plan.device.type == "cuda" and not plan.offload:
        return KEPT_ON_GPU * torch.cuda.mem_get_info(plan.device)[1]
    return KEPT_IN_MAIN * (physical_bytes() or math.inf)


def _does_not_fit() -> OutOfMemoryError:
    return OutOfMemoryError(
        "OUT_OF_MEMORY",
        "The case does not fit into this computer's memory.",
        "Close other programs, or use a smaller model or another computer.",
    )


def _never_backwards(tell: Callable[[float], None]) -> Callable[[float], None]:
    """Work that is done again after memory ran out does not take back what was told."""
    furthest = 0.0

    def forward(fraction: float) -> None:
        nonlocal furthest
        furthest = max(furthest, fraction)
        tell(furthest)

    return forward


class _Counter:
    """Turns pieces of work done into a fraction."""

    def __init__(self, total: float, tell: Callable[[float], None]) -> None:
        self.total, self.tell, self.done = total, tell, 0.0

    def advance(self, work: float) -> None:
        self.done += work
        self.tell(min(1.0, self.done / self.total))


class _Canvas:
    """Weighted mean of the windows' probabilities; windows that are the whole volume need no weights."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self.total: Tensor | None = None
        self.weight = torch.zeros(())

    def add(self, window: Window, probabilities: Tensor) -> None:
        there, here = window.inside(self.shape)
        part = probabilities[(slice(None), *here)]
        if all(place == slice(0, length) for place, length in zip(there, self.shape, strict=True)):
            self.total = part if self.total is None else self.total + part
            self.weight = self.weight + 1
            return
        if self.total is None:
            self.total, self.weight = torch.zeros((len(REGIONS), *self.shape)), torch.zeros(self.shape)
        weight = importance(window.size)[here]
        self.total[(slice(None), *there)] += part * weight
        self.weight[there] += weight

    def result(self) -> Probabilities:
        assert self.total is not None
        single = self.weight.ndim == 0 and self.weight == 1
        return nested((self.total if single else self.total / self.weight).numpy())


def nested(probabilities: Probabilities) -> Probabilities:
    """Make the regions nested: a voxel is at least as likely tumor core as enhancing, and whole tumor as core."""
    for inner, outer in itertools.pairwise(probabilities):
        np.maximum(inner, outer, out=outer)
    return probabilities
