"""From a series description as people write it to plain words, and what the table says about them."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from .rules import RULES, Meaning, Rule, words_of

#: Applied to the lower-case text in this order, before it is cut into words.
_REWRITES = tuple(
    (re.compile(unicodedata.normalize("NFKD", pattern)), replacement)
    for pattern, replacement in (
        (r"\.(nii(\.gz)?|nrrd|nhdr|mha|mhd|dcm|ima)$", ""),
        # BIDS entities that do not describe the image itself.
        (r"(?:^|(?<=[_/\\]))(sub|ses|space|from|to|run|task|label|hemi|echo|part|dir)-[a-z0-9]+(?=_|$)", " "),
        (r"\bsub(j|ject)?[ _-]?\d+", " "),
        # Chinese, Japanese, Korean and Russian.
        ("造影前|增强前|単純|单纯|平扫|조영전|до контраст[а-я]*|без контраст[а-я]*", " native "),
        ("造影後?|增强后?|増強|조영증강|조영|(с |после )?контраст[а-я]*|(с )?гадолини[а-я]*", " contrast "),
        (r"t2(w|wi)?\s?\*(wi?\b)?", " t2star "),
        (r"(?<![a-z])t1n(?![a-z])", " t1 native "),
        (r"\b3[ _-]d\b|\b3[ _-]?d(?=t[12])", " 3d "),
        (r"(?<![a-z0-9])ct1w?(?!\d)", " t1 ce "),
        # with/without, as abbreviated with a slash.
        (r"\bw(/|ith)?\s?(&|/|and|\+)?\s?w/?o\b|\bw/?o\s?(&|/|and|\+)\s?w\b/?", " with without "),
        (r"\bw/o\b", " wo "),
        (r"\bs/\s?(c|ctr|cte|iv|km)\b", " sin contraste "),
        (r"\bc/\s?s\b|\bs/\s?c/\s?c\b", " with without "),
        (r"\bc/\s?(c|ctr|cte|iv)\b", " con contraste "),
        (r"\bs/(?=\s?[a-z])", " sin "),
        (r"\b[wc]/", " with "),
        (r"\+\s?/\s?-|-\s?/\s?\+|±", " with without "),
        # The minus and the plus that say whether there is contrast agent.
        (r"(?<![a-z0-9])-\s?(?=(c|gd|gad|gado|km|iv|ce|kontrast|contrast|contraste)\b)", " minus "),
        (r"\b(c|gd|gad|gado|km|iv|inj)-(?![a-z0-9])", r" \1 minus "),
        (r"\+(?=\W*$)", " + c"),
        (r"\+", " + "),
        # T1 and T2 with something between the letter and the number.
        (r"(?<![\da-z.])(?<!\d )t[ _-]?([12])(?![\d.])", r" t\1"),
        (r"(?<![a-z])b[ =_-]{0,2}(0|\d{2,4})(?!\d)", r" b \1 "),
    )
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORDS = re.compile(r"[a-z0-9]+|\+")
#: Words long enough to be recognized at either end of a word nobody knows.
_STRONG = ("flair", "mprage", "fspgr", "spgr", "gado", "diffusion", "fmri", "bold", "contrast", "localizer", "survey")
_STRONG_STARTS = (*_STRONG, "dwi", "dti")
_UNKNOWN = 1e9
#: What is not looked for among the words that are left in the end.
_TAKEN_OUT = (
    Meaning.IGNORED,
    Meaning.EITHER,
    Meaning.NEGATION,
    Meaning.NEGATION_AT_END,
    Meaning.NO_CONTRAST,
    Meaning.NEUTRAL,
)
_WITHOUT = Rule(Meaning.NO_CONTRAST, 0.95, "without contrast", ())


@dataclass(frozen=True)
class Finding:
    """A phrase of the table in a text."""

    rule: Rule
    words: str

    @property
    def quoted(self) -> str:
        """For the reason given to the user."""
        return f"“{self.words}” ({self.rule.note})"


def read_words(text: str) -> dict[Meaning, Finding]:
    """What a text says: the surest finding of each meaning."""
    best: dict[Meaning, Finding] = {}
    for finding in _findings(split_words(text)):
        meaning = finding.rule.meaning
        if meaning not in best or best[meaning].rule.sure < finding.rule.sure:
            best[meaning] = finding
    return best


def split_words(text: str) -> list[str]:
    """The words of a text in lower case, without accents; joined words (``AXT1POST``) are taken apart."""
    text = unicodedata.normalize("NFKD", text.replace("ß", "ss").replace("ł", "l").replace("ø", "o"))
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    runs = {run.lower(): run for run in re.findall(r"[A-Za-z0-9]+", text)}
    lowered = text.lower()
    for pattern, replacement in _REWRITES:
        lowered = pattern.sub(replacement, lowered)
    return [word for run in _WORDS.findall(lowered) for word in _split_run(runs.get(run, run))]


def _split_run(run: str) -> list[str]:
    """Take one run of letters and digits apart: as a whole, else where the case changes, else at its ends."""
    if (words := _split_known(run.lower())) is not None:
        return list(words)
    pieces = _CAMEL.split(run)
    if len(pieces) > 1:
        return [word for piece in pieces for word in _split_run(piece)]
    return _split_ends(run.lower())


def _split_ends(run: str) -> list[str]:
    if weighting := re.match(r"(t[12])(?=[a-z])(.*)", run):
        return [weighting[1], *_split_run(weighting[2])]
    if prefixed := re.match(r"[sdevwu](t[12](?!\d).*)", run):  # as Philips marks SENSE, derived, …
        return _split_run(prefixed[1])
    for strong in _STRONG_STARTS:
        if run.startswith(strong):
            return [strong, *_split_run(run[len(strong) :])] if run != strong else [strong]
    for strong in _STRONG:
        if run.endswith(strong):
            return [*_split_run(run[: -len(strong)]), strong]
    return [run]


@functools.lru_cache(maxsize=4096)
def _split_known(run: str) -> tuple[str, ...] | None:
    """The fewest words of the table, neutral words and numbers that make up the whole run; None if none do."""
    words, stems = _vocabulary()
    # best[i]: cost and words of run[:i]
    best: list[tuple[float, tuple[str, ...]]] = [(0.0, ()), *[(_UNKNOWN, ())] * len(run)]
    for end in range(1, len(run) + 1):
        for start in range(end):
            cost, before = best[start]
            if cost >= _UNKNOWN:
                continue
            piece = run[start:end]
            cost += _cost(piece, before[-1] if before else "", end == len(run), words, stems)
            if cost < best[end][0]:
                best[end] = (cost, (*before, piece))
    cost, split = best[-1]
    return split if cost < _UNKNOWN else None


def _cost(piece: str, before: str, at_end: bool, words: frozenset[str], stems: tuple[str, ...]) -> float:
    """Of taking `piece` as a word after the word `before`."""
    if piece in words:
        # A single letter may be anything: only after a word, and not where digits are around it.
        return 1.0 if len(piece) > 1 else (1.3 if before and not before.isdigit() else _UNKNOWN)
    if piece.isdigit():
        return _UNKNOWN if before in ("t1", "t2", "c") or before.isdigit() else 1.2
    if at_end and any(piece.startswith(stem) and piece.isalpha() for stem in stems):
        return 1.5
    return _UNKNOWN


@functools.lru_cache(maxsize=1)
def _vocabulary() -> tuple[frozenset[str], tuple[str, ...]]:
    """The whole words and the stems (of at least four letters) of the table."""
    listed = words_of(*Meaning)
    words = {word for word in listed if word.isalnum() and (len(word) > 1 or word in "bcw")}
    stems = tuple(sorted(word[:-1] for word in listed if word.endswith("*") and len(word) > 4))
    return frozenset(words.union(stems)), stems


def _findings(words: list[str]) -> list[Finding]:
    """Every phrase of the table in the words. What is ignored, open or denied is taken out before the rest is read."""
    text, _ = _take_out(f" {' '.join(words)} ", Meaning.IGNORED)
    text, found = _take_out(text, Meaning.EITHER)
    for pattern in _denials():
        while match := pattern.search(text):
            found.append(Finding(_WITHOUT, match[0].strip()))
            text = f"{text[: match.start()]} |{text[match.end() :]}"
    text, denied = _take_out(text, Meaning.NO_CONTRAST)
    found += denied
    for pattern, rule in _patterns():
        if rule.meaning not in _TAKEN_OUT and (match := pattern.search(text)):
            found.append(Finding(rule, match[0].strip()))
    return found


def _take_out(text: str, meaning: Meaning) -> tuple[str, list[Finding]]:
    """The text without the phrases of a meaning, and those phrases."""
    found: list[Finding] = []
    for pattern, rule in _patterns():
        if rule.meaning is meaning:
            found += [Finding(rule, match[0].strip()) for match in pattern.finditer(text)]
            text = pattern.sub(" |", text)
    return text, found


@functools.lru_cache(maxsize=1)
def _denials() -> tuple[re.Pattern[str], ...]:
    """A negation, at most one other word, and what names the contrast agent; a negation with only numbers after it."""
    negations, agents, at_end = (
        _alternatives(rule for rule in RULES if rule.meaning is meaning)
        for meaning in (Meaning.NEGATION, Meaning.CONTRAST, Meaning.NEGATION_AT_END)
    )
    between = r"(?:(?:iv|i v|the|de|del|di|agent|podani\w*) )?"
    return (
        re.compile(rf" (?:{negations}) {between}(?:{agents}|c|ce|iv|ev|enh|injection|kl)(?= )"),
        re.compile(rf" (?:{at_end})(?=(?: \d+)* $)"),
    )


@functools.lru_cache(maxsize=1)
def _patterns() -> tuple[tuple[re.Pattern[str], Rule], ...]:
    return tuple((re.compile(rf" (?:{_alternatives([rule])})(?= )"), rule) for rule in RULES)


def _alternatives(rules: Iterable[Rule]) -> str:
    phrases = {phrase for rule in rules for phrase in rule.phrases}
    longest_first = sorted(phrases, key=lambda phrase: (-len(phrase), phrase))
    return "|".join(_regex(phrase) for phrase in longest_first)


def _regex(phrase: str) -> str:
    return re.escape(phrase).replace(r"\*", "[a-z]*").replace(r"\#", r"\d+").replace(r"\ ", " ")
