"""Which of several volumes is which sequence: each sequence once, each volume once."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Items
from dataclasses import dataclass, field

from ..sequences import SEQUENCES, Sequence
from .decide import has_agent, identify, kind_of_other, without_agent
from .evidence import Evidence, Identification
from .rules import BOLUS, LOCALIZER
from .words import split_words

T1, T1C = Sequence.T1, Sequence.T1C
_T1_FAMILY = (T1, T1C)
#: Two answers differ in how sure they are only by more than this; slices in their distance only by more than this.
_SURER, _THINNER_MM = 0.15, 0.2
#: A T1 because another volume is the T1c.
_REST_SURE = 0.7
#: Of two called alike, which is the one after contrast agent.
_PAIR_SURE = 0.6


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

    A volume that is T1 or T1c, undecided, is decided by the others and by when it was acquired (`_settle_rest`). Among
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
    """Each by itself; but a contrast agent in the header counts only where it tells two volumes apart.

    Scanners copy it into every series of the study: it tells nothing if a series from before the contrast agent has it
    as well (one that says so, or a localizer), if several undecided ones have it, or if one that is named a T1c has it.
    """
    read = [identify(candidate) for candidate in candidates]
    bare = [identify(without_agent(candidate)) for candidate in candidates]
    with_agent = [i for i, candidate in enumerate(candidates) if has_agent(candidate)]
    undecided = [i for i in with_agent if bare[i].possible == _T1_FAMILY]
    copied = any(bare[i].sequence in _T1_FAMILY or kind_of_other(candidates[i]) == LOCALIZER for i in with_agent)
    return bare if copied or len(undecided) > 1 else read


def _settle_rest(candidates: Items[Evidence], read: list[Identification], fixed: Mapping[Sequence, int]) -> None:
    """Decide the T1 that say nothing of contrast agent by the other volumes and by when they were acquired.

    One from before the first T1c and before the perfusion that needs contrast agent is the T1 (without times, where
    there is a T1c and the header names no agent); one from after that perfusion is the T1c if none is named. Of two
    that are called alike in a study with contrast agent the earlier is the T1, the later the T1c.
    """
    free = [i for i in range(len(read)) if i not in fixed.values()]
    enhanced = [fixed[T1C]] if T1C in fixed else [i for i in free if read[i].sequence is T1C]
    undecided = [i for i in free if read[i].possible == _T1_FAMILY]
    plain_wanted = T1 not in fixed and not any(read[i].sequence is T1 for i in free)
    boluses = [i for i, candidate in enumerate(candidates) if kind_of_other(candidate) == BOLUS]
    for i in undecided:
        after = _is_after_first(candidates[i], [candidates[k] for k in (*enhanced, *boluses)])
        if enhanced and plain_wanted and after is False:
            read[i] = _settled(T1, "another volume, acquired later, is the one with contrast agent")
        elif enhanced and plain_wanted and after is None and _may_be_before(candidates, i, enhanced):
            read[i] = _settled(T1, "another volume is the one with contrast agent")
        elif not enhanced and after:
            read[i] = _settled(T1C, "acquired after the perfusion, for which contrast agent was given")
        elif not enhanced and after is False and plain_wanted:
            read[i] = _settled(T1, "acquired before the perfusion, for which contrast agent was given")
    if not enhanced and not boluses and plain_wanted and any(has_agent(candidate) for candidate in candidates):
        _settle_pairs(candidates, read, undecided)


def _settle_pairs(candidates: Items[Evidence], read: list[Identification], undecided: Items[int]) -> None:
    """Two alike at different times of a day, in a study with contrast agent: before it and after it."""
    alike: dict[str, list[int]] = {}
    for i in undecided:
        alike.setdefault(" ".join(split_words(_text(candidates[i]))), []).append(i)
    for pair in alike.values():
        if len(pair) != 2:
            continue
        first, second = pair
        after = _is_after_first(candidates[second], [candidates[first]])
        if after is None:
            continue
        early, late = (first, second) if after else (second, first)
        for i, sequence, when in ((early, T1, "again later"), (late, T1C, "before")):
            reason = f"the same was acquired {when}, and the header names a contrast agent"
            read[i] = _settled(sequence, reason, _PAIR_SURE)


def _settled(sequence: Sequence, reason: str, sure: float = _REST_SURE) -> Identification:
    return Identification(sequence, False, sure, f"T1-weighted, and {reason}.")


def _is_after_first(candidate: Evidence, others: Items[Evidence]) -> bool | None:
    """Whether it was acquired after the first of the others on the same day; None if that is not known."""
    times = [other.time for other in others if _day(other) == _day(candidate) and other.time is not None]
    if candidate.time is None or not times or candidate.time == min(times):
        return None
    return candidate.time > min(times)


def _may_be_before(candidates: Items[Evidence], index: int, enhanced: Items[int]) -> bool:
    """Whether nothing speaks against it: no contrast agent in its header, no other day."""
    days = {_day(candidates[i]) for i in (index, *enhanced)} - {None}
    return not has_agent(candidates[index]) and len(days) < 2


def _day(evidence: Evidence) -> float | None:
    """The date, where the time has one: ``yyyymmdd`` before the six digits of the time of day."""
    return None if evidence.time is None else evidence.time // 1e6


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


def _text(evidence: Evidence) -> str:
    return evidence.series_description or evidence.name


def _name(evidence: Evidence) -> str:
    return f"“{_text(evidence)}”"
