"""From a series description as people write it to plain words, and what the table says about them."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from .rules import RULES, Meaning, Rule

#: Applied to the lower-case text in this order, before it is cut into words.
_REWRITES = tuple(
    (re.compile(unicodedata.normalize("NFKD", pattern)), replacement)
    for pattern, replacement in (
        (r"\.(nii(\.gz)?|nrrd|nhdr|mha|mhd|dcm|ima)$", ""),
        # BIDS entities that do not describe the image itself.
        (r"(?:^|(?<=[_/\\]))(sub|ses|space|from|to|run|task|label|hemi|echo|part|dir)-[a-z0-9]+(?=_|$)", " "),
        (r"\bsub(j|ject)?[ _-]?\d+", " "),
        # A patient's identifier in BraTS and TCGA: its letters are no words.
        (r"^brats.*[_-]\d+[_-]|\btcga-[a-z0-9]{2}-[a-z0-9]{4}", " "),
        # Chinese, Japanese, Korean and Russian.
        (r"造影前|增强前|単純|单纯|平扫|조영전|(до|без) (контраст[а-я]*|ку\b|гадолини[а-я]*)", " native "),
        (r"造影後?|增强后?|増強|조영증강|조영|(с |после )?(контраст[а-я]*|ку\b|гадолини[а-я]*)", " contrast "),
        # Hungarian says it behind: after contrast (the same word is Swedish for without, which stands before it).
        (r"kontras\w* utan\b", " contrast "),
        # T2* in signs and in words; the T1 map that Siemens calls T1 images.
        (r"t2(w|wi)?\s?\*(wi?\b)?", " t2star "),
        (r"t2w?[\s_-]*(star|etoile|estrell?a|estrela|ster|stern|stella|stj[ae]rn\w*|gwiazd\w*)(?![a-z])", " t2star "),
        (r"(?<=mp2rage)(.*[\s_-])t1[\s_-]?images?", r"\1 t1map"),
        (r"t1[\s_-]?images?(?=.*mp2rage)", "t1map"),
        # What scanners compute: the fat of Dixon's method, one image less another (exam/series/image).
        (r"^\s*fat\s*(:|_(?!s))|(?<=dixon)(?=.*[_ ](f|fat)$)", " fat only "),
        (r"\(\d+/\d+/\d+[^()]*\)\s*-", " subtraction "),
        # A sequence as Siemens names it, as *tse2d1_18 (an r behind the echoes: flow is rephased); levels of the spine.
        (r"^\*?([a-z]{1,5}[23]d)\d+(r?)[a-z]*(_\w*)?$", r" \1\2 "),
        (r"(?<![a-z0-9])(c\d{1,2} ?- ?(c|th?|d)?\d{1,2}|l\d ?- ?[ls]?\d)(?![a-z0-9])", " spine "),
        # A kernel of CT, as H30s.
        (r"(?<![a-z0-9])([hbju]\d\d[sfh]|[hbjq]r\d\d[sfd]?)(?=[^a-z0-9]*$)", " ct "),
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
        (r"\bu/(?=\s?[a-z])", " uten "),
        (r"\b[wc]/", " with "),
        (r"\+\s?/\s?-|-\s?/\s?\+|±", " with without "),
        (r"\(\s?-\s?\)", " minus "),
        # The minus and the plus that say whether there is contrast agent.
        (r"(?<![a-z0-9])-\s?(?=(c|gd|gad|gado|km|iv|ce|kontrast|contrast|contraste)\b)", " minus "),
        (r"\b(c|gd|gad|gado|km|iv|inj)-(?![a-z0-9])", r" \1 minus "),
        (r"\+(?=\W*$)", " + c"),
        (r"\+", " + "),
        # T1 and T2 with something between the letter and the number.
        (r"(?<![\da-z.])(?<!\d )t[ _-]?([12])(?![\d.])", r" t\1"),
        (r"(?<![a-z])b[ =_-]{0,2}(0|\d{2,4})(?!\d)", r" bvalue \1 "),
    )
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
_WORDS = re.compile(r"[a-z0-9]+|\+")
#: Words long enough to be recognized at either end of a word nobody knows.
_STRONG = ("flair", "mprage", "fspgr", "spgr", "gado", "diffusion", "fmri", "bold", "contrast", "localizer", "survey")
_STRONG_STARTS = (*_STRONG, "dwi", "dti")
_UNKNOWN = 1e9
#: The only words of one or two letters that are found in joined words without a weighting, and what stands before a C.
_SHORT = frozenset(("ax", "fs", "se", "gd", "km", "2d", "3d"))
_ALONE = frozenset(("inte", "late", "rest", "simple", "sub", "view"))  #: Ends and beginnings of too many other words.
_BEFORE_C = frozenset(("fs", "se", "fse", "tse", "fl", "2d", "3d", "spgr", "fspgr", "bravo", "sat", "fatsat", "post"))
_WEIGHTING = re.compile(r"t[12](?!\d)")
#: What is not looked for among the words that are left in the end.
_TAKEN_OUT = (
    Meaning.IGNORED,
    Meaning.EITHER,
    Meaning.NEGATION,
    Meaning.NEGATION_AFTER,
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
    text = unicodedata.normalize("NFKD", text.replace("ß", "ss").replace("ł", "l").replace("ø", "oe"))
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
    if prefixed := re.match(r"[sdevwu]{1,2}(t[12](?!\d).*)", run):  # as Philips marks SENSE, derived, …
        return _split_run(prefixed[1])
    if (prefixed := re.match(r"[sdevwu](.{4,})", run)) and _is_word_of_weighting(prefixed[1]):
        return [prefixed[1]]
    for strong in _STRONG_STARTS:
        if run.startswith(strong):
            return [strong, *_split_run(run[len(strong) :])] if run != strong else [strong]
    for strong in _STRONG:
        if run.endswith(strong):
            return [*_split_run(run[: -len(strong)]), strong]
    return [run]


@functools.lru_cache(maxsize=4096)
def _is_word_of_weighting(run: str) -> bool:
    """Whether it alone says that an image is, or is not, one of the four sequences."""
    meanings = (Meaning.OTHER, Meaning.FLAIR, Meaning.T1_TECHNIQUE, Meaning.T2_TECHNIQUE, Meaning.FLAIR_TECHNIQUE)
    found = ((pattern.match(f" {run} "), rule.meaning) for pattern, rule in _patterns())
    return any(match is not None and match[0] == f" {run}" and meaning in meanings for match, meaning in found)


@functools.lru_cache(maxsize=4096)
def _split_known(run: str) -> tuple[str, ...] | None:
    """The fewest words of the table, neutral words and numbers that make up the whole run; None if none do."""
    words, stems = _vocabulary()
    if run in words:
        return (run,)
    jargon = _WEIGHTING.search(run) is not None
    # best[i]: cost and words of run[:i]
    best: list[tuple[float, tuple[str, ...]]] = [(0.0, ()), *[(_UNKNOWN, ())] * len(run)]
    for end in range(1, len(run) + 1):
        for start in range(end):
            cost, before = best[start]
            piece = run[start:end]
            if cost >= _UNKNOWN or not (jargon or _may_be_joined(piece, before)):
                continue
            cost += _cost(piece, before[-1] if before else "", end == len(run), words, stems)
            if cost < best[end][0]:
                best[end] = (cost, (*before, piece))
    cost, split = best[-1]
    return split if cost < _UNKNOWN else None


def _may_be_joined(piece: str, before: tuple[str, ...]) -> bool:
    """Where no weighting is in a run it may be a plain word of any language: ``cortical`` is not ``cor ti cal``."""
    if piece == "c":
        return bool(before) and before[-1] in _BEFORE_C
    return (len(piece) > 2 or piece in _SHORT or piece.isdigit()) and len(before) < 3 and piece not in _ALONE


def _cost(piece: str, before: str, at_end: bool, words: frozenset[str], stems: tuple[str, ...]) -> float:
    """Of taking `piece` as a word after the word `before`."""
    if piece in words:
        # A single letter may be anything: only after a word, and not where digits are around it.
        return 1.0 if len(piece) > 1 else (1.3 if before and not before.isdigit() else _UNKNOWN)
    if piece.isdigit():
        return _UNKNOWN if before in ("t1", "t2", "c") or before.isdigit() else (0.9 if at_end else 1.2)
    if at_end and any(piece.startswith(stem) and piece.isalpha() for stem in stems):
        return 1.5
    return _UNKNOWN


@functools.lru_cache(maxsize=1)
def _vocabulary() -> tuple[frozenset[str], tuple[str, ...]]:
    """The whole words and the stems (of at least four letters) of the phrases of one word, and the letters c and w."""
    listed = {phrase for rule in RULES for phrase in rule.phrases if phrase.isalnum() or phrase[:-1].isalnum()}
    words = {word for word in listed if word.isalnum() and (len(word) > 1 or word in "cw")}
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
    """How the contrast agent is denied: a negation before it, one behind it, one at the end of the text."""
    before, agents, after, at_end = (
        _alternatives(rule for rule in RULES if rule.meaning is meaning)
        for meaning in (Meaning.NEGATION, Meaning.CONTRAST, Meaning.NEGATION_AFTER, Meaning.NEGATION_AT_END)
    )
    agents = f"(?:{agents}|c|ce|iv|ev|enh|injection|kl|ks|cm)"
    between = r"(?:(?:iv|i v|the|de|del|di|agent|podani\w*) )?"
    return (
        re.compile(rf" (?:{before}) {between}{agents}(?= )"),
        re.compile(rf" {agents} (?:{after})(?= )"),
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
