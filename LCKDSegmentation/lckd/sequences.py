"""The four MRI sequences: their one order, their names, and how files call them."""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Iterable

from .errors import UsageError


class Sequence(str, enum.Enum):
    """An MRI sequence. The order of definition is the order of the network's inputs and of every table."""

    FLAIR = "flair"
    T1 = "t1"
    T1C = "t1c"
    T2 = "t2"

    @property
    def title(self) -> str:  # type: ignore[override]
        """The name as radiologists write it: FLAIR, T1, T1c, T2."""
        return _TITLES[self]

    @property
    def index(self) -> int:  # type: ignore[override]
        """Position among the network's inputs, 0 to 3."""
        return SEQUENCES.index(self)


SEQUENCES: tuple[Sequence, ...] = tuple(Sequence)
_TITLES = {Sequence.FLAIR: "FLAIR", Sequence.T1: "T1", Sequence.T1C: "T1c", Sequence.T2: "T2"}

#: The segmentation lies on the voxels of the first of these that is present.
REFERENCE_PREFERENCE = (Sequence.T1C, Sequence.FLAIR, Sequence.T2, Sequence.T1)

#: How data sets end their file names (before the suffix), lower case.
FILE_NAMES: dict[Sequence, tuple[str, ...]] = {
    Sequence.FLAIR: ("flair", "t2f", "t2_flair", "t2flair"),
    Sequence.T1: ("t1", "t1n", "t1w"),
    Sequence.T1C: ("t1c", "t1ce", "t1gd", "t1_gd", "t1gad"),
    Sequence.T2: ("t2", "t2w"),
}

#: How BIDS says that contrast agent was given: ``sub-01_ce-gadolinium_T1w``.
_BIDS_CONTRAST = re.compile(r"(^|_)ce-(?!none_)[a-z0-9]+_")

#: A subset of the sequences, always in their order.
Subset = tuple[Sequence, ...]


def subset_of(sequences: Iterable[Sequence]) -> Subset:
    """The given sequences once each, in the one order."""
    chosen = set(sequences)
    return tuple(sequence for sequence in SEQUENCES if sequence in chosen)


def subsets_of(sequences: Iterable[Sequence] = SEQUENCES) -> list[Subset]:
    """All non-empty subsets (15 of four sequences), the smallest first."""
    present = subset_of(sequences)
    return [chosen for size in range(1, len(present) + 1) for chosen in itertools.combinations(present, size)]


def subset_name(subset: Iterable[Sequence]) -> str:
    """How a subset is written in tables and on the command line: ``flair+t1c``."""
    return "+".join(sequence.value for sequence in subset_of(subset))


def subset_title(subset: Iterable[Sequence]) -> str:
    """How a subset is written for people: ``FLAIR, T1c``."""
    return ", ".join(sequence.title for sequence in subset_of(subset))


def missing_from(subset: Iterable[Sequence]) -> Subset:
    """The sequences that are not in `subset`."""
    present = set(subset)
    return tuple(sequence for sequence in SEQUENCES if sequence not in present)


def parse_subset(text: str) -> Subset:
    """Read ``flair,t1c`` or ``flair+t1c``.

    Raises:
        UsageError: a name is not one of flair, t1, t1c, t2, or there is none.
    """
    names = [name for name in re.split(r"[,+\s]+", text.strip().lower()) if name]
    by_name = {alias: sequence for sequence, aliases in FILE_NAMES.items() for alias in aliases}
    unknown = [name for name in names if name not in by_name]
    if unknown or not names:
        what = f"'{unknown[0]}' is not a sequence." if unknown else "No sequence was named."
        raise UsageError("UNKNOWN_SEQUENCE", what, "Name one or more of flair, t1, t1c, t2.")
    return subset_of(by_name[name] for name in names)


def sequence_of_file_name(stem: str) -> Sequence | None:
    """Which sequence a BraTS, UCSF-PDGM, UPENN-GBM, BIDS or plain file name says it is; None if it says nothing.

    `stem` is the file name without its image suffix, e.g. ``BraTS-GLI-00001-000-t2f``.
    """
    lowered = stem.lower()
    aliases = [(alias, sequence) for sequence, names in FILE_NAMES.items() for alias in names]
    for alias, sequence in sorted(aliases, key=lambda pair: -len(pair[0])):
        if re.search(rf"(^|[^a-z0-9]){alias}$", lowered):
            return Sequence.T1C if sequence is Sequence.T1 and _BIDS_CONTRAST.search(lowered) else sequence
    return None
