"""The job folder: the images of one case and, in ``job.json``, what is wanted of them.

::

    {"images": {"flair": "flair.nrrd", "t1c": "t1c.nrrd"}, "grid": "t1c", "case": "case", "model": null,
     "device": "auto", "threads": null, "mirror": false, "cleanup": {"min_component_ml": 0, "min_enhancing_ml": 0},
     "probabilities": false, "uncertainty": false, "reference": null}

All but ``images`` may be left out. Files lie in the folder. Results go to ``results/WAY/SUBSET/`` in it,
where WAY stands for the model and how it is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..sequences import Sequence, Subset, parse_subset, subset_of

if TYPE_CHECKING:
    from ..discovery import CaseFiles
    from ..engine import Settings

JOB_FILE = "job.json"
RESULTS = "results"
#: No job is as long as this, in bytes.
MAX_LENGTH = 1024**2
#: No head is larger.
MAX_VOLUME_ML = 10_000


@dataclass(frozen=True)
class JobFolder:
    """One case and what is wanted of it, as ``job.json`` says.

    Attributes:
        folder: the job folder, absolute.
        images: the file of each sequence there is.
        grid: sequence on whose voxels the segmentation lies; None: the first of T1c, FLAIR, T2, T1.
        case: name of the case in the report.
        model: name or folder of the model; None: the embedded one.
        device: auto, cpu, cuda, cuda:1 or mps.
        threads: CPU threads; None: all that there are.
        mirror: average over mirrored copies.
        cleanup: the fields of `lckd.postprocess.Cleanup`.
        probabilities: also write the probability of each region.
        uncertainty: also write the voxelwise uncertainty.
        reference: a reference segmentation to compare with.
    """

    folder: Path
    images: Mapping[Sequence, Path]
    grid: Sequence | None = None
    case: str = "case"
    model: str | None = None
    device: str = "auto"
    threads: int | None = None
    mirror: bool = False
    cleanup: Mapping[str, float] = field(default_factory=dict)
    probabilities: bool = False
    uncertainty: bool = False
    reference: Path | None = None

    @staticmethod
    def read(folder: Path) -> JobFolder:
        """Read and check a job.

        Raises:
            InputError: JOB_NOT_FOUND, JOB_INVALID or JOB_OUTSIDE.
        """
        root = folder.resolve()
        fields = _Fields(_read_json(root / JOB_FILE))
        images = {_sequence(name): _image(root, name, file) for name, file in fields.take("images", dict, {}).items()}
        if not images:
            raise invalid("it names no image")
        grid, reference = fields.take("grid", str, None), fields.take("reference", str, None)
        job = JobFolder(
            folder=root,
            images={sequence: images[sequence] for sequence in subset_of(images)},
            grid=None if grid is None else _sequence(grid),
            case=fields.take("case", str, "case"),
            model=fields.take("model", str, None),
            device=fields.take("device", str, "auto"),
            threads=fields.take("threads", int, None),
            mirror=fields.take("mirror", bool, False),
            cleanup=_cleanup(fields.take("cleanup", dict, {})),
            probabilities=fields.take("probabilities", bool, False),
            uncertainty=fields.take("uncertainty", bool, False),
            reference=None if reference is None else inside(root, _text("reference", reference)),
        )
        fields.refuse_others()
        job._check()
        return job

    @property
    def present(self) -> Subset:
        """The sequences at hand."""
        return subset_of(self.images)

    @property
    def files(self) -> CaseFiles:
        """For the engine."""
        from ..discovery import CaseFiles
        from ..images import ImageFile

        return CaseFiles(self.case, {sequence: ImageFile(path) for sequence, path in self.images.items()})

    @property
    def settings(self) -> Settings:
        """For the engine."""
        from ..engine import Settings
        from ..postprocess import Cleanup

        return Settings(self.device, self.threads, self.mirror, cleanup=Cleanup(**self.cleanup))

    def subset(self, name: str) -> Subset:
        """The subset of that name (``flair+t1c``) of the sequences at hand.

        Raises:
            UsageError: it names something else than sequences.
            InputError: it names a sequence that the job does not have.
        """
        return self.files.choose(parse_subset(name))

    def _check(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise invalid("threads is less than 1")
        if self.grid is not None and self.grid not in self.images:
            raise invalid(f"grid is {self.grid.value}, which is not among the images")


class _Fields:
    """The fields of a JSON object, taken one by one."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self._facts = dict(facts)

    def take(self, name: str, kind: type, default: Any) -> Any:
        """The value of a field, checked; null stands for the default."""
        value = self._facts.pop(name, None)
        if value is None:
            return default
        # JSON's true is an int to Python.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise invalid(f"{name} is no {_KINDS[kind]}")
        return value

    def refuse_others(self) -> None:
        """Refuse fields that nobody took: most likely they are misspelled."""
        if self._facts:
            raise invalid(f"there is no field {next(iter(self._facts))}")


_KINDS = {dict: "object", str: "text", int: "whole number", bool: "truth value"}


def inside(folder: Path, name: str) -> Path:
    """The file of that name in a folder; links are followed.

    Raises:
        InputError: JOB_OUTSIDE, it lies elsewhere.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise InputError(
            "JOB_OUTSIDE",
            f"{path.name} does not lie in the folder of the job.",
            "Put every file of a job into its folder.",
        )
    return path


def invalid(what: str) -> InputError:
    """The refusal of a job."""
    return InputError("JOB_INVALID", f"The job is not understood: {what}.", "Write the job again.")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        message = f"There is no job that can be read in {path.parent.name}."
        raise InputError("JOB_NOT_FOUND", message, "Check the folder of the job.") from error
    if len(content) > MAX_LENGTH:
        raise invalid(f"{JOB_FILE} is too long")
    try:
        facts = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise invalid(f"{JOB_FILE} is no JSON") from error
    if not isinstance(facts, dict):
        raise invalid(f"{JOB_FILE} holds no object")
    return facts


def _text(name: str, value: Any) -> str:
    # A null byte is no part of any path.
    if not isinstance(value, str) or not value or "\0" in value:
        raise invalid(f"{name} is no file name")
    return value


def _image(folder: Path, name: str, file: Any) -> Path:
    path = inside(folder, _text(f"images.{name}", file))
    if path.name.lower().endswith((".nhdr", ".mhd")):
        # The voxels would be in another file, which may lie anywhere and change unnoticed.
        raise invalid(f"images.{name} is only the header of an image")
    return path


def _sequence(name: str) -> Sequence:
    try:
        return Sequence(name)
    except ValueError as error:
        raise invalid(f"'{name}' is not one of flair, t1, t1c, t2") from error


def _cleanup(values: dict[str, Any]) -> dict[str, float]:
    for name, value in values.items():
        if name not in ("min_component_ml", "min_enhancing_ml"):
            raise invalid(f"there is no field cleanup.{name}")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value <= MAX_VOLUME_ML:
            raise invalid(f"cleanup.{name} is no volume")
    return {name: float(value) for name, value in values.items()}
