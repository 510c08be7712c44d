"""Training settings: a preset file, overridden on the command line, written resolved into the run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from lckd.errors import UsageError
from lckd.network import PRESETS, NetworkConfig

PRESET_FOLDER = Path(__file__).parent / "presets"


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Every setting of a run. Lengths are in voxels of 1 mm, `learning_rate` is the highest of the schedule.

    Attributes:
        size: network size, a key of `lckd.network.PRESETS`.
        start_from: name or folder of a model of that size whose weights are the first; empty: random ones.
        imputation: what stands for missing features, ``mean`` (Eq. 5) or ``zero`` (authors' code).
        patch: edge of the cubic training patch. Instance norm sees the whole patch: the nearer it comes to the brain's
            box, the more the statistics of training are those of use.
        iterations: optimizer steps in all.
        optimizer: ``adamw``, or ``sgd`` (Nesterov, as the paper).
        momentum: of SGD; the paper has 0.99.
        weight_decay: of either optimizer.
        schedule: ``cosine`` to zero (paper), or ``trapezoid``: constant, then linearly to zero in `decay_iterations`.
        warmup_iterations: the learning rate rises linearly from zero.
        subsets_per_step: decodings of each patch's encodings. The first is drawn by the paper's law (how many are
            missing, then which), each further one is a random subset of what was encoded. 1 is the paper.
        alpha: weight of the distillation loss (Eq. 7).
        distance: exponent p of the distillation's norm (Eq. 4), 1 or 2.
        several_teachers: LCKD-m; otherwise LCKD-s, only the most frequent teacher (Eq. 2).
        election_interval: iterations between two elections (Eq. 1); the first is after one interval.
        election: names of the cases that elect, never trained on; empty: drawn by `election_share`.
        election_share: share of the training cases that elect when none is named; the paper has 0.2.
        test: names of the cases that are kept out altogether.
        tumor_share: share of the patches centered on a tumor voxel.
        average: decay of the exponential moving average of the weights.
        gradient_norm: gradients are scaled down to this norm.
        checkpoint_interval: iterations between two checkpoints.
        keep_checkpoints: how many of the last checkpoints stay.
        seed: of everything random.
    """

    size: str = "small"
    start_from: str = ""
    imputation: str = "mean"
    patch: int = 96
    iterations: int = 5000
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.99
    weight_decay: float = 1e-5
    schedule: str = "cosine"
    decay_iterations: int = 1000
    warmup_iterations: int = 50
    subsets_per_step: int = 2
    alpha: float = 0.1
    distance: int = 1
    several_teachers: bool = True
    election_interval: int = 250
    election: tuple[str, ...] = ()
    election_share: float = 0.2
    test: tuple[str, ...] = ()
    tumor_share: float = 0.75
    average: float = 0.998
    gradient_norm: float = 5.0
    checkpoint_interval: int = 100
    keep_checkpoints: int = 2
    seed: int = 999

    def __post_init__(self) -> None:
        _require(self.size in PRESETS, f"size must be one of {', '.join(PRESETS)}")
        _require(self.imputation in ("mean", "zero"), "imputation must be mean or zero")
        _require(self.optimizer in ("adamw", "sgd"), "optimizer must be adamw or sgd")
        _require(self.schedule in ("cosine", "trapezoid"), "schedule must be cosine or trapezoid")
        _require(self.distance in (1, 2), "distance must be 1 or 2")
        _require(self.patch >= 16 and self.patch % 16 == 0, "patch must be a multiple of 16")
        _require(min(self.iterations, self.subsets_per_step, self.checkpoint_interval) >= 1, "counts must be positive")

    @property
    def network(self) -> NetworkConfig:
        """The network's configuration."""
        return NetworkConfig.from_dict(PRESETS[self.size].as_dict() | {"imputation": self.imputation})

    def overridden(self, settings: Iterable[str]) -> TrainingConfig:
        """The configuration with ``key=value`` settings applied; values are YAML.

        Raises:
            UsageError: a key is unknown or a value impossible.
        """
        values: dict[str, Any] = {}
        for setting in settings:
            key, separator, text = setting.partition("=")
            _require(bool(separator), f"'{setting}' is not of the form key=value")
            values[key.strip()] = yaml.safe_load(text)
        return TrainingConfig.from_dict({**dataclasses.asdict(self), **values})

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> TrainingConfig:
        """Read plain values, e.g. of a YAML file.

        Raises:
            UsageError: a key is unknown or a value impossible.
        """
        known = {field.name: field.default for field in dataclasses.fields(TrainingConfig)}
        for key, value in values.items():
            _require(key in known, f"'{key}' is not a setting (they are: {', '.join(known)})")
            expected = (int, float) if isinstance(known[key], float) else type(known[key])
            plain = tuple(value) if isinstance(value, list) else value
            _require(isinstance(plain, expected), f"{key}={value!r} is not of the kind {type(known[key]).__name__}")
        resolved: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return TrainingConfig(**resolved)

    @staticmethod
    def preset(name: str) -> TrainingConfig:
        """A preset by its name, or a YAML file by its path.

        Raises:
            UsageError: there is no such preset.
        """
        path = Path(name) if name.endswith((".yaml", ".yml")) else PRESET_FOLDER / f"{name}.yaml"
        names = ", ".join(sorted(file.stem for file in PRESET_FOLDER.glob("*.yaml")))
        _require(path.is_file(), f"there is no preset '{name}' (there are: {names})")
        return TrainingConfig.from_dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {})

    def to_yaml(self) -> str:
        """The resolved configuration as a readable file."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}
        return yaml.safe_dump(plain, sort_keys=False)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError("BAD_SETTING", f"The training settings do not work: {message}.", "Correct the setting.")
