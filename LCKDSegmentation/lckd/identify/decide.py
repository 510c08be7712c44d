"""From evidence to an answer: words first, timing where they leave it open, the contrast agent last."""

from __future__ import annotations

import re
from dataclasses import replace

from ..sequences import Sequence, sequence_of_file_name
from .evidence import Evidence, Identification
from .physics import Timing, read_timing
from .rules import RULES, Meaning, words_of
from .words import Finding, read_words, split_words

FLAIR, T1, T1C, T2 = Sequence
_T1_FAMILY = (T1, T1C)
_NOTHING = Identification(None, False, 0.0, "Nothing that is known of it says which sequence it is.")
#: How sure a contrast agent in the header makes: many scanners write it into every series of the study.
_AGENT_SURE = 0.75
#: Words of that field that say that there was none, besides those of the table.
_NO_AGENT = {"n", "0", "off", "nein", "nee", "unknown", "na", "nil"} | {
    phrase
    for rule in RULES
    if rule.meaning in (Meaning.NEGATION, Meaning.NEGATION_AFTER)
    for phrase in rule.phrases
    if " " not in phrase
}
_OTHER_IMAGE_TYPES = {
    "PROJECTION IMAGE": "a projection",
    "LOCALIZER": "a localizer",
    "MIP": "a projection",
    "MINIP": "a projection",
    "MNIP": "a projection",
    "MIN IP": "a projection",
    "ADC": "diffusion",
    "FA": "diffusion",
    "TRACEW": "diffusion",
    "DIFFUSION": "diffusion",
    "TENSOR": "diffusion",
    "PERFUSION": "perfusion",
    "ASL": "perfusion",
    "SUBTRACT": "a subtraction",
    "SUB": "a subtraction",
    "SUBTRACTION": "a subtraction",
    "P": "a phase image",
    "PHASE": "a phase image",
    "PHASE MAP": "a phase image",
    "FAT": "an image of the fat alone",
    "TTP": "perfusion",
    "MTT": "perfusion",
    "RCBV": "perfusion",
    "RCBF": "perfusion",
    "PBP": "perfusion",
    "T1 MAP": "a map",
    "T2 MAP": "a map",
    "FMRI": "functional MRI",
    "MOSAIC": "functional MRI or diffusion",
    "SCREEN SAVE": "a picture",
}
_OTHER_BODY = re.compile(
    r"spine|chest|thorax|abdomen|pelvis|liver|heart|breast|knee|prostate|shoulder|ankle|extremity|hip\b|^neck", re.I
)
#: Words that make a file name a series description.
_DESCRIBING = words_of(Meaning.NEUTRAL, Meaning.T1_TECHNIQUE)
_IMAGE_SUFFIX = re.compile(r"\.(nii(\.gz)?|nrrd|nhdr|mha|mhd|dcm|ima)$", re.IGNORECASE)


def identify(evidence: Evidence | str) -> Identification:
    """Which sequence a volume is, by all that is known of it.

    Args:
        evidence: what is known; a text is taken as a series description.

    Returns:
        The answer; without one where the evidence does not decide, as between T1 and T1c when nothing speaks of
        contrast.
    """
    if isinstance(evidence, str):
        evidence = Evidence(series_description=evidence)
    refused = _not_mri_of_the_head(evidence)
    if refused is not None:
        return refused
    by_words = _first_decided(evidence)
    by_words = _with_timing(by_words, read_timing(evidence))
    return _with_agent(by_words, evidence)


def identify_words(text: str, of_exam: bool = False) -> Identification:
    """Which sequence a text says it is; contrast alone says nothing if the text may speak of the whole examination."""
    found = read_words(text)
    get = found.get
    if (other := get(Meaning.OTHER)) is not None:
        return _other(other)
    t1, t2, flair, pd = get(Meaning.T1), get(Meaning.T2), get(Meaning.FLAIR), get(Meaning.PD)
    if t1 and t2:
        return _open(f"It speaks of both {t1.quoted} and {t2.quoted}.", FLAIR, T1, T1C, T2)
    if t1:
        return _t1(found, t1)
    if flair:
        return _certain(FLAIR, flair)
    gradient = get(Meaning.NOT_WITH_T2)
    if gradient and (t2 or not get(Meaning.T1_TECHNIQUE)):
        return _other(gradient)
    if t2:
        technique = get(Meaning.FLAIR_TECHNIQUE)
        return _certain(FLAIR, technique) if technique else _certain(T2, t2)
    if pd:
        return _other(pd)
    return _by_technique(found, of_exam)


