"""What to expect from the sequences at hand, by the card of the model: in words, with a warning where it is bad."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from lckd.sequences import Sequence, missing_from, subset_of, subset_title

if TYPE_CHECKING:
    from lckd.models import ModelCard

#: A region whose expected Dice is lower is called unreliable, as in the engine's own report.
UNRELIABLE_DICE = 0.5


@dataclass(frozen=True)
class Expectation:
    """`summary`: what is present, what will be imputed, the Dice to expect; `warning`: empty if there is none."""

    summary: str
    warning: str


def expectation(present: Iterable[str], card: ModelCard | None) -> Expectation:
    """Return what to tell the user about a subset of the sequences.

    :param present: keys of the sequences in use: ``flair``, ``t1``, ``t1c``, ``t2``
    :param card: of the chosen model; None where it cannot be read
    """
    subset = subset_of(Sequence(key) for key in present)
    if not subset:
        return Expectation(_("No sequence is chosen yet."), "")
    missing = missing_from(subset)
    lines = [_("Present: {sequences}.").format(sequences=subset_title(subset))]
    if missing:
        lines.append(_("Missing, will be imputed: {sequences}.").format(sequences=subset_title(missing)))
    dice = card.expected_dice(subset) if card is not None else {}
    if dice:
        values = ", ".join(f"{region.value} {value:.2f}" for region, value in dice.items())
        lines.append(_("Expected Dice from exactly these: {values}.").format(values=values))
    else:
        lines.append(_("This model does not say what Dice to expect."))
    low = {region.value: value for region, value in dice.items() if value < UNRELIABLE_DICE}
    return Expectation(" ".join(lines), " ".join(_warnings(Sequence.T1C in subset, low)))


def _warnings(hasT1c: bool, low: dict[str, float]) -> list[str]:
    """Without T1c, nothing shows what enhances, whatever the card says."""
    warnings = []
    if not hasT1c:
        warnings.append(_("Without T1c, enhancing tumor (ET) and tumor core (TC) are not reliable."))
    rest = [region for region in low if hasT1c or region == "WT"]
    if rest:
        warnings.append(_("From these sequences, expect poor results for: {regions}.").format(regions=", ".join(rest)))
    return warnings
