"""The sliding window, and what runs a network over it."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lckd.errors import CancelledError, OutOfMemoryError
from lckd.geometry import Grid
from lckd.network import Encodings, LCKDNetwork, NetworkConfig
from lckd.predictor import MIN_WINDOW_VOXELS, Plan, Predictor, nested
from lckd.prepare import PreparedCase
from lckd.progress import Progress
from lckd.sequences import SEQUENCES, Sequence, subsets_of
from lckd.windows import MIN_LENGTH, Window, importance, plan_windows

FLAIR, T1, T1C, T2 = SEQUENCES
CPU = torch.device("cpu")
lengths = st.tuples(*[st.integers(1, 260)] * 3)
strides = st.tuples(*[st.sampled_from([1, 4, 8, 16, 32])] * 3)


@settings(max_examples=60, deadline=None)
@given(lengths, strides, st.integers(1, 8_000_000))
def test_windows_cover_every_voxel_in_sizes_the_network_takes(shape, stride, max_voxels):
    windows = plan_windows(shape, stride, max_voxels)
    (size,) = {window.size for window in windows}
    assert all(length % step == 0 for length, step in zip(size, stride, strict=True))
    starts = [sorted({window.start[axis] for window in windows}) for axis in range(3)]
    assert {window.start for window in windows} == set(itertools.product(*starts))
    assert len(windows) == math.prod(len(values) for values in starts)
    for values, length, whole in zip(starts, size, shape, strict=True):
        covered = np.zeros(whole, dtype=bool)
        for start in values:
            assert 0 <= start < whole
            covered[start : start + length] = True
        assert covered.all()
    # An axis that is divided keeps windows of a useful length, which may be more than was allowed.
    divided = [length for length, values in zip(size, starts, strict=True) if len(values) > 1]
    smallest = math.prod(
        min(step * -(-n // step), step * -(-MIN_LENGTH // step)) for n, step in zip(shape, stride, strict=True)
    )
    assert math.prod(size) <= max(max_voxels, smallest)
    assert all(length >= MIN_LENGTH for length in divided)


def test_a_volume_that_fits_is_one_window():
    assert plan_windows((150, 180, 140), (16, 16, 16), 6_000_000) == [Window((0, 0, 0), (160, 192, 144))]


def test_neighbors_overlap():
    windows = plan_windows((16, 16, 300), (16, 16, 16), 16 * 16 * 112)
    starts = [window.start[2] for window in windows]
    assert len(starts) > 1
    assert max(np.diff(starts)) <= 0.75 * windows[0].size[2] + 1


def test_a_window_past_the_end_is_padded_with_zeros():
    volume = torch.arange(1.0, 28.0).reshape(1, 1, 3, 3, 3)
    part = Window((1, 0, 2), (4, 4, 4)).cut(volume)
    assert part.shape == (1, 1, 4, 4, 4)
    assert torch.equal(part[..., :2, :3, :1], volume[..., 1:, :, 2:])
    assert part.sum() == volume[..., 1:, :, 2:].sum()


@pytest.mark.parametrize("size", [(16, 16, 16), (64, 32, 16), (96, 112, 80)])
def test_weights_are_positive_symmetric_and_highest_in_the_middle(size):
    weights = importance(size)
    assert weights.shape == size
    assert weights.min() > 0
    assert torch.allclose(weights, weights.flip(0, 1, 2))
    assert weights.max() == weights[tuple(length // 2 for length in size)]


class Same(nn.Module):
    """Features are the image; `fail` may raise instead."""

    def __init__(self):
        super().__init__()
        self.images, self.fail = [], lambda image: None

    def forward(self, image):
        self.fail(image)
        self.images.append(tuple(image.shape[2:]))
        return [image]


class Weigh(nn.Module):
    """Logits of ET, TC, WT from the mean image of a subset; `aware` also of what else the window shows."""

    def __init__(self, aware):
        super().__init__()
        self.aware, self.calls = aware, 0

    def forward(self, encodings, subset):
        self.calls += 1
        mean = torch.stack([encodings.features[sequence][0] for sequence in subset]).mean(0)
        if self.aware:
            mean = mean + mean.mean() + torch.linspace(-1, 1, mean.shape[-1])
        return torch.cat([mean - 1, 0.5 * mean, 1 - mean], dim=1)


def toy(window_voxels=10**9, aware=False, stride=(16, 16, 16)):
    network = LCKDNetwork(NetworkConfig(window_voxels=window_voxels), Same(), Weigh(aware), stride)
    return network.eval()


def prepared_case(shape=(20, 30, 150), present=SEQUENCES, seed=0):
    rng = np.random.default_rng(seed)
    arrays = {sequence: rng.normal(size=shape).astype(np.float32) for sequence in present}
    return PreparedCase(arrays, np.ones(shape, dtype=bool), Grid(shape[::-1], (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)))


def literal(prepared, subset):
    """What `toy` without `aware` says, at once."""
    mean = np.mean([prepared.arrays[sequence] for sequence in subset], axis=0)
    enhancing, core, whole = (1 / (1 + np.exp(-logit)) for logit in (mean - 1, 0.5 * mean, 1 - mean))
    return np.stack([enhancing, np.maximum(core, enhancing), np.maximum(whole, np.maximum(core, enhancing))])


@pytest.mark.parametrize("window_voxels", [10**9, 32 * 32 * 64])
def test_a_network_that_sees_single_voxels_gives_the_same_in_any_windows(window_voxels):
    prepared, network = prepared_case(), toy(window_voxels)
    for subset, found in Predictor(network, CPU, half=False).predict(prepared, subsets_of()).items():
        assert found.shape == (3, 20, 30, 150)
        assert found.dtype == np.float32
        assert np.abs(found - literal(prepared, subset)).max() < 1e-6
    assert len(network.encoder.images) == (4 if window_voxels == 10**9 else 12)


def test_windows_are_averaged_by_their_weights():
    prepared, network = prepared_case(present=[T2]), toy(32 * 32 * 64, aware=True)
    found = Predictor(network, CPU, half=False).predict(prepared, [(T2,)])[(T2,)]
    volume = np.pad(prepared.arrays[T2], ((0, 64), (0, 64), (0, 64)))
    total, weights = np.zeros((3, *volume.shape)), np.zeros(volume.shape)
    for window in plan_windows((20, 30, 150), (16, 16, 16), 32 * 32 * 64):
        place = tuple(slice(a, a + n) for a, n in zip(window.start, window.size, strict=True))
        part = volume[place]
        value = part + part.mean() + np.linspace(-1, 1, part.shape[-1])
        weight = importance(window.size).numpy()
        total[(slice(None), *place)] += weight / (1 + np.exp(-np.stack([value - 1, 0.5 * value, 1 - value])))
        weights[place] += weight
    expected = nested((total / np.maximum(weights, 1e-9))[:, :20, :30, :150])
    assert np.abs(found - expected).max() < 1e-5


def test_a_volume_smaller_than_the_stride_is_padded():
    prepared, network = prepared_case((5, 9, 11)), toy()
    found = Predictor(network, CPU, half=False).predict(prepared, [SEQUENCES])[SEQUENCES]
    assert network.encoder.images == [(16, 16, 16)] * 4
    assert np.abs(found - literal(prepared, SEQUENCES)).max() < 1e-6


@pytest.mark.parametrize("mirror", [False, True])
def test_decoding_later_equals_predicting_at_once(mirror):
    prepared, network = prepared_case((20, 30, 90)), toy(32 * 32 * 64, aware=True)
    predictor = Predictor(network, CPU, mirror, half=False)
    at_once = predictor.predict(prepared, subsets_of())
    encoded, before = predictor.encode(prepared), len(network.encoder.images)
    for subset, expected in at_once.items():
        assert np.array_equal(predictor.decode(encoded, subset), expected)
    assert len(network.encoder.images) == before


def test_each_sequence_is_encoded_once_for_all_subsets():
    prepared, network = prepared_case((16, 16, 16)), toy()
    Predictor(network, CPU, half=False).predict(prepared, subsets_of())
    assert len(network.encoder.images) == 4
    assert network.decoder.calls == 15


def test_mirroring_averages_eight_views():
    prepared, network = prepared_case((16, 16, 16), [T1]), toy()
    straight = Predictor(network, CPU, half=False).predict(prepared, [(T1,)])[(T1,)]
    mirrored = Predictor(network, CPU, mirror=True, half=False).predict(prepared, [(T1,)])[(T1,)]
    assert len(network.encoder.images) == 1 + 8
    assert np.abs(straight - mirrored).max() < 1e-6

    # With a network that leans to one side, a symmetric volume gets a symmetric result only by mirroring.
    leaning = toy(aware=True)
    volume = prepared.arrays[T1] + prepared.arrays[T1][..., ::-1]
    symmetric = PreparedCase({T1: volume}, prepared.brain, prepared.grid)
    one = Predictor(leaning, CPU, half=False).predict(symmetric, [(T1,)])[(T1,)]
    eight = Predictor(leaning, CPU, mirror=True, half=False).predict(symmetric, [(T1,)])[(T1,)]
    assert np.abs(one - one[..., ::-1]).max() > 0.1
    assert np.abs(eight - eight[..., ::-1]).max() < 1e-6


def test_regions_are_nested():
    found = Predictor(toy(), CPU, half=False).predict(prepared_case(), [SEQUENCES])[SEQUENCES]
    assert (found[0] <= found[1]).all()
    assert (found[1] <= found[2]).all()


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("subsets", [[SEQUENCES], subsets_of()])
def test_progress_rises_to_exactly_one(mirror, subsets):
    told = []
    predictor = Predictor(toy(32 * 32 * 64), CPU, mirror, half=False)
    predictor.predict(prepared_case((20, 30, 90)), subsets, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert told.count(1.0) == 1
    encoding, decoding = [], []
    encoded = predictor.encode(prepared_case((20, 30, 90)), encoding.append)
    predictor.decode(encoded, (T1,), decoding.append)
    assert encoding[-1] == decoding[-1] == 1.0


def test_cancelling_takes_effect_within_one_window():
    network = toy(32 * 32 * 64)
    progress = Progress(is_cancelled=lambda: len(network.encoder.images) >= 2)
    with pytest.raises(CancelledError) as cancelled, progress.stage("network", 1.0) as tell:
        Predictor(network, CPU, half=False).predict(prepared_case(), subsets_of(), tell)
    assert len(network.encoder.images) == 2
    assert network.decoder.calls == 0
    assert cancelled.value.exit_status == 130


class FailFirst:
    """Raises an error for the first calls."""

    def __init__(self, times, error):
        self.left, self.error = times, error

    def __call__(self, image):
        if self.left > 0:
            self.left -= 1
            raise self.error


ERRORS = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8589934592 bytes."),
    MemoryError(),
]


@pytest.mark.parametrize("error", ERRORS)
def test_when_memory_runs_out_the_work_goes_on_in_smaller_windows(error):
    prepared, network, warnings, told = prepared_case((20, 30, 150)), toy(4 * MIN_WINDOW_VOXELS), [], []
    network.encoder.fail = FailFirst(2, error)
    predictor = Predictor(network, CPU, half=False, warn=warnings.append)
    found = predictor.predict(prepared, [SEQUENCES], told.append)[SEQUENCES]
    assert np.abs(found - literal(prepared, SEQUENCES)).max() < 1e-6
    assert predictor.plan == Plan(CPU, MIN_WINDOW_VOXELS)
    assert len(warnings) == 2
    assert all("Memory ran out on cpu" in warning for warning in warnings)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_progress_does_not_fall_back_when_work_is_done_again():
    network, told = toy(2 * MIN_WINDOW_VOXELS), []
    calls = itertools.count()

    def fail(image):
        if next(calls) == 3:
            raise MemoryError

    network.encoder.fail = fail
    Predictor(network, CPU, half=False).predict(prepared_case(), [SEQUENCES], told.append)
    assert told == sorted(told)
    assert told[2] > 0
    assert told[-1] == 1.0


def test_plans_get_smaller_in_the_promised_order():
    """A device that is never enough ("meta" stands for a GPU), then the CPU, where the work is done."""
    device, network, plans, warnings = torch.device("meta"), toy(4 * MIN_WINDOW_VOXELS), [], []

    def fail(image):
        plans.append(predictor.plan)
        if image.device.type != "cpu":
            raise ERRORS[0]

    network.encoder.fail = fail
    predictor = Predictor(network, device, half=False, warn=warnings.append)
    prepared = prepared_case((16, 16, 16))
    found = predictor.predict(prepared, [SEQUENCES])[SEQUENCES]
    assert np.abs(found - literal(prepared, SEQUENCES)).max() < 1e-6
    distinct = list(dict.fromkeys(plans))
    assert distinct == [
        Plan(device, 4 * MIN_WINDOW_VOXELS),
        Plan(device, 2 * MIN_WINDOW_VOXELS),
        Plan(device, MIN_WINDOW_VOXELS),
        Plan(device, MIN_WINDOW_VOXELS, offload=True),
        Plan(CPU, 4 * MIN_WINDOW_VOXELS),
    ]
    assert len(warnings) == 4
    assert "features in main memory" in warnings[2]
    assert warnings[3].endswith("on cpu.")


def test_features_that_wait_in_main_memory_give_the_same():
    prepared, network = prepared_case((20, 30, 90)), toy(32 * 32 * 64, aware=True)
    expected = Predictor(network, CPU, half=False).predict(prepared, subsets_of())
    predictor = Predictor(network, CPU, half=False)
    predictor.plan = Plan(CPU, 32 * 32 * 64, offload=True)
    for subset, found in predictor.predict(prepared, subsets_of()).items():
        assert np.array_equal(found, expected[subset])


@pytest.mark.parametrize("error", ERRORS)
def test_not_even_the_smallest_windows_fit(error):
    network = toy(4 * MIN_WINDOW_VOXELS)
    network.encoder.fail = FailFirst(100, error)
    with pytest.raises(OutOfMemoryError) as refused:
        Predictor(network, CPU, half=False).predict(prepared_case((16, 16, 16)), [SEQUENCES])
    assert refused.value.exit_status == 6
    assert refused.value.code == "OUT_OF_MEMORY"
    assert network.encoder.fail.left == 97


def test_memory_that_runs_out_while_decoding_leads_to_encoding_again():
    prepared, network, warnings = prepared_case((64, 64, 150)), toy(3 * MIN_WINDOW_VOXELS), []
    predictor = Predictor(network, CPU, half=False, warn=warnings.append)
    encoded, plain = predictor.encode(prepared), network.decoder.forward
    too_large = encoded.parts[0][0].size

    def decode(encodings, subset):
        if tuple(encodings.bottom(T1).shape[2:]) == too_large:
            raise ERRORS[1]
        return plain(encodings, subset)

    network.decoder.forward = decode
    for subset in ((T1, T2), (T1,), SEQUENCES):
        assert np.abs(predictor.decode(encoded, subset) - literal(prepared, subset)).max() < 1e-6
    assert len(warnings) == 1, "the smaller windows are kept"


def test_other_errors_are_not_taken_for_lack_of_memory():
    network = toy()
    network.encoder.fail = FailFirst(1, RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        Predictor(network, CPU).predict(prepared_case((16, 16, 16)), [SEQUENCES])


def test_a_subset_that_was_not_encoded_is_a_mistake():
    with pytest.raises(KeyError):
        Predictor(toy(), CPU, half=False).predict(prepared_case((16, 16, 16), [T1]), [(T1, T1C)])


def test_the_real_network_runs_in_windows(tiny_model):
    from lckd.models import load_model

    network = load_model(tiny_model).network
    prepared = prepared_case((40, 40, 90), [Sequence.FLAIR, T1C])
    predictor = Predictor(network, CPU, half=False)
    results = predictor.predict(prepared, subsets_of(prepared.present))
    encoded = predictor.encode(prepared)
    assert len(encoded.parts) > 1
    assert isinstance(encoded.parts[0][2], Encodings)
    for subset, found in results.items():
        assert np.array_equal(predictor.decode(encoded, subset), found)
        assert 0 <= found.min() <= found.max() <= 1
