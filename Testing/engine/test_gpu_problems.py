"""GPUs that are there and cannot be used: what is chosen instead, and what is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from phantoms import write_case

from lckd import Case, doctor
from lckd.device import choose_device, gpu_problem
from lckd.engine import Engine, Settings
from lckd.errors import UsageError

CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]
TOO_OLD = RuntimeError(
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading "
    "and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx Alternatively, go to: ..."
)


@pytest.fixture
def a_gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets torch tell of one GPU."""

    def tell(
        capability: Any, built: list[str] = CUDA_13, available: bool = True, free: Any = (2 << 30, 8 << 30)
    ) -> None:
        def answer(value: Any) -> Callable[..., Any]:
            def give(*_: object) -> Any:
                if isinstance(value, Exception):
                    raise value
                return value

            return give

        for name, value in {
            "is_available": available,
            "device_count": 1,
            "get_device_capability": capability,
            "get_device_name": "Quadro",
            "get_arch_list": built,
            "mem_get_info": free,
        }.items():
            monkeypatch.setattr(torch.cuda, name, answer(value))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    return tell


def checks() -> dict[str, doctor.Check]:
    return {check.name: check for check in doctor._devices()}


@pytest.mark.parametrize(
    ("capability", "built", "works"),
    [
        ((6, 1), CUDA_13, False),
        ((7, 0), CUDA_13, False),
        ((7, 5), CUDA_13, True),
        ((8, 9), CUDA_13, True),
        ((12, 0), CUDA_13, True),
        ((12, 1), CUDA_13, True),
        ((13, 0), CUDA_13, True),
        ((12, 0), ["sm_80", "sm_90", "sm_90a"], False),
        ((8, 6), [], True),
    ],
)
def test_a_gpu_is_used_only_if_this_torch_has_code_for_it(a_gpu, capability, built, works):
    a_gpu(capability, built)
    assert choose_device("auto").type == ("cuda" if works else "cpu")
    if works:
        assert choose_device("cuda") == torch.device("cuda")
        assert checks()["cuda:0"].detail == "Quadro, 8.0 GiB, 2.0 free"
        return
    with pytest.raises(UsageError, match=r"'cuda:0' cannot be used: .* capability \d+\.\d, only sm_") as refused:
        choose_device("cuda:0")
    assert refused.value.code == "NO_SUCH_DEVICE"
    said = checks()
    assert said["GPU 0"].state == "warn"
    assert said["GPU 0"].action
    assert said["device auto"].detail == "takes cpu"


def test_a_driver_that_is_too_old_is_said_in_one_sentence(a_gpu):
    """NVML counts the GPU even then, so that it seems to be there."""
    a_gpu(TOO_OLD, available=False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(UsageError) as refused:
        choose_device("cuda")
    problem = "The NVIDIA driver on your system is too old (found version 11040)"
    assert refused.value.message == f"The device 'cuda' cannot be used: {problem}."
    assert checks()["GPU 0"].detail == f"it is not used: {problem}"


def test_a_driver_without_a_torch_for_it_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: torch._assert(False, "Torch not compiled with"))
    for found in (None, "/usr/bin/nvidia-smi"):
        monkeypatch.setattr("shutil.which", lambda _, found=found: found)
        assert ("NVIDIA GPU" in checks()) == bool(found)
    assert checks()["NVIDIA GPU"].detail == "it is not used: Torch not compiled with"
    assert gpu_problem() == "Torch not compiled with"


def test_a_gpu_that_others_have_filled_does_not_end_the_diagnosis(a_gpu):
    a_gpu((8, 6), free=torch.cuda.OutOfMemoryError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA"))
    said = checks()["GPU 0"]
    assert (said.state, said.detail) == ("warn", "Quadro: CUDA error: out of memory")


@pytest.mark.parametrize(("cudnn", "state"), [(90701, "ok"), (90800, "warn"), (91002, "warn"), (91501, "ok")])
def test_cudnn_whose_convolutions_are_wrong_is_told(a_gpu, monkeypatch, cudnn, state):
    monkeypatch.setattr(torch, "__version__", "2.8.0+cu128")
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: cudnn)
    a_gpu((8, 6))
    assert doctor._torch().state == state
    a_gpu((8, 6), available=False)
    assert doctor._torch().state == "ok", "it matters on a GPU alone"


def test_cuda_is_not_asked_for_its_memory_before_its_first_use(tmp_path: Path, tiny_model: Path, monkeypatch):
    """It would refuse: "Invalid device argument 1: did you call init?"."""
    asked = []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", asked.append)
    engine, case = Engine(tiny_model, Settings(device="cpu")), Case.from_folder(write_case(tmp_path / "case"))
    engine.device = torch.device("cuda", 1)
    for initialized, expected in ((False, []), (True, [engine.device])):
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda initialized=initialized: initialized)
        engine.open(case, keep=False)
        assert asked == expected
