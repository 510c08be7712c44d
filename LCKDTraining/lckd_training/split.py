"""Which case is for what: training, teacher election, test. By patient, written to a file, and never changed after."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from lckd.errors import InputError
from lckd.images import writing

from .config import TrainingConfig


@dataclass(frozen=True)
class Split:
    """Names of the cases by role; no case has two."""

    train: tuple[str, ...]
    election: tuple[str, ...]
    test: tuple[str, ...]

    @staticmethod
    def draw(names: Iterable[str], config: TrainingConfig) -> Split:
        """Split by the configuration's named cases, and by its seed where none is named for the election.

        Raises:
            InputError: a named case does not exist, or none is left to train on.
        """
        every = sorted(names)
        unknown = sorted({*config.test, *config.election} - set(every))
        if unknown:
            raise InputError("CASE_UNKNOWN", f"There is no labeled case {unknown[0]}.", "Correct the settings.")
        rest = [name for name in every if name not in config.test]
        election = list(config.election)
        if not election:
            count = max(1, round(config.election_share * len(rest)))
            election = sorted(np.random.default_rng(config.seed).permutation(rest)[:count].tolist())
        train = [name for name in rest if name not in election]
        if not train:
            raise InputError("NO_TRAINING_CASE", "No case is left to train on.", "Add cases or hold out fewer.")
        return Split(tuple(train), tuple(election), tuple(sorted(config.test)))

    def write(self, path: Path) -> None:
        """Write as JSON."""
        with writing(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @staticmethod
    def read(path: Path) -> Split:
        """Read what `write` wrote."""
        return Split(**{role: tuple(names) for role, names in json.loads(path.read_text(encoding="utf-8")).items()})
