"""LCKD: brain-tumor segmentation from any subset of FLAIR, T1, T1c and T2.

The engine: plain Python on torch, MONAI, SimpleITK and NumPy. Research software, not for clinical use.

    import lckd
    case = lckd.Case.from_folder("patient")
    result = lckd.segment(case)
    result.write("out")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .case import Case as Case
    from .engine import segment as segment
    from .models import load_model as load_model
    from .sequences import Sequence as Sequence

_PUBLIC = {"Case": "case", "segment": "engine", "load_model": "models", "Sequence": "sequences"}
__all__ = ["Case", "Sequence", "load_model", "segment"]


def __getattr__(name: str) -> Any:
    """Import the public names on first use: `import lckd` must not cost the import of torch."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_PUBLIC[name]}", __name__), name)
