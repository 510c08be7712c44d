"""Which device the network runs on, in which precision, with how many threads."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import nn

from .errors import UsageError

M = TypeVar("M", bound=nn.Module)

#: How torch, its libraries, and ITK say that memory ran out.
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "failed to allocate memory",
    "could not create a memory object",
    "bad_alloc",
    "alloc_failed",
)

DEVICE_NAMES = "auto, cpu, cuda, cuda:0, cuda:1, …, or mps"


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` takes a CUDA GPU on which this PyTorch works, else an Apple GPU, else the CPU.

    Raises:
        UsageError: there is no such device. A GPU that was asked for is never replaced silently.
    """
    if name == "auto":
        if torch.cuda.is_available() and gpu_problem() is None:
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError("UNKNOWN_DEVICE", f"'{name}' is not a device.", f"Choose {DEVICE_NAMES}.") from error
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= count.get(device.type, 0):
        raise UsageError("NO_SUCH_DEVICE", f"This computer has no device '{name}'.", "Use --device auto or cpu.")
    problem = gpu_problem(device.index or 0) if device.type == "cuda" else None
    if problem is not None:
        raise UsageError(
            "NO_SUCH_DEVICE", f"The device '{name}' cannot be used: {problem}.", "Use --device auto or cpu."
        )
    return device


def gpu_problem(index: int = 0) -> str | None:
    """Why this PyTorch does not work on a CUDA GPU, in words; None where it does. Takes no memory of the GPU."""
    try:
        major, minor = torch.cuda.get_device_capability(index)
    except Exception as error:  # of several classes: no driver, one that is too old, a PyTorch without CUDA
        return first_sentence(error)
    built = torch.cuda.get_arch_list() if torch.version.hip is None else []
    if built and not any(_runs_on(architecture, major, minor) for architecture in built):
        return f"this PyTorch has no code for its compute capability {major}.{minor}, only {' '.join(built)}"
    return None


def _runs_on(architecture: str, major: int, minor: int) -> bool:
    """Machine code (sm_75) runs on GPUs of its generation that are not older, PTX (compute_75) on all of those."""
    kind, _, digits = architecture.partition("_")
    number = int(re.sub(r"\D", "", digits))
    return number <= 10 * major + minor and (kind == "compute" or number // 10 == major)


def first_sentence(error: BaseException) -> str:
    """What an exception of CUDA says, without the advice and the addresses that follow."""
    return str(error).partition("\n")[0].partition(". ")[0].rstrip(".")


def describe_device(device: torch.device) -> str:
    """The device in words, e.g. ``cuda (NVIDIA RTX A4000)``."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def autocast_type(device: torch.device) -> torch.dtype | None:
    """Half precision where the hardware computes in it, else None: bfloat16 emulated by a CPU is 150 times slower."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    if device.type == "cpu" and cpu_has_bfloat16():
        return torch.bfloat16
    return None


def cpu_has_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16 products (AMX or AVX-512 BF16)."""
    return any(getattr(torch.cpu, probe, bool)() for probe in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))


def place(network: M, device: torch.device) -> M:
    """Move a network to a device. On a CPU its convolutions are a fifth faster with the channels last in memory."""
    layout = torch.channels_last_3d if device.type == "cpu" else torch.contiguous_format
    return network.to(device, memory_format=layout)  # type: ignore[call-overload]


@contextlib.contextmanager
def computing_on(device: torch.device, half: bool = True) -> Iterator[None]:
    """Inference mode, with autocast where that pays."""
    dtype = autocast_type(device) if half else None
    cast = torch.autocast(device.type, dtype=dtype) if dtype is not None else contextlib.nullcontext()
    with torch.inference_mode(), cast:
        yield


def set_threads(count: int | None) -> int:
    """Use that many CPU threads (default: as many as this process may use), and return the number."""
    if count is None:
        usable = getattr(os, "sched_getaffinity", None)
        count = len(usable(0)) if usable else (os.cpu_count() or 1)
        wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
        count = min(count, int(wanted)) if wanted.isdigit() else count
    torch.set_num_threads(max(1, count))
    return torch.get_num_threads()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of torch or NumPy means that memory ran out."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in _OUT_OF_MEMORY)
