"""What the rules of `lckd identify` do with spellings nobody listed: by principle, with headers, by order in time."""

import itertools

import pytest

from lckd.identify import Evidence, assign, identify
from lckd.identify.rules import BOLUS, LOCALIZER, RULES, Meaning
from lckd.sequences import SEQUENCES

FLAIR, T1, T1C, T2 = SEQUENCES
T1_OPEN = (T1, T1C)

#: Principle: answer: spellings separated by |, ours.
PRINCIPLES = {
    "inversion in a T2 nulls the fluid": {"FLAIR": "t2_spc_ir_cor_iso|T2 SPACE IR tra|*spcir_220ns"},
    "the part of a file name that describes": {
        "FLAIR": "case-9_fla.nii.gz",
        "T1c": "Brats18_XYZ_AAB_1_t1ce.nii.gz|Brats18_XYZ_ADC_1_t1ce.nii",
        "T2": "TCGA-DU-ADC7_t2.nii.gz|Brats17_TCIA_211_1_t2",
        "T1": "sub-07_ce-none_T1w.nii.gz|Brats18_XYZ_AAB_1_t1.nii.gz|case-9_t1.nii.gz",
    },
    "contrast agent, abbreviated by language": {"T1c": "eT1W_TSE KS|T1 tra CM|T1 po KL|COR T1 zengqiang|T1 с КУ"},
    "denied before the agent": {
        "T1": "T1 ej Gd|T1 før kontrast|T1 ilman tehostetta|T1 tanpa kontras|T1 av inj|T1 u/kontrast|T1 prior to Gd"
    },
    "denied behind the agent": {"T1": "T1 kontrast oncesi|T1 kontraszt nelkul|T1 Gd: none|T1 (-) Gd|T1 contrast-free"},
    "the same word before and behind": {"T1": "T1 utan kontrast", "T1c": "T1 kontraszt utan"},
    "plain, by language": {"T1": "COR T1 simple|T1 pingsao sag|T1 без КУ"},
    "post and pre that are no contrast agent": {
        "undecided": "T1 post fossa|T1 POSTERIOR sag|T1 post biopsy|T1 precentral|MPRAGE post SRS|T1 AC-PC|T1 3 cm"
    },
    "T2* in words": {"other": "AX T2-STAR|cor T2 étoile|T2 Stern tra|T2_star 3D"},
    "prefix letters of derived series": {"other": "ssubtracted T1|dmapping T1|sperfusion"},
    "maps and computed images": {
        "other": "mp2rage_T1_Images|FAT: Ax T1 FSE|t1_dixon_cor_F|(12/3/45)-(12/2/45)|Positive Enhancement Integral",
        "T1c": "t1_dixon_cor_post_W",
    },
    "another part of the body": {"other": "AX T2 NECK|SAG T1 C2-C7|T2 sag Csp|Hals T1 tra|T1 SAG L1-S1|MRCP T2"},
    "not MRI": {"other": "Head 1.0 H40s|UTE MRAC|Brain 3.0 Hr38"},
    "names of a maker": {"other": "s3DI_MC|cmrr_mbep2d_rest|FSBB|*fl3d1r_t60|*swi3d1r", "T2": "Double_TSE|*h2d1_160"},
    "values of b, not letters and numbers": {"other": "tra b=50|B1000 axial", "T1c": "XYZ_AAB_1 T1 +C"},
    "a change of case parts words": {"other": "SUBLeft T1", "T1c": "AXPostT1", "undecided": "MRSagT1"},
}
CASES = [
    pytest.param(text, answer, id=text)
    for answers in PRINCIPLES.values()
    for answer, texts in answers.items()
    for text in texts.split("|")
]


@pytest.mark.parametrize(("text", "answer"), CASES)
def test_principles(text, answer):
    is_file = text.startswith(("Brats", "TCGA", "sub-"))
    found = identify(Evidence(name=text) if is_file else text)
    assert (found.answer or "undecided") == answer, found.reason


