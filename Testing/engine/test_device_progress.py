"""Devices, threads, and telling how far the work is."""

import pytest
import torch

from lckd import device
from lckd.errors import CancelledError, UsageError
from lckd.progress import Progress


def test_auto_takes_what_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 6))
    for cuda, mps, expected in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert device.choose_device("auto").type == expected


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("cuda", "NO_SUCH_DEVICE"),
        ("cuda:7", "NO_SUCH_DEVICE"),
        ("mps", "NO_SUCH_DEVICE"),
        ("meta", "NO_SUCH_DEVICE"),
        ("cpu:1", "NO_SUCH_DEVICE"),
        ("gpu", "UNKNOWN_DEVICE"),
        ("", "UNKNOWN_DEVICE"),
        ("cuda:x", "UNKNOWN_DEVICE"),
    ],
)
def test_a_device_that_is_not_there_is_refused_not_replaced(monkeypatch, name, code):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError) as refused:
        device.choose_device(name)
    assert refused.value.code == code
    assert refused.value.exit_status == 2


def test_the_second_of_two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 6))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.choose_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), torch.float16), ((8, 6), torch.bfloat16)])
def test_half_precision_on_gpus(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert device.autocast_type(torch.device("cuda")) == dtype


@pytest.mark.parametrize("has", [False, True])
def test_half_precision_on_a_cpu_only_where_it_has_the_instructions(monkeypatch, has):
    monkeypatch.setattr(device, "cpu_has_bfloat16", lambda: has)
    layer = torch.nn.Linear(4, 4)
    with device.computing_on(torch.device("cpu")):
        result = layer(torch.ones(1, 4))
    assert result.dtype == (torch.bfloat16 if has else torch.float32)
    assert result.is_inference()
    with device.computing_on(torch.device("cpu"), half=False):
        assert layer(torch.ones(1, 4)).dtype == torch.float32


@pytest.fixture
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads_as_before")
@pytest.mark.parametrize(
    ("asked", "environment", "expected"),
    [(3, "1", 3), (None, "1", 1), (None, "1,2", 1), (None, "99", 2), (None, "", 2), (None, "many", 2), (0, "1", 1)],
)
def test_threads(monkeypatch, asked, environment, expected):
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", environment)
    assert device.set_threads(asked) == torch.get_num_threads() == expected


def test_a_network_is_placed_with_its_channels_last_on_a_cpu():
    layer = device.place(torch.nn.Conv3d(2, 3, 3), torch.device("cpu"))
    assert layer.weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert not device.place(layer, torch.device("meta")).weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_progress_tells_stages_and_rises_to_one():
    told = []
    progress = Progress(lambda stage, fraction: told.append((stage, fraction)))
    for name, share in (("read", 0.05), ("prepare", 0.2), ("network", 0.65), ("restore", 0.05), ("write", 0.05)):
        with progress.stage(name, share) as tell:
            tell(0.5)
    fractions = [fraction for _, fraction in told]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0
    assert told[1][0] == "read"
    assert told[1][1] == pytest.approx(0.025)
    assert list(progress.seconds) == ["read", "prepare", "network", "restore", "write"]
    assert all(seconds >= 0 for seconds in progress.seconds.values())


def test_cancelling_ends_the_stage_and_its_time_is_kept():
    cancel = []
    progress = Progress(is_cancelled=lambda: bool(cancel))
    with progress.stage("network", 1.0) as tell:
        tell(0.1)
        cancel.append(True)
        with pytest.raises(CancelledError):
            tell(0.2)
        cancel.clear()
    assert "network" in progress.seconds
    cancel.append(True)
    with pytest.raises(CancelledError), progress.stage("restore", 0.0):
        raise AssertionError("a stage that is not begun any more")


def test_an_error_passes_through_a_stage():
    told = []
    progress = Progress(lambda stage, fraction: told.append(fraction))
    with pytest.raises(ValueError, match="inner"), progress.stage("read", 1.0):
        raise ValueError("inner")
    assert told == [0.0]
