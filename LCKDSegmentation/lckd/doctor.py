"""What is installed, which devices there are, and whether the program can be used here."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from . import __version__, resources
from .errors import LckdError, ModelError

#: What the engine cannot work without.
REQUIRED = ("torch", "monai", "SimpleITK", "numpy", "scipy", "pillow")
#: What the command line cannot work without besides.
COMMAND_LINE = ("click", "tqdm", "matplotlib")
#: What adds to it, and what is missing without it.
OPTIONAL = {
    "jsonschema": "the full check of a model's description",
    "pyyaml": "training",
    "nilearn": "synthetic cases (lckd data phantom)",
}
OLDEST_PYTHON = (3, 10)
INSTALL_FOR_GPU = "Update the driver, or install the PyTorch that pytorch.org names for this GPU and driver."
#: 3-D convolutions in half precision take several times the time and memory (pytorch issues 166122, 166643).
BAD_TORCH = re.compile(r"2\.9\.")
#: From one version of cuDNN to before another, 3-D convolutions in half precision or TF32 may be wrong; newer PyTorch
#: does without them there, slowly (pytorch issue 163539, pull requests 163581 and 167024).
BAD_CUDNN = (90800, 91500)


@dataclass(frozen=True)
class Check:
    """One line of the diagnosis.

    Attributes:
        name: what was looked at.
        state: FAIL if the program cannot be used because of it.
        detail: what was found.
        action: one thing to do about it; empty where all is well.
    """

    name: str
    state: Literal["ok", "warn", "FAIL"]
    detail: str
    action: str = ""


def diagnose(also_required: Iterable[str] = ()) -> list[Check]:
    """Look at everything; never raises for what it finds.

    Args:
        also_required: packages that are needed besides those of the engine.
    """
    checks = [Check("lckd", "ok", __version__), _python(), *_packages((*REQUIRED, *also_required))]
    if any(check.state == "FAIL" for check in checks):
        return checks
    checks.append(_torch())
    if checks[-1].state != "FAIL":
        checks += [*_devices(), _cpu(), _embedded_model()]
    return [*checks, _user_models(), _sample_case()]


def refusal(checks: list[Check]) -> LckdError | None:
    """Why the program cannot be used; None if it can."""
    for check in checks:
        if check.state == "FAIL":
            return ModelError("NOT_USABLE", f"The program cannot be used: {check.name}: {check.detail}.", check.action)
    return None


def _python() -> Check:
    version = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < OLDEST_PYTHON:
        return Check("Python", "FAIL", version, f"Install Python {'.'.join(map(str, OLDEST_PYTHON))} or newer.")
    return Check("Python", "ok", version)


def _packages(required: Iterable[str]) -> Iterator[Check]:
    for name in required:
        version = _version(name)
        if version is None:
            yield Check(name, "FAIL", "not installed", f"Install it: pip install {name}")
        else:
            yield Check(name, "ok", version)
    for name, purpose in OPTIONAL.items():
        version = _version(name)
        if version is None:
            yield Check(name, "warn", f"not installed; without it there is no {purpose}", f"pip install {name}")
        else:
            yield Check(name, "ok", version)


def _version(package: str) -> str | None:
    """The version of an installed package, without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "version unknown" if importlib.util.find_spec(package) is not None else None


def _torch() -> Check:
    try:
        import torch
    except Exception as error:  # whatever a library of the system that is missing or wrong leads to
        detail = f"it is installed but cannot be loaded ({type(error).__name__}: {error})".splitlines()[0]
        return Check("torch works", "FAIL", detail, "Install it again: pip install --force-reinstall torch")
    version = torch.__version__
    if BAD_TORCH.match(version):
        detail = f"{version}: its 3-D convolutions are slow and take much memory in half precision"
        return Check("torch works", "warn", detail, "Install another version: pip install 'torch>=2.6,!=2.9.*'")
    cudnn = torch.backends.cudnn.version() if torch.cuda.is_available() else None
    if cudnn is not None and BAD_CUDNN[0] <= cudnn < BAD_CUDNN[1]:
        detail = f"{version} with cuDNN {cudnn}, whose 3-D convolutions in half precision may be wrong or slow"
        return Check("torch works", "warn", detail, "Install a newer version: pip install -U 'torch>=2.10'")
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    return Check("torch works", "ok", f"built with {built}")


def _devices() -> Iterator[Check]:
    import torch

    from .device import choose_device, describe_device, gpu_problem

    count = torch.cuda.device_count()
    yield from map(_gpu, range(count))
    if count == 0 and shutil.which("nvidia-smi") is not None:  # it comes with the driver
        yield Check("NVIDIA GPU", "warn", f"it is not used: {gpu_problem()}", INSTALL_FOR_GPU)
    if torch.backends.mps.is_available():
        yield Check("mps", "ok", "Apple GPU")
    yield Check("device auto", "ok", f"takes {describe_device(choose_device())}")


def _gpu(index: int) -> Check:
    """A GPU by the name that ``--device`` takes, if it can be used."""
    import torch

    from .device import first_sentence, gpu_problem

    problem = gpu_problem(index)
    if problem is not None:
        return Check(f"GPU {index}", "warn", f"it is not used: {problem}", INSTALL_FOR_GPU)
    name = torch.cuda.get_device_name(index)
    try:
        free, total = (size / 1024**3 for size in torch.cuda.mem_get_info(index))
    except RuntimeError as error:
        return Check(f"GPU {index}", "warn", f"{name}: {first_sentence(error)}", "Close other programs that use it.")
    return Check(f"cuda:{index}", "ok", f"{name}, {total:.1f} GiB, {free:.1f} free")


def _cpu() -> Check:
    import torch

    from .device import cpu_has_bfloat16, set_threads

    before = torch.get_num_threads()
    threads = set_threads(None)
    torch.set_num_threads(before)
    bf16 = "computes" if cpu_has_bfloat16() else "does not compute"
    capability = torch.backends.cpu.get_cpu_capability()
    detail = f"{platform.machine()}, {capability}, {bf16} in bfloat16, {threads} of {os.cpu_count()} threads in use"
    if threads < (os.cpu_count() or 1) and "OMP_NUM_THREADS" in os.environ:
        return Check("CPU", "warn", detail, "For more speed, unset OMP_NUM_THREADS or give --threads.")
    return Check("CPU", "ok", detail)


def _embedded_model() -> Check:
    from .models import find_model, verify_model

    def look() -> str:
        folder = find_model()
        return f"{folder.name} in {folder}: {len(verify_model(folder))} checks passed"

    return _looked_at("embedded model", "FAIL", look)


def _user_models() -> Check:
    from .models import list_models
    from .models.store import user_models_dir

    own = [entry for entry in list_models() if not entry.embedded]
    broken = [entry.name for entry in own if entry.problem is not None]
    if broken:
        detail = f"{', '.join(broken)} cannot be used"
        return Check("your models", "warn", detail, f"Remove them: lckd models remove {broken[0]}")
    return Check("your models", "ok", f"{', '.join(entry.name for entry in own) or 'none'} in {user_models_dir()}")


def _sample_case() -> Check:
    from .discovery import find_case

    def look() -> str:
        case = find_case(resources.sample_case_dir())
        return f"{case.name} with {len(case.images)} sequences; try it with: lckd demo"

    return _looked_at("sample case", "warn", look)


def _looked_at(name: str, state_if_refused: Literal["warn", "FAIL"], look: Callable[[], str]) -> Check:
    try:
        return Check(name, "ok", look())
    except LckdError as error:
        return Check(name, state_if_refused, error.message.rstrip("."), error.action)
