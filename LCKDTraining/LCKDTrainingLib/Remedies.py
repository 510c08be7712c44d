"""What can be offered, in one click, after a training has failed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from slicer.i18n import tr as _

from .Settings import shown, smaller


@dataclass(frozen=True)
class Remedy:
    """One offer.

    Attributes:
        title: what it does, in two or three words.
        words: what it does exactly, and what that costs.
        changes: settings that get other values, by name.
        leftOut: cases that are left out.
    """

    title: str
    words: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    leftOut: tuple[str, ...] = ()


def remediesFor(code: str, message: str, values: Mapping[str, Any], cases: Iterable[str]) -> list[Remedy]:
    """Return what can be offered after an error, the best first; at most two.

    :param code: of the error
    :param message: of the error, which may name cases
    :param values: of all settings by name; empty while they are not known
    :param cases: names of the cases that there are
    """
    if not values:
        return []
    if code == "OUT_OF_MEMORY":
        return _lessMemory(values)
    if code == "LOSS_NOT_FINITE":
        return [*_withoutCases(message, cases), _halfTheRate(values)]
    return []


def actionFor(code: str, values: Mapping[str, Any], remedies: Sequence[Remedy]) -> str:
    """Return what can be done about an error in this panel; empty if the error itself says it best.

    :param values: as for `remediesFor`, whose result is `remedies`
    """
    if remedies:
        return _("What can be done about it in one click is offered below.")
    if code == "OUT_OF_MEMORY" and values:
        return _("No smaller setting is left: choose another device, or a preset with a smaller network.")
    return ""


def _lessMemory(values: Mapping[str, Any]) -> list[Remedy]:
    found = smaller(values)
    if found is None:
        return []
    words, name, value = found
    costs = {
        "accumulate": _("The result stays the same; it takes a little longer."),
        "checkpoint_activations": _("The result stays the same; it takes about a third longer."),
        "patch": _("The network sees less of the brain at a time, so that the result may be worse."),
    }
    told = _("Less memory: {how}. {cost}").format(how=words, cost=costs[name])
    return [Remedy(_("Use less memory"), told, {name: value})]


def _withoutCases(message: str, cases: Iterable[str]) -> list[Remedy]:
    named = tuple(sorted(name for name in cases if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", message)))
    if not named:
        return []
    words = _("Leave out: never learn from {cases} again. Look at the images, too.").format(cases=", ".join(named))
    return [Remedy(_("Leave out"), words, leftOut=named)]


def _halfTheRate(values: Mapping[str, Any]) -> Remedy:
    half = values["learning_rate"] / 2
    words = _("Halve: a learning rate of {value}; smaller steps go astray less easily.").format(value=shown(half))
    return Remedy(_("Halve the rate"), words, {"learning_rate": half})