class TestNothingMakesAContrastAgent:
    WORDS = """cortical predict detection interest interesting template translate isolate practical medical face dice
        cert metric restrict court demo deliver confusion sinc kurt ticks notice access factor"""

    @pytest.mark.parametrize("word", WORDS.split())
    def test_a_plain_word_is_not_taken_apart(self, word):
        for text in (f"T1 {word}", f"{word.upper()}_T1_AX", f"{word.title()} T1"):
            assert identify(text).possible == T1_OPEN, text

    def test_neutral_words_are_neutral_alone_and_in_pairs(self):
        neutral = [phrase for rule in RULES if rule.meaning is Meaning.NEUTRAL for phrase in rule.phrases]
        few = neutral[::9]
        for text in itertools.chain(neutral, map(" ".join, itertools.product(few, few))):
            assert identify(f"T1 {text}").possible == T1_OPEN, text

    def test_what_is_ignored_says_nothing(self):
        ignored = [phrase for rule in RULES if rule.meaning is Meaning.IGNORED for phrase in rule.phrases]
        for phrase in ignored:
            text = f"T1 AX {phrase.replace('*', '').replace('#', '5')}"
            assert identify(text).possible == T1_OPEN, text


#: What the words say, scanning sequence, TR, TE, TI in ms, flip angle in degrees, 2-D or 3-D, and the answer; with T1
#: the contrast agent is still to be said.
FAMILIES = [
    ("AX T1", "SE", 620, 11, None, 90, "2D", "T1"),
    ("Ax T1 FLAIR", "SE\\IR", 2600, 12, 950, 120, "2D", "T1"),
    ("MPRAGE", "GR\\IR", 2200, 2.6, 900, 9, "3D", "T1"),
    ("BRAVO", "GR", 7.2, 2.8, 450, 12, "3D", "T1"),
    ("3D TFE", "GR", 8.1, 3.7, None, 8, "3D", "T1"),
    ("t1_fl2d", "GR", 220, 3.4, None, 80, "2D", "T1"),
    ("t1_space", "SE", 700, 12, None, 120, "3D", "T1"),
    ("AX T2", "SE", 4500, 98, None, 150, "2D", "T2"),
    ("t2_space", "SE", 3200, 410, None, 120, "3D", "T2"),
    ("AX FLAIR", "SE\\IR", 9000, 125, 2500, 150, "2D", "FLAIR"),
    ("Sag CUBE FLAIR", "IR", 5500, 110, 1480, 90, "3D", "FLAIR"),
    ("t2_space_dark-fluid", "SE\\IR", 5000, 388, 1800, 120, "3D", "FLAIR"),
    ("COR STIR", "SE\\IR", 4200, 48, 170, 150, "2D", "other"),
    ("AX PD", "SE", 3000, 14, None, 150, "2D", "other"),
    ("SWI", "GR", 28, 20, None, 15, "3D", "other"),
    ("CISS", "GR", 5.6, 2.5, None, 50, "3D", "other"),
    ("DWI", "EP", 5200, 78, None, 90, "2D", "other"),
]
ADDED = {"": None, " PRE": "T1", " nativ": "T1", " POST": "T1c", " +C": "T1c"}
AGENTS = {
    "": False,
    "NONE": False,
    "W/O": False,
    "NONE\\NONE": False,
    "0 ml": False,
    "not given": False,
    "nativ": False,
}
AGENTS |= {"Gadovist": True, "10 ml DOTAREM": True, "Gd": True, "YES": True}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family[0])
def test_words_timing_and_agent_of_a_header(family):
    """With words, without them, with the agent in the header and without it: never a wrong answer."""
    words, kind, tr, te, ti, flip, acquired, answer = family
    timing = {"scanning_sequence": kind, "repetition_time_ms": tr, "echo_time_ms": te, "inversion_time_ms": ti}
    timing |= {"flip_angle_deg": flip, "acquisition_type": acquired, "modality": "MR"}
    for (agent, given), (added, said) in itertools.product(AGENTS.items(), ADDED.items()):
        for text in (f"{words}{added}", *(() if added else ("501", ""))):
            expected = answer if answer != "T1" else (said or ("T1c" if given else None))
            found = identify(Evidence(series_description=text, contrast_agent=agent, **timing))
            assert found.answer == expected, (text, agent, found.reason)


