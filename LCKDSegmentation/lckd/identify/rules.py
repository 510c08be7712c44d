"""The table of rules, ``rules.tsv``: what the phrases of a series description mean.

A row is a meaning (see `Meaning`), how sure it makes (0 to 1), what to tell the user, and phrases separated by commas.
A phrase is one or more words as `words.split_words` leaves them: lower case, no accents, no punctuation. ``*`` at the
end of a word stands for any letters, ``#`` for a number. ``t2star`` is T2*; ``+`` is a word; ``minus`` is the minus of
``C-``. English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Czech, Hungarian, Turkish and the Nordic
languages are covered as far as their words differ, and the commonest words of some others.
"""

from __future__ import annotations

import csv
import enum
from dataclasses import dataclass
from pathlib import Path


class Meaning(enum.Enum):
    """What a phrase says, in the order in which the table is read."""

    IGNORED = "nothing, though its words could"
    EITHER = "with and without contrast agent, so that it does not tell"
    OTHER = "none of the four sequences, whatever else is said"
    OTHER_ALONE = "none of the four sequences, unless a weighting or technique is named"
    NOT_WITH_T2 = "none of the four sequences, unless T1 or FLAIR is named"
    FLAIR = "fluid-attenuated"
    T1 = "T1-weighted"
    T2 = "T2-weighted"
    PD = "proton density"
    FLAIR_TECHNIQUE = "a technique that is nearly always FLAIR"
    T1_TECHNIQUE = "a technique that is nearly always T1-weighted"
    T2_TECHNIQUE = "a technique that is nearly always T2-weighted"
    CONTRAST = "after contrast agent, also where no weighting is named"
    CONTRAST_IF_T1 = "after contrast agent, where it stands in the name of a T1"
    NO_CONTRAST = "before or without contrast agent"
    NEGATION = "denies the contrast agent after it"
    NEGATION_AFTER = "denies the contrast agent before it"
    NEGATION_AT_END = "denies the contrast agent where nothing follows"
    NEUTRAL = "nothing of the weighting; known so that joined words (AXT1FSPOST) can be taken apart"


@dataclass(frozen=True)
class Rule:
    """A row of the table.

    Attributes:
        meaning: what its phrases say.
        sure: how sure that makes, 0 to 1.
        note: the meaning in a user's words.
        phrases: as they may stand in a description.
    """

    meaning: Meaning
    sure: float
    note: str
    phrases: tuple[str, ...]


def _read(path: Path) -> tuple[Rule, ...]:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return tuple(
        Rule(Meaning[row["meaning"]], float(row["sure"]), row["note"], tuple(row["phrases"].split(", ")))
        for row in rows
    )


#: Two notes of the table that say when contrast agent was given: a localizer comes before it, this perfusion with it.
LOCALIZER, BOLUS = "a localizer", "perfusion of contrast agent"

RULES: tuple[Rule, ...] = _read(Path(__file__).with_name("rules.tsv"))


def words_of(*meanings: Meaning) -> frozenset[str]:
    """All words in the phrases of some meanings."""
    return frozenset(w for rule in RULES if rule.meaning in meanings for phrase in rule.phrases for w in phrase.split())
