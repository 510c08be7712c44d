"""Training settings: a preset file, overridden on the command line, written resolved into the run folder.

Each setting is told of once, here: its default, what it means, and what it may be.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from lckd.errors import UsageError
from lckd.network import PRESETS, NetworkConfig

PRESET_FOLDER = Path(__file__).parent / "presets"


def _setting(
    default: Any,
    meaning: str,
    choices: tuple[str | int, ...] = (),
    least: float | None = None,
    most: float | None = None,
    items: type = str,
) -> Any:
    """A field: what it means, one of which values it is, between which it lies, of which type its items are."""
    metadata = {"meaning": meaning, "choices": choices, "least": least, "most": most, "items": items}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Every setting of a run. Lengths are in voxels of 1 mm.

    Raises:
        UsageError: a value is impossible.
    """

    # Network
    size: str = _setting("small", "network size", tuple(PRESETS))
    start_from: str = _setting(
        "", "model of that size (name or folder), or folder of a run, whose weights are the first; empty: random"
    )
    imputation: str = _setting(
        "bottom",
        "what missing sequences have above the bottom (there, the mean features of Eq. 5). bottom: their contribution "
        "is the mean of the others', so that the decoder knows which sequence is which; mean: Eq. 5 at every level; "
        "zero: the features of a zero volume, as in the authors' code",
        ("bottom", "mean", "zero"),
    )
    # Data
    patch: tuple[int, int, int] = _setting(
        (96, 96, 96),
        "size of the training patch along D, H, W (one number: a cube). Instance norm sees the whole patch: the nearer "
        "it comes to the brain's box, the more the statistics of training are those of use",
        least=16,
        items=int,
    )
    batch: int = _setting(1, "patches of an optimizer step in each process", least=1)
    accumulate: int = _setting(1, "parts in which the batch is computed, one after the other, to save memory", least=1)
    workers: int = _setting(0, "processes that draw patches ahead for each training process; 0: none", least=0)
    tumor_share: float = _setting(0.75, "share of the patches around a tumor voxel", least=0, most=1)
    augmentation: str = _setting(
        "strong",
        "strong: mirroring, rotation, scaling, bias field, contrast, blur, noise; light: mirroring and scaling, as in "
        "the authors' code",
        ("strong", "light", "none"),
    )
    exclude: tuple[str, ...] = _setting((), "names of the cases that are left out, as if they were not there")
    test: tuple[str, ...] = _setting((), "names of the cases that are kept out altogether")
    election: tuple[str, ...] = _setting((), "names of the cases that elect, never trained on; empty: drawn")
    election_share: float = _setting(0.2, "share of the training patients that elect", least=0, most=0.9)
    folds: int = _setting(0, "parts of a cross-validation; 0: none", least=0)
    fold: int = _setting(0, "which part is kept out, counted from 0", least=0)
    # Missing sequences
    full_iterations: int = _setting(0, "first iterations in which no sequence is dropped", least=0)
    missing: str = _setting(
        "number",
        "law of the dropped sequences: number (how many, uniformly, then which: the paper), subset (each subset alike "
        "likely), some (as number, but at least one is dropped: the authors' code)",
        ("number", "subset", "some"),
    )
    missing_per: str = _setting("batch", "whether the patches of a batch lack the same sequences", ("batch", "sample"))
    subsets_per_step: int = _setting(
        2, "decodings of each patch; those after the first are of random subsets of what was encoded", least=1
    )
    # Pre-training
    pretraining_iterations: int = _setting(
        0,
        "first iterations, in which the network fills in what is hidden of the volumes, whole sequences and cubes, "
        "before it segments; cases without a segmentation take part in them",
        least=0,
    )
    masked_share: float = _setting(0.75, "share of the cubes that is hidden in pre-training", least=0, most=1)
    # Distillation
    alpha: float = _setting(0.1, "weight of the distillation loss (Eq. 7)", least=0)
    distance: int = _setting(1, "exponent p of the distance of features (Eq. 4)", (1, 2))
    distance_over_features: str = _setting(
        "mean", "the distance of two feature maps: mean over their elements (authors' code), or sum", ("mean", "sum")
    )
    distilled_levels: tuple[int, ...] = _setting(
        (-1,), "encoder levels that are distilled, 0 the finest, -1 the bottom", items=int
    )
    teacher_gradient: bool = _setting(False, "whether teachers move towards their students, too")
    teachers: str = _setting(
        "several",
        "several: all elected (LCKD-m); one: the most frequent (LCKD-s, Eq. 2); learned: each as much as its weight",
        ("several", "one", "learned"),
    )
    election_interval: int = _setting(250, "iterations between two elections (Eq. 1)", least=1)
    election_dice: str = _setting(
        "hard", "Dice of an election: of decided voxels, or of probabilities", ("hard", "soft")
    )
    # Learned teachers
    weights_interval: int = _setting(100, "iterations between two updates of learned teacher weights", least=1)
    weights_draws: int = _setting(20, "patches of election cases for an update", least=1)
    weights_rate: float = _setting(0.01, "learning rate of the teacher weights", least=0)
    weights_decay: float = _setting(5e-4, "weight decay of the teacher weights", least=0)
    # Optimization
    iterations: int = _setting(5000, "optimizer steps in all", least=1)
    optimizer: str = _setting("adamw", "adamw, or sgd with Nesterov momentum (the paper)", ("adamw", "sgd"))
    learning_rate: float = _setting(1e-3, "highest rate of the schedule", least=0)
    momentum: float = _setting(0.99, "momentum of sgd", least=0, most=1)
    weight_decay: float = _setting(1e-5, "weight decay", least=0)
    schedule: str = _setting(
        "cosine",
        "how the rate falls to zero: cosine (the paper), polynomial (the authors' code), or trapezoid: constant, then "
        "linearly in decay_iterations",
        ("cosine", "polynomial", "trapezoid"),
    )
    power: float = _setting(0.9, "exponent of the polynomial schedule", least=0)
    decay_iterations: int = _setting(1000, "length of the trapezoid's fall", least=1)
    warmup_iterations: int = _setting(50, "first iterations in which the rate rises linearly from zero", least=0)
    gradient_norm: float = _setting(5.0, "gradients are scaled down to this norm; 0: never", least=0)
    average: float = _setting(
        0.998, "decay of the moving average of the weights, which is what is used", least=0, most=1
    )
    deep_supervision: float = _setting(0.0, "weight of the loss at the decoder's coarser levels; 0: none", least=0)
    precision: str = _setting(
        "auto",
        "auto: half precision on a CUDA GPU, float32 elsewhere; bfloat16 and float16 only where the hardware has them",
        ("auto", "float32", "bfloat16", "float16"),
    )
    checkpoint_activations: bool = _setting(False, "compute activations again instead of keeping them: less memory")
    compile: bool = _setting(
        False,
        "compile the encoder (torch.compile): a slow start; on a CPU hardly faster steps, on a GPU not measured",
    )
    # Running
    checkpoint_interval: int = _setting(100, "iterations between two checkpoints", least=1)
    keep_checkpoints: int = _setting(2, "how many of the last checkpoints stay, beside the best", least=1)
    seed: int = _setting(999, "of everything random", least=0)

    def __post_init__(self) -> None:
        if isinstance(self.patch, int):
            object.__setattr__(self, "patch", (self.patch,) * 3)
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        _require(len(self.patch) == 3 and not any(n % 16 for n in self.patch), "patch must be multiples of 16")
        _require(self.batch % self.accumulate == 0, "batch must be a multiple of accumulate")
        _require(self.fold < max(1, self.folds), "fold must be below folds")
        _require(self.folds != 1, "folds must be 0 or at least 2")
        _require(self.pretraining_iterations <= self.iterations, "pretraining_iterations must be at most iterations")
        levels = len(self.network.channels)
        _require(all(-levels <= n < levels for n in self.distilled_levels), f"{self.size} has {levels} levels")

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
            try:
                values[key.strip()] = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise _refused(f"'{text}' is not a value in YAML") from error
        return TrainingConfig.from_dict({**dataclasses.asdict(self), **values})

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> TrainingConfig:
        """Read plain values, e.g. of a YAML file.

        Raises:
            UsageError: a key is unknown or a value impossible.
        """
        known = {field.name: type(field.default) for field in dataclasses.fields(TrainingConfig)}
        for key in values:
            _require(key in known, f"'{key}' is not a setting (they are: {', '.join(known)})")
        return TrainingConfig(**{key: _plain(value, known[key]) for key, value in values.items()})

    @staticmethod
    def preset(name: str) -> TrainingConfig:
        """A preset by its name, or a YAML file by its path.

        Raises:
            UsageError: there is no such preset, or it is not one.
        """
        path = Path(name) if name.endswith((".yaml", ".yml")) else PRESET_FOLDER / f"{name}.yaml"
        names = ", ".join(sorted(file.stem for file in PRESET_FOLDER.glob("*.yaml")))
        _require(path.is_file(), f"there is no preset '{name}' (there are: {names})")
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise _refused(f"{path} is not a YAML file") from error
        _require(isinstance(values, dict), f"{path} holds no settings")
        return TrainingConfig.from_dict(values)

    def to_yaml(self) -> str:
        """The resolved configuration as a readable file."""
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}
        return yaml.safe_dump(plain, sort_keys=False, default_flow_style=None)