def test_very_short_timings_alone_are_no_t1():
    """Localizers, angiograms and dynamic series are fast gradient echoes as well."""
    fast = {"scanning_sequence": "GR", "acquisition_type": "3D", "contrast_agent": "Gd"}
    for tr, te, flip in ((3.1, 1.4, 8), (3.6, 1.2, 25), (22, 4, 18)):
        timing = {"repetition_time_ms": tr, "echo_time_ms": te, "flip_angle_deg": flip}
        assert identify(Evidence(series_description="501", **fast, **timing)).answer is None


def test_a_t1_by_its_words_is_not_called_other_by_its_timing():
    long = Evidence("", "AX T1", scanning_sequence="SE", repetition_time_ms=2500, echo_time_ms=20, contrast_agent="Gd")
    assert identify(long).answer is None
    assert "contradict" in identify(long).reason


@pytest.mark.parametrize("kind", ["P", "PHASE MAP", "FAT", "SUBTRACTION", "TTP"])
def test_image_types_that_are_none_of_the_four(kind):
    assert identify(Evidence("", "AX T1", image_type=f"DERIVED\\PRIMARY\\{kind}\\ND")).answer == "other"
    assert identify(Evidence("", "AX T2", image_type="ORIGINAL\\PRIMARY\\M\\ND\\NORM")).answer == "T2"


def study(*series):
    """Series as (description, minute of the day, contrast agent); the date may stand before the minute."""
    return [Evidence("", text, time=20260131e6 + at * 100, contrast_agent=agent) for text, at, agent in series]


def chosen(*series):
    return dict(assign(study(*series)).chosen)


class TestOrderInTime:
    def test_an_agent_copied_into_every_series_does_not_turn_the_t1_into_the_t1c(self):
        assert chosen(("AX T1", 1, "Gd"), ("AX T1 POST", 2, "Gd")) == {T1: 0, T1C: 1}
        assert chosen(("AX T1 nativ", 1, "Gd"), ("SAG T1", 2, "Gd")) == {T1: 0}
        assert chosen(("3-plane loc", 0, "Gd"), ("AX T1", 1, "Gd")) == {}
        assert chosen(("3-plane loc", 0, ""), ("AX T1", 1, "Gd")) == {T1C: 1}

    def test_after_the_named_t1c_and_without_times_an_agent_leaves_a_t1_open(self):
        assert chosen(("SAG T1", 3, "Gd"), ("AX T1 POST", 2, "Gd")) == {T1C: 1}
        untimed = [Evidence("", text, contrast_agent="Gd") for text in ("SAG T1", "AX T1 POST")]
        assert dict(assign(untimed).chosen) == {T1C: 1}

    def test_before_and_after_the_perfusion(self):
        found = assign(study(("AX T1", 1, ""), ("DSC", 2, ""), ("SAG T1", 3, "")))
        assert found.chosen == {T1: 0, T1C: 2}
        assert "perfusion" in found.reasons[T1C]
        assert chosen(("AX T1", 1, ""), ("3D ASL", 2, ""), ("SAG T1", 3, "")) == {}
        assert chosen(("AX T1 PRE", 1, ""), ("ep2d_perf", 2, ""), ("AX T1", 3, "")) == {T1: 0, T1C: 2}
        assert chosen(("ep2d_perf", 2, ""), ("AX T1", 3, ""), ("AX T1 GD", 4, "")) == {T1C: 2}

    def test_two_alike_in_a_study_with_contrast_agent(self):
        found = assign(study(("AX T1", 5, "Gd"), ("AX T1", 2, "Gd")))
        assert found.chosen == {T1: 1, T1C: 0}
        assert found.identifications[0].confidence < 0.7
        assert chosen(("AX T1", 5, ""), ("AX T1", 2, "")) == {}
        assert chosen(("AX T1", 5, "Gd"), ("AX T1 repeat", 2, "Gd")) == {}
        assert chosen(("AX T1", 5, "Gd"), ("AX T1", 5, "Gd")) == {}

    def test_the_t1c_of_another_day_says_nothing(self):
        next_day = 1_000_000 / 100
        assert chosen(("AX T1", 1, ""), ("AX T1 POST", 2 + next_day, "")) == {T1C: 1}
        assert chosen(("DSC", 1, ""), ("AX T1", 2 + next_day, "")) == {}

    def test_the_notes_it_goes_by_are_in_the_table(self):
        assert {LOCALIZER, BOLUS} <= {rule.note for rule in RULES if rule.meaning is Meaning.OTHER}