def _by_technique(found: dict[Meaning, Finding], of_exam: bool) -> Identification:
    """Where no weighting is named."""
    if (t1 := found.get(Meaning.T1_TECHNIQUE)) is not None:
        return _t1(found, t1)
    for meaning, sequence in ((Meaning.FLAIR_TECHNIQUE, FLAIR), (Meaning.T2_TECHNIQUE, T2)):
        if (technique := found.get(meaning)) is not None:
            return _certain(sequence, technique)
    if (alone := found.get(Meaning.OTHER_ALONE)) is not None:
        return _other(alone)
    contrast = found.get(Meaning.CONTRAST)
    if contrast and not (Meaning.NO_CONTRAST in found or Meaning.EITHER in found or of_exam):
        reason = f"{contrast.quoted} without another weighting is a T1 after contrast."
        return Identification(T1C, False, round(0.85 * contrast.rule.sure, 2), _sentence(reason))
    return _NOTHING


def _t1(found: dict[Meaning, Finding], t1: Finding) -> Identification:
    """T1 or T1c, or undecided between them."""
    without = found.get(Meaning.NO_CONTRAST)
    candidates = [found[meaning] for meaning in (Meaning.CONTRAST, Meaning.CONTRAST_IF_T1) if meaning in found]
    contrast = max(candidates, key=lambda finding: finding.rule.sure, default=None)
    if (either := found.get(Meaning.EITHER)) is not None:
        return _open(f"{t1.quoted}, and {either.quoted} does not tell about the contrast agent.", *_T1_FAMILY)
    if without and contrast:
        return _open(f"It speaks of both {without.quoted} and {contrast.quoted}.", *_T1_FAMILY)
    decided = without or contrast
    if decided is None:
        return _open(f"{t1.quoted}, but nothing says whether contrast agent was given.", *_T1_FAMILY)
    sure = round(t1.rule.sure * decided.rule.sure, 2)
    return Identification(T1 if without else T1C, False, sure, _sentence(f"{t1.quoted} and {decided.quoted}."))


def _first_decided(evidence: Evidence) -> Identification:
    """By the texts in the order of how much they can be relied upon; a later one may only narrow an earlier one."""
    best = _NOTHING
    description, texts = evidence.series_description, (evidence.protocol_name, evidence.sequence_name)
    described = _by_data_set_name(description) if _IMAGE_SUFFIX.search(description) else None
    readings = (
        described or identify_words(description),
        _by_data_set_name(evidence.name) or identify_words(evidence.name),
        *(identify_words(text, of_exam=True) for text in texts),
    )
    for read in readings:
        if best is _NOTHING or (best.answer is None and read.sequence in best.possible):
            best = read
    return best


def _by_data_set_name(name: str) -> Identification | None:
    """By the end of the file name, as public data sets write it.

    A plain T1 means without contrast there, but only where the rest of the name describes nothing: ``AX_T1`` is a
    series description made a file name.
    """
    stem = _IMAGE_SUFFIX.sub("", name)
    sequence = sequence_of_file_name(stem)
    read = identify_words(stem)
    if sequence is None or read.is_other:
        return None
    plain = sequence is T1 and not stem.lower().endswith("t1n")
    if plain and (read.possible != _T1_FAMILY or _DESCRIBING & set(split_words(stem))):
        return None
    return Identification(
        sequence, False, 0.8 if plain else 0.9, f"The file name ends as data sets call {sequence.title}."
    )


