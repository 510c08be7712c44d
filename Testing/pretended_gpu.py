"""A pretended GPU, on which the values are right and tensors of two devices never meet, as on a real one.

To torch it is the device ``meta``, which every build knows. Here its tensors have values: each is a shell around a
tensor of the CPU, on which everything is computed. So whole programs run on it, and give what they give on the CPU;
what was left on the CPU is found at the operation where it meets the rest.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

GPU = torch.device("meta")
CPU = torch.device("cpu")
#: These alone read from one device and write to another.
COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class OnGpu(Tensor):
    """A tensor of the pretended GPU; its values are in `values`."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> OnGpu:
        shell = Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=GPU,
        )
        shell.values = values
        return shell

    def __getitem__(self, index: Any) -> Tensor:
        """With a list among the indices made a tensor here; torch would make one without values."""
        parts = index if isinstance(index, tuple) else (index,)
        return super().__getitem__(tuple(torch.tensor(p).to(GPU) if isinstance(p, list) else p for p in parts))

    def tolist(self) -> Any:
        return self.values.tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        raise TypeError("a tensor of the GPU has no NumPy array; copy it to the CPU first")

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Saved as what it is when it is loaded with ``map_location="cpu"``."""
        return self.values.__reduce_ex__(protocol)

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        raise AssertionError(f"{function} outside of `with pretended_gpu()`")


@contextlib.contextmanager
def pretended_gpu() -> Iterator[torch.device]:
    """Within the ``with`` block, `GPU` is a device; an operation on tensors of two devices raises a RuntimeError."""
    # Torch does not answer this question for the device ``meta``.
    with mock.patch.object(torch, "is_autocast_enabled", return_value=False), _Gpu():
        yield GPU


class _Gpu(TorchDispatchMode):
    """Sees every operation below autograd."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        options = dict(options or {})
        tensors = [leaf for leaf in tree_leaves((arguments, options)) if isinstance(leaf, Tensor)]
        assert all(isinstance(t, OnGpu) or not t.is_meta for t in tensors), f"{function}: a tensor without values"
        # A single number may come from the CPU.
        devices = {tensor.device for tensor in tensors if tensor.dim() or tensor.is_meta}
        if len(devices) > 1 and function not in COPIES:
            raise RuntimeError(f"{function}: tensors are on {' and '.join(map(str, devices))}")
        device = options.get("device") or (arguments[0].device if function in COPIES else next(iter(devices), CPU))
        if "device" in options:
            options["device"] = CPU
        plain, plain_options = tree_map_only(OnGpu, lambda tensor: tensor.values, (arguments, options))
        # A view of a tensor from outside of the inference mode must not be a tensor of that mode.
        with torch.inference_mode(False), torch.no_grad():
            result = function(*plain, **plain_options)
            if function._schema.is_mutable:
                return options.get("out", arguments[0]) if function._schema.returns else None
            return tree_map_only(Tensor, OnGpu, result) if torch.device(device) == GPU else result
