"""Joining and leaving the processes that train together, with what torch has for it recorded."""

import pytest
import torch
import torch.distributed as dist

from lckd_training.distributed import Group


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is asked of torch.distributed by the first of two processes."""
    made: list[object] = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(dist, "is_initialized", lambda: bool(made))
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **_: made.append(backend))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: made.append("left"))
    return made


def test_a_group_is_left_at_the_end_but_not_on_the_way_of_an_error(calls: list[object]) -> None:
    """Peers in the middle of a gradient do not come along, and NCCL would wait for them for two hours."""
    group = Group(torch.device("cpu"))

    def run_out_of_memory() -> None:
        try:
            raise MemoryError
        finally:
            group.close()

    with pytest.raises(MemoryError):
        run_out_of_memory()
    assert calls == ["gloo"]
    group.close()
    assert calls == ["gloo", "left"]


@pytest.mark.parametrize(("has_nccl", "backend"), [(True, "nccl"), (False, "gloo")])
def test_gpus_talk_by_nccl_where_torch_has_it(
    calls: list[object], monkeypatch: pytest.MonkeyPatch, has_nccl: bool, backend: str
) -> None:
    taken: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(dist, "is_nccl_available", lambda: has_nccl)
    Group(torch.device("cuda", 1))
    assert calls == [backend]
    assert taken == [torch.device("cuda", 1)]