def _not_mri_of_the_head(evidence: Evidence) -> Identification | None:
    if evidence.modality.strip() and evidence.modality.strip().upper() != "MR":
        return Identification(None, True, 0.98, f"Its modality is {evidence.modality.strip()}, not MR.")
    types = {part.strip().upper().replace("_", " ") for part in evidence.image_type.split("\\")}
    for kind in sorted(types & set(_OTHER_IMAGE_TYPES)):
        return Identification(None, True, 0.95, f"Its image type {kind} says: {_OTHER_IMAGE_TYPES[kind]}.")
    if _OTHER_BODY.search(evidence.body_part):
        return Identification(None, True, 0.8, f"It shows another part of the body ({evidence.body_part.strip()}).")
    return None


def _with_timing(words: Identification, timing: Timing | None) -> Identification:
    """Words and timing together. Where they contradict each other, nothing is decided."""
    if timing is None or words.is_other:
        return words
    said = {words.sequence} if words.sequence else set(words.possible)
    timed = {*timing.possible, *((T1C,) if T1 in timing.possible else ())}
    if not timing.possible:
        return _when_timed_other(words, timing)
    if not said:
        return _by_timing_alone(timing)
    if said & timed:
        both = said & timed
        if words.sequence or len(both) > 1 or both & set(_T1_FAMILY):
            return words
        return Identification(both.pop(), False, 0.8, _sentence(f"{words.reason} Its {timing.words}."))
    if said == {FLAIR} and T1 in timing.possible:
        return _open(f"FLAIR, but {timing.words}: a T1 FLAIR; nothing says whether contrast was given.", *_T1_FAMILY)
    if said == {T2} and FLAIR in timing.possible:
        return Identification(FLAIR, False, 0.85, _sentence(f"T2 by its words, and {timing.words}."))
    return _open(
        f"Words and timing contradict each other: {words.reason} But {timing.words}.", *sorted_of(said | timed)
    )


def _when_timed_other(words: Identification, timing: Timing) -> Identification:
    if words.sequence is T2 or (words.sequence is None and words.possible != _T1_FAMILY):
        return Identification(None, True, 0.85, _sentence(f"{timing.words}."))
    return _open(f"Words and timing contradict each other: {words.reason} But {timing.words}.")


def _by_timing_alone(timing: Timing) -> Identification:
    if timing.possible == (T1,):
        return _open(f"{timing.words}, but nothing says whether contrast agent was given.", *_T1_FAMILY)
    if len(timing.possible) > 1:
        return _open(f"{timing.words}.", *timing.possible)
    return Identification(timing.possible[0], False, 0.8, _sentence(f"{timing.words}."))


def _with_agent(read: Identification, evidence: Evidence) -> Identification:
    """Let the header's contrast agent decide between T1 and T1c. Its absence says nothing: it is often left out."""
    if read.possible != _T1_FAMILY or not has_agent(evidence):
        return read
    reason = "T1-weighted, and the header names a contrast agent."
    return Identification(T1C, False, _AGENT_SURE, reason)


def kind_of_other(evidence: Evidence) -> str:
    """What its description or protocol says it is if it is none of the four: a note of the table; else empty."""
    found = (read_words(text).get(Meaning.OTHER) for text in (evidence.series_description, evidence.protocol_name))
    return next((finding.rule.note for finding in found if finding is not None), "")


def has_agent(evidence: Evidence) -> bool:
    """Whether the header names a contrast agent: ``NONE``, ``W/O``, ``0 ml`` and the like name none."""
    return any(_names_an_agent(value) for value in evidence.contrast_agent.split("\\"))


def _names_an_agent(value: str) -> bool:
    said = set(split_words(value))
    return bool(said) and not said & _NO_AGENT and Meaning.NO_CONTRAST not in read_words(value)


def without_agent(evidence: Evidence) -> Evidence:
    """The same, but for the header's contrast agent."""
    return replace(evidence, contrast_agent="")


def sorted_of(sequences: set[Sequence]) -> list[Sequence]:
    """In their one order."""
    return [sequence for sequence in Sequence if sequence in sequences]


def _certain(sequence: Sequence, finding: Finding) -> Identification:
    return Identification(sequence, False, finding.rule.sure, _sentence(f"{finding.quoted}."))


def _other(finding: Finding) -> Identification:
    return Identification(None, True, finding.rule.sure, _sentence(f"{finding.quoted}."))


def _open(reason: str, *possible: Sequence) -> Identification:
    return Identification(None, False, 0.0, _sentence(reason), possible)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
