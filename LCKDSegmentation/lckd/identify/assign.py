"""Which of several volumes is which sequence: each sequence once, each volume once."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass, field

from ..sequences import SEQUENCES, Sequence
from .decide import has_agent, identify, without_agent
from .evidence import Evidence, Identification

T1, T1C = Sequence.T1, Sequence.T1C
_T1_FAMILY = (T1, T1C)
#: Two answers differ in how sure they are only by more than this; slices in their distance only by more than this.
_SURER, _THINNER_MM = 0.15, 0.2
#: A T1 because another volume is the T1c.
_REST_SURE = 0.7


@dataclass(frozen=True)
class Assignment:
    """Which volume is which sequence.

    Attributes:
        chosen: index of the volume of each sequence that was found; in the order of the sequences.
        identifications: what each volume is, in the order given. Those of volumes that are not chosen say what they
            are, too.
        reasons: why each chosen sequence got its volume, or why a sequence with several volumes got none.
    """

    chosen: Mapping[Sequence, int]
    identifications: tuple[Identification, ...]
    reasons: Mapping[Sequence, str] = field(default_factory=dict)


def assign(candidates: Items[Evidence], fixed: Mapping[Sequence, int] | None = None) -> Assignment:
    """Assign volumes of one patient to the four sequences.

    A volume that is T1 or T1c, undecided, is the T1 if another one is the T1c and was not acquired before it. Among
    several volumes of a sequence the original is preferred to a reformat, then a clearly surer one, a 3-D acquisition,
    thinner slices, the later one; equal ones leave the sequence without a volume.

    Args:
        candidates: what is known of each volume.
        fixed: what the user has chosen already, by index; it is kept, and these volumes are not assigned again.

    Returns:
        The assignment, `fixed` included. No index occurs twice.
    """
    fixed = dict(fixed or {})
    read = _identified(candidates)
    taken = set(fixed.values())
    _settle_rest(candidates, read, fixed)
    chosen, reasons = dict(fixed), dict.fromkeys(fixed, "You have chosen it.")
    for sequence in SEQUENCES:
        rivals = [i for i, found in enumerate(read) if found.sequence is sequence and i not in taken]
        if sequence in fixed or not rivals:
            continue
        best, reason = _best_of(rivals, candidates, read)
        reasons[sequence] = reason
        if best is not None:
            chosen[sequence] = best
    ordered = {sequence: chosen[sequence] for sequence in SEQUENCES if sequence in chosen}
    return Assignment(ordered, tuple(read), reasons)


def _identified(candidates: Items[Evidence]) -> list[Identification]:
    """Each by itself; but a contrast agent in the header counts only where it tells two volumes apart."""
    read = [identify(candidate) for candidate in candidates]
    bare = [identify(without_agent(candidate)) for candidate in candidates]
    with_agent = [i for i, candidate in enumerate(candidates) if has_agent(candidate)]
    undecided = [i for i in with_agent if bare[i].possible == _T1_FAMILY]
    denied = any(bare[i].sequence is T1 for i in with_agent)
    return bare if denied or len(undecided) > 1 else read


def _settle_rest(candidates: Items[Evidence], read: list[Identification], fixed: Mapping[Sequence, int]) -> None:
    """Where the T1c is known, an undecided T1 is the T1, unless it may have been acquired after the contrast agent."""
    taken = set(fixed.values())
    if T1C in fixed:
        enhanced = [fixed[T1C]]
    else:
        enhanced = [i for i, found in enumerate(read) if found.sequence is T1C and i not in taken]
    if not enhanced or any(found.sequence is T1 for i, found in enumerate(read) if i not in taken):
        return
    times = [candidates[i].time for i in enhanced]
    first = min((time for time in times if time is not None), default=None)
    for i, found in enumerate(read):
        if found.possible != _T1_FAMILY or i in taken:
            continue
        time = candidates[i].time
        if time is None or first is None or time < first:
            when = "" if time is None or first is None else ", acquired later"
            reason = f"T1-weighted, and another volume is the one with contrast agent{when}."
            read[i] = Identification(T1, False, _REST_SURE, reason)


def _best_of(rivals: Items[int], candidates: Items[Evidence], read: Items[Identification]) -> tuple[int | None, str]:
    """The preferred of several volumes of a sequence and why; None if two are equally good."""
    if len(rivals) == 1:
        return rivals[0], read[rivals[0]].reason

    def order(first: int, second: int) -> int:
        return _compare(candidates[first], read[first], candidates[second], read[second])[0]

    ranked = sorted(rivals, key=functools.cmp_to_key(order), reverse=True)
    best, second = ranked[:2]
    sign, why = _compare(candidates[best], read[best], candidates[second], read[second])
    if sign == 0:
        names = " and ".join(_name(candidates[i]) for i in sorted((best, second)))
        return None, f"{names} are equally good; choose one."
    return best, f"{read[best].reason} Of {len(rivals)} such volumes it is preferred: {why}."


def _compare(first: Evidence, read: Identification, second: Evidence, other: Identification) -> tuple[int, str]:
    """Which is preferred (1 the first, -1 the second, 0 neither), and why."""
    tests: Iterable[tuple[float, float, str]] = (
        (not _is_reformat(first), not _is_reformat(second), "it is the original"),
        (*_apart(read.confidence, other.confidence, _SURER), "it is the surest"),
        (_is_3d(first), _is_3d(second), "it is a 3-D acquisition"),
        (
            *_apart(-_known(first.slice_distance_mm), -_known(second.slice_distance_mm), _THINNER_MM),
            "its slices are thinner",
        ),
        (*_both(first.time, second.time), "it is the later"),
    )
    for mine, its, why in tests:
        if mine != its:
            return (1 if mine > its else -1), why
    return 0, ""


def _apart(mine: float, its: float, least: float) -> tuple[float, float]:
    """Two values, or twice the same if they are close."""
    return (mine, its) if abs(mine - its) > least else (mine, mine)


def _known(value: float | None) -> float:
    """A distance; an unknown one counts as thick."""
    return 10.0 if value is None else value


def _both(mine: float | None, its: float | None) -> tuple[float, float]:
    """Two values if both are known."""
    return (mine, its) if mine is not None and its is not None else (0.0, 0.0)


def _is_3d(evidence: Evidence) -> bool:
    texts = f"{evidence.series_description} {evidence.name}".lower()
    return evidence.acquisition_type.upper() == "3D" or "3d" in texts or "mprage" in texts


def _is_reformat(evidence: Evidence) -> bool:
    kinds = evidence.image_type.upper().replace("_", " ")
    return "REFORMATTED" in kinds or "MPR" in kinds


def _name(evidence: Evidence) -> str:
    return f"“{evidence.series_description or evidence.name}”"