def _plain(value: Any, kind: type) -> Any:
    """A value as YAML reads it: a list for a tuple, and for a number such as 1e-3, which has no point, a word."""
    if isinstance(value, list):
        return tuple(value)
    if kind is float and isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def _check(field: dataclasses.Field[Any], value: Any) -> None:
    """Refuse a value that is not of the kind of the default, or not one of those allowed."""
    rules, kind = field.metadata, type(field.default)
    expected = (int, float) if kind is float else (kind,)
    is_kind = isinstance(value, expected) and (kind is bool or not isinstance(value, bool))
    _require(is_kind, f"{field.name}={value!r} is not of the kind {kind.__name__}")
    for one in value if kind is tuple else (value,):
        if kind is tuple:
            _require(
                isinstance(one, rules["items"]), f"{field.name}={one!r} is not of the kind {rules['items'].__name__}"
            )
        allowed = ", ".join(map(str, rules["choices"]))
        _require(not rules["choices"] or one in rules["choices"], f"{field.name} must be one of {allowed}")
        _require(rules["least"] is None or one >= rules["least"], f"{field.name} must be at least {rules['least']}")
        _require(rules["most"] is None or one <= rules["most"], f"{field.name} must be at most {rules['most']}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise _refused(message)


def _refused(message: str) -> UsageError:
    return UsageError("BAD_SETTING", f"The training settings do not work: {message}.", "Correct the setting.")
