"""Where the embedded model and the sample case lie: in a wheel, in an installed extension or in a source checkout."""

from __future__ import annotations

from pathlib import Path

from .errors import InputError, LckdError, ModelError

MODELS = "Models"
SAMPLE_CASE = "SampleCase"


def find(name: str) -> Path | None:
    """The folder `name` among the shared resources; None if this installation has none."""
    package = Path(__file__).resolve().parent
    module = package.parent
    for root in (package / "_resources", module / "Resources", module.parent / "Resources"):
        if (root / name).is_dir():
            return root / name
    return None


def resource_dir() -> Path:
    """The folder that holds ``Models``.

    Raises:
        ModelError: this installation carries no model.
    """
    return _found(MODELS, ModelError).parent


def sample_case_dir() -> Path:
    """The folder with the four sequences of the sample case and its reference segmentation.

    Raises:
        InputError: this installation carries no sample case.
    """
    return _found(SAMPLE_CASE, InputError)


def _found(name: str, error: type[LckdError]) -> Path:
    path = find(name)
    if path is None:
        raise error(
            "RESOURCE_MISSING", f"The folder {name} is missing in this installation.", "Install the program again."
        )
    return path
