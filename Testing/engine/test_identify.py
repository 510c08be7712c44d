"""Which sequence is it: spellings of our own, the table of real ones, DICOM tags, files, assignment, command line."""

import csv
import json
import subprocess
import sys
from dataclasses import replace

import pytest
import SimpleITK as sitk

from lckd.errors import InputError
from lckd.identify import TAGS, Evidence, assign, evidence_from_tags, identify
from lckd.identify.files import read_evidence
from lckd.identify.rules import RULES, Meaning
from lckd.identify.words import split_words
from lckd.sequences import SEQUENCES

FLAIR, T1, T1C, T2 = SEQUENCES

#: Spellings, none of them from the table, separated by |.
SPELLINGS = {
    "FLAIR": """
        FLAIR|t2_tirm_tra_dark-fluid_fs|T2W_FLAIR_SPIR|AXFLAIR|sag_t2_spc_da-fl_irprep_iso|TIRM dark fluid axial
        T2-FLAIR post Gd|FLAIR +C|axT2flair|VISTA FLAIR|sFLAIR_longTR|BraTS-GLI-00012-000-t2f|FLAIR_3D_SAG_VFL
        sub-01_ses-post_FLAIR|COR FLAIR preop|FLAIR_to_T1|Flair transversal nach KM|T2_space_dark-fluid_sag_p2_iso
        Sagittal 3-D FLAIR|vFLAIR 3D|T2 Flair pondération axiale|Brainlab FLAIR""",
    "T1": """
        AX T1 PRE|T1 nativ axial|T1W_SE ohne KM|T1 sans injection|T1 sans gado|T1 SIN CONTRASTE|T1 sem contraste axial
        T1 senza mdc|T1 SE zonder contrast|T1 bez kontrastu|AX T1 W/O|T1 non-contrast|Ax T1 s/contraste|T1 S/C
        AX T1 WITHOUT CONTRAST|T1 basale|T1PRE|AXT1PRE|t1 pre-Gd|T1W unenhanced|T1 vor KM|BraTS-GLI-00012-000-t1n
        sag MPRAGE precontrast|T1 avant injection|T1_NOCONTRAST|T1 przed kontrastem|T1 C-|T1 SE -C|Axial T1 noncon
        T1 TSE blanco|T1 utan kontrast|3D TFE pre|BRAVO pre-contrast|T1平扫|T1 FLAIR PRE|T1 prä KM|AX T1 FLOW COMP PRE
        Axial T1 SIN CIV|MPRAGE without""",
    "T1c": """
        AXT1POST|T1W_TSE_GD|Ax T1+C FS|T1 SE post|T1 + Gd|T1C|T1ce|t1_mpr_tra_KM|T1 nach KM|T1 mit Kontrastmittel
        T1 TSE tra +KM|T1 gado sag|T1 après injection|T1 injecté|T1 apres gado|T1 post contraste|T1 con gadolinio
        T1 POS GD|T1 pós contraste|T1 dopo mdc|T1 con contrasto|T1 na contrast|T1 met gd|T1 po kontraście|T1+K
        T1 z kontrastem|T1 Gd-DTPA|T1 DOTAREM|MPRAGE +C|MPRAGE POST|3D_SPGR_GAD|COR FSPGR C+|THRIVE POST|3D TFE GADO
        AX T1 C/C|T1 C/CONTRASTE|AX T1 W CONTRAST|T1W ENHANCED|t1fsc|post contrast axial T1|T1 CUBE Post Contrast
        T1 dark fluid post KM|T1 FLAIR +C|T1 efter kontrast|sub-01_ce-gadolinium_T1w|UPENN-GBM-00001_11_T1GD|T1增强
        T1 造影後|T1 조영증강|T1 s KL|CE-T1w|cT1 MPRAGE|T1 IV+|C+ T1 AX|t1vibefsposttra|T1+|T1 MTC +KM|Gd-T1
        3DT1Gd|T1 (+)|T₁ post
        T1 POST : Processed_CaPTk|axial T1 POSTCONTRAST preop|T1WPROSETGD|Sag T1 TSE ENHANCE|T1 с контрастом
        3D STEALTH W CONTRAST""",
    "T2": """
        T2|AX T2 TSE|T2W_TSE_CLEAR|AXT2FSE|T2 FRFSE|3D T2 CUBE|t2_spc_sag|T2 FS post Gd|T2 transversal|T2 pondéré axial
        T2 pesata|T2 ponderado|axial T2 weighted|T2-gewichtet|BraTS-GLI-00012-000-t2w|sub-01_T2w|PD/T2 tra|T2 DRIVE
        AX T2 +C|Ax FRFSE-XL|T2 multivane XD|T2TSE|DP T2 axial|t2 haste tra|3.0T T2 TSE|T 2 tse|navi t2""",
    "other": """
        DWI|ADC|ep2d_diff_b1000|Diffusion axiale|Difusión|ADC (10^-6 mm²/s)|Dyfuzja|TRACEW|FA color|DTI 32 dir
        SWI_Images|t2*_fl2d|T2* GRE|t2_fl2d_tra_hemo|T2 FFE|minIP_images(SW)|QSM|R2* map|3-plane localizer|Localizador
        Lokalizer|SURVEY|Kalibrierung|Reference Scan|gre_field_mapping|B1 map|TOF angio|MRA|PHASE CONTRAST MRV
        Perfuzja|DSC|ep2d_perf|ASL 3D|Ktrans|T1 DCE|dynamic T1|T2*-Perfusion|fMRI motor|BOLD|rs-fMRI
        sub-01_task-rest_bold|PD|PD TSE|T1 map|Synthetic T1|Subtraktion T1|AX T1 POST SUBTRACTION|MIP T1 post
        T1 reformat cor|MR Spectroscopy|PRESS 144|mask|BraTS2021_00000_seg|CT HEAD|PET|FIESTA|CISS|STIR COR|Screen Save
        neuromelanin|sw_phase|ep2d_tra""",
    "undecided": """
        AX T1|SAG T1 SE|MPRAGE|T1W_3D_TFE|3D SPGR|BRAVO|T1 FLAIR|T1 VIBE|t1_tirm_tra_dark-fluid|T1 pre and post|T13D
        AX T1 W/WO|T1 FS post-op|T1 +/- C|T1 mit und ohne KM|T1 PREOP STEALTH|T1 nach OP|T1 coronal|AX T1 FC|sub01 T1 SE
        3D|AXIAL|Brain|12345""",
}
CASES = [
    (text.strip(), answer)
    for answer, lines in SPELLINGS.items()
    for line in lines.strip().splitlines()
    for text in line.split("|")
]


@pytest.mark.parametrize(("text", "answer"), CASES)
def test_own_spellings(text, answer):
    found = identify(text)
    assert (found.answer or "undecided") == answer, f"{split_words(text)} {found.reason}"
    assert (found.confidence > 0.5) == (found.answer is not None)
    assert found.reason.endswith(".")


def test_undecided_says_what_is_left():
    assert identify("AX T1").possible == (T1, T1C)
    assert identify("").possible == ()
    assert "contrast" in identify("AX T1").reason


@pytest.mark.series_table
def test_the_table_of_real_descriptions(series_table):
    """Between T1 and T1c undecided is right where the words do not tell: the class comes from the study there."""
    with series_table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(rows) > 600
    wrong, confused = [], []
    for row in rows:
        found = identify(row["description"])
        open_t1 = found.possible == (T1, T1C)
        right = open_t1 if row["class"] == "T1|T1c" else found.answer == row["class"]
        if not right and not (row["class"] in ("T1", "T1c") and open_t1):
            wrong.append((row["class"], found.answer, row["description"]))
        if {row["class"], found.answer} in ({"T1", "T1c"}, {"T1|T1c", "T1"}, {"T1|T1c", "T1c"}):
            confused.append(row["description"])
    assert not confused
    assert 1 - len(wrong) / len(rows) >= 0.97, wrong
    named = [row for row in rows if row["class"] == "T1c"]
    assert sum(identify(row["description"]).answer == "T1c" for row in named) >= 0.85 * len(named)


class TestTableOfRules:
    def test_every_meaning_has_rules_and_every_phrase_is_as_words_are_split(self):
        assert {rule.meaning for rule in RULES} == set(Meaning)
        for rule in RULES:
            assert 0.5 < rule.sure <= 1
            for phrase in rule.phrases:
                assert phrase == phrase.strip().lower()
                assert all(word.rstrip("*").isalnum() or word in "+#" for word in phrase.split()), phrase

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("AXT1POST", "ax t1 post"),
            ("t1tse_KM", "t1 tse km"),
            ("T1WPROSETGADO", "t1w proset gado"),
            ("AXIALT2FLAIR", "axial t2flair"),
            ("AxT1Post", "ax t1 post"),
            ("SPGRadni", "spgr adni"),
            ("VT1W_3D", "t1w 3d"),
            ("Schädel T2*w", "schadel t2star"),
            ("T1 FSEC", "t1 fse c"),
            ("precontrast", "precontrast"),
            ("C9C1HN007", "c9c1hn007"),
        ],
    )
    def test_words_are_taken_apart(self, text, words):
        assert " ".join(split_words(text)) == words


class TestTags:
    @pytest.mark.parametrize(
        ("kind", "tr", "te", "ti", "agent", "answer"),
        [
            ("SE\\IR", 9000, 120, 2500, "", "FLAIR"),
            ("SE\\IR", 5000, 390, 1800, "", "FLAIR"),
            ("SE", 4500, 100, None, "", "T2"),
            ("SE", 4500, 15, None, "", "other"),
            ("SE", 550, 10, None, "", None),
            ("SE", 550, 10, None, "Gadovist", "T1c"),
            ("SE", 550, 10, None, "NONE", None),
            ("GR", 2100, 3, 1100, "", None),
            ("GR", 2100, 3, 1100, "Gd", "T1c"),
            ("GR", 27, 20, None, "", "other"),
            ("SE\\IR", 4000, 60, 150, "", "other"),
            ("EP", 5000, 80, None, "", "other"),
            ("", 9000, 120, None, "", None),
            ("SE", None, None, None, "Gd", None),
        ],
    )
    def test_timing_decides_where_there_are_no_words(self, kind, tr, te, ti, agent, answer):
        evidence = Evidence("501", "", "", "", kind, "", "", agent, "", te, tr, ti)
        assert identify(evidence).answer == answer

    @pytest.mark.parametrize(
        ("tags", "answer"),
        [
            ({"modality": "CT", "series_description": "T1"}, "other"),
            ({"modality": "MR", "series_description": "AX FLAIR"}, "FLAIR"),
            ({"series_description": "T1 post", "image_type": "DERIVED\\SECONDARY\\MIP"}, "other"),
            ({"series_description": "T2 TSE", "body_part": "CSPINE"}, "other"),
            ({"series_description": "AX T1", "contrast_agent": "10ml Dotarem"}, "T1c"),
            ({"series_description": "AX T1 PRE", "contrast_agent": "10ml Dotarem"}, "T1"),
            ({"series_description": "AX T2", "contrast_agent": "10ml Dotarem"}, "T2"),
            ({"series_description": "AX T1", "protocol_name": "T1 post Gd"}, "T1c"),
            ({"series_description": "AX T1", "protocol_name": "BRAIN W/WO CONTRAST"}, None),
            ({"series_description": "AX T1", "protocol_name": "BRAIN WITH CONTRAST"}, None),
            ({"series_description": "501", "protocol_name": "T2W_TSE"}, "T2"),
            ({"sequence_name": "*ep_b1000"}, "other"),
            ({"series_description": "AX T2", "name": "t1_post.nii.gz"}, "T2"),
        ],
    )
    def test_tags_decide_where_words_do_not(self, tags, answer):
        assert identify(Evidence(**tags)).answer == answer

    def test_words_and_timing_together(self):
        inverted = Evidence(
            scanning_sequence="SE\\IR", repetition_time_ms=9000, echo_time_ms=110, inversion_time_ms=2500
        )
        t1_flair = Evidence(scanning_sequence="IR", repetition_time_ms=2200, echo_time_ms=12, inversion_time_ms=860)
        assert identify(replace(inverted, series_description="AX T2")).answer == "FLAIR"
        assert identify(replace(t1_flair, series_description="AX FLAIR")).possible == (T1, T1C)
        contradiction = identify(replace(inverted, series_description="AX T1 POST"))
        assert contradiction.answer is None
        assert "contradict" in contradiction.reason
        short = Evidence(series_description="PD/T2", scanning_sequence="SE", repetition_time_ms=3000, echo_time_ms=12)
        assert identify(short).answer == "other"
        assert identify(replace(short, echo_time_ms=95)).answer == "T2"

    def test_evidence_comes_from_any_reader_of_dicom_tags(self):
        tags = {
            "0008,103e": "AX T1 ",
            "0018,0081": "10.5",
            "0018,0010": "Gd",
            "0008,0022": "20260131",
            "0008,0032": "101500.5",
        }
        assert set(tags) <= set(TAGS)
        evidence = evidence_from_tags(tags.get, name="node")
        assert evidence.series_description == "AX T1"
        assert evidence.echo_time_ms == 10.5
        assert evidence.repetition_time_ms is None
        assert evidence.time == 20260131101500.5
        assert identify(evidence).answer == "T1c"

    @pytest.mark.parametrize(
        ("name", "answer"),
        [
            ("t1.nii.gz", "T1"),
            ("sub-01_T1w.nii.gz", "T1"),
            ("sub-01_ce-gd_run-1_T1w.nii.gz", "T1c"),
            ("BraTS2021_00000_t1.nii.gz", "T1"),
            ("patient-7_pre_t1ce.nrrd", "T1c"),
            ("5_AX_T1.nii.gz", None),
            ("AX_T1_MPRAGE_POST.nii.gz", "T1c"),
            ("case_t2.mha", "T2"),
            ("sub-01_space-T1w_FLAIR.nii", "FLAIR"),
            ("BraTS2021_00000_seg.nii.gz", "other"),
            ("MRHead.nrrd", None),
        ],
    )
    def test_file_names(self, name, answer):
        assert identify(Evidence(name=name)).answer == answer


def chosen(*candidates, **options):
    return dict(assign([Evidence(**candidate) for candidate in candidates], **options).chosen)


class TestAssign:
    STUDY = tuple({"series_description": text} for text in ("AX T2", "AX T1", "DWI", "AX T1 POST", "AX FLAIR"))

    def test_each_sequence_once_and_the_t1_by_exclusion(self):
        assert chosen(*self.STUDY) == {FLAIR: 4, T1: 1, T1C: 3, T2: 0}
        assert list(chosen(*self.STUDY)) == [FLAIR, T1, T1C, T2]

    def test_without_a_t1c_a_plain_t1_stays_open(self):
        assert chosen({"series_description": "AX T1"}, {"series_description": "AX T2"}) == {T2: 1}

    def test_a_plain_t1_after_the_contrast_agent_stays_open(self):
        late = {"series_description": "SAG T1", "time": 3.0}
        post = {"series_description": "AX T1 POST", "time": 2.0}
        early = {"series_description": "AX T1", "time": 1.0}
        assert chosen(late, post) == {T1C: 1}
        assert chosen(late, post, early) == {T1: 2, T1C: 1}

    @pytest.mark.parametrize(
        ("worse", "better"),
        [
            ({"image_type": "DERIVED\\SECONDARY\\REFORMATTED"}, {}),
            ({}, {"acquisition_type": "3D"}),
            ({"slice_distance_mm": 5.0}, {"slice_distance_mm": 1.0}),
            ({"time": 1.0}, {"time": 2.0}),
            ({"acquisition_type": "2D", "time": 2.0}, {"acquisition_type": "3D", "time": 1.0}),
        ],
    )
    def test_of_two_the_better_is_taken_and_the_reason_says_so(self, worse, better):
        post = {"series_description": "T1 POST"}
        for order in ((worse, better), (better, worse)):
            found = assign([Evidence(**post, **facts) for facts in order])
            assert found.chosen == {T1C: order.index(better)}
            assert "preferred" in found.reasons[T1C]

    def test_equal_ones_are_left_to_the_user(self):
        found = assign([Evidence(series_description="T1 POST"), Evidence(series_description="T1 GD")])
        assert found.chosen == {}
        assert "T1 POST" in found.reasons[T1C]
        assert "choose" in found.reasons[T1C]

    def test_the_choice_of_the_user_is_kept_and_never_given_twice(self):
        assert chosen(*self.STUDY, fixed={T2: 4}) == {T1: 1, T1C: 3, T2: 4}
        two = ({"series_description": "AX T1"}, {"series_description": "SAG T1"})
        assert chosen(*two, fixed={T1C: 1}) == {T1: 0, T1C: 1}

    def test_a_contrast_agent_in_every_header_tells_nothing(self):
        agent = {"contrast_agent": "Gd"}
        plain = [{"series_description": text} | agent for text in ("AX T1", "COR T1")]
        assert chosen(*plain) == {}
        assert chosen(plain[0], {"series_description": "COR T1"}) == {T1: 1, T1C: 0}
        assert chosen({"series_description": "AX T1 PRE"} | agent, plain[1]) == {T1: 0}

    def test_nothing_to_assign(self):
        assert chosen() == {}


def write_dicom(path, **tags):
    image = sitk.Image(8, 8, 1, sitk.sitkUInt16)
    for tag, value in ({"0008|0060": "MR", "0020|000d": "1.2.3", "0020|000e": "1.2.3.4"} | tags).items():
        image.SetMetaData(tag, value)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(path))
    path.parent.mkdir(exist_ok=True)
    writer.Execute(image)
    return path


POST = {"0008|103e": "T1 après gado", "0008|0005": "ISO_IR 192", "0018|0081": "9.5", "0018|0080": "600"}


class TestFiles:
    def test_the_header_of_a_dicom_file_and_of_a_folder(self, tmp_path):
        file = write_dicom(tmp_path / "series" / "1.dcm", **POST, **{"0008|0018": "1.2.3.4.1"})
        for path in (file, file.parent):
            evidence = read_evidence(path)
            assert evidence.name == path.name
            assert evidence.series_description == "T1 après gado"
            assert (evidence.echo_time_ms, evidence.repetition_time_ms) == (9.5, 600.0)
            assert identify(evidence).answer == "T1c"

    def test_a_dicom_file_is_known_without_a_suffix(self, tmp_path):
        file = write_dicom(tmp_path / "1.dcm", **POST).rename(tmp_path / "IM0001")
        assert identify(read_evidence(file)).answer == "T1c"

    def test_a_folder_must_hold_one_series(self, tmp_path):
        write_dicom(tmp_path / "a" / "1.dcm", **{"0008|0018": "1.1"})
        write_dicom(tmp_path / "a" / "2.dcm", **{"0020|000e": "1.2.3.5", "0008|0018": "1.2"})
        (tmp_path / "empty").mkdir()
        for folder, code in (("a", "SEVERAL_SERIES"), ("empty", "NO_SERIES"), ("none", "FILE_NOT_FOUND")):
            with pytest.raises(InputError) as refused:
                read_evidence(tmp_path / folder)
            assert refused.value.code == code

    def test_a_damaged_dicom_file_speaks_by_its_name(self, tmp_path):
        (tmp_path / "flair.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 64)
        assert identify(read_evidence(tmp_path / "flair.dcm")).answer == "FLAIR"

    def test_the_json_file_beside_an_image(self, tmp_path):
        (tmp_path / "scan_4.nii.gz").touch()
        facts = {
            "EchoTime": 0.11,
            "RepetitionTime": 9,
            "InversionTime": 2.5,
            "ScanningSequence": "SE\\IR",
            "Modality": "MR",
        }
        (tmp_path / "scan_4.json").write_text(json.dumps(facts))
        evidence = read_evidence(tmp_path / "scan_4.nii.gz")
        assert evidence.echo_time_ms == pytest.approx(110)
        assert identify(evidence).answer == "FLAIR"
        (tmp_path / "scan_4.json").write_text("no json")
        assert identify(read_evidence(tmp_path / "scan_4.nii.gz")).answer is None


class TestCommand:
    def test_descriptions_one_line_each_in_order(self, command, tmp_path):
        table = tmp_path / "series.txt"
        table.write_bytes("\ufeffAX FLAIR\r\nAX T1\r\n\r\nT1 après injection\r\nDWI".encode())
        done = command("identify", "--descriptions", table, "--json")
        assert done.status == 0
        assert [event["name"] for event in done.events] == ["AX FLAIR", "AX T1", "", "T1 après injection", "DWI"]
        assert [event["sequence"] for event in done.events] == ["FLAIR", None, None, "T1c", "other"]
        for event in done.events:
            assert event["event"] == "result"
            assert 0 <= event["confidence"] <= 1
            assert event["reason"]
        words = command("identify", "--descriptions", table).out.splitlines()
        assert len(words) == 5
        assert words[0].startswith("AX FLAIR: FLAIR (97%) – ")
        assert words[1].startswith("AX T1: undecided – ")

    def test_latin1_text_is_read(self, command, tmp_path):
        (tmp_path / "old.txt").write_bytes("T1 après injection\n".encode("latin-1"))
        assert command("identify", "--descriptions", tmp_path / "old.txt", "--json").events[0]["sequence"] == "T1c"

    def test_files(self, command, case_folder, tmp_path):
        dicom = write_dicom(tmp_path / "1.dcm", **{"0008|103e": "AX T2"})
        files = [*sorted(case_folder.glob("*.nii.gz")), dicom]
        done = command("identify", *files, "--json")
        assert [event["name"] for event in done.events] == [str(file) for file in files]
        answers = {event["name"].rpartition("_")[2]: event["sequence"] for event in done.events[:-1]}
        assert set(answers.values()) == {"FLAIR", "T1", "T1c", "T2", "other"}
        assert done.events[-1]["sequence"] == "T2"

    @pytest.mark.parametrize(
        ("arguments", "status", "code"),
        [
            ((), 2, "USAGE"),
            (("a.nii", "--descriptions", "b.txt"), 2, "USAGE"),
            (("missing.nii",), 3, "FILE_NOT_FOUND"),
            (("--descriptions", "missing.txt"), 3, "FILE_NOT_FOUND"),
        ],
    )
    def test_refusals(self, command, arguments, status, code):
        done = command("identify", *arguments, "--json")
        assert (done.status, [event["code"] for event in done.events]) == (status, [code])

    def test_descriptions_need_nothing_but_the_standard_library(self, subprocess_environment, tmp_path):
        (tmp_path / "series.txt").write_text("AX FLAIR\n")
        code = (
            "import sys; from lckd.cli import run\n"
            f"run(['identify', '--descriptions', {str(tmp_path / 'series.txt')!r}])\n"
            "import lckd.identify\n"
            "print([name for name in ('torch', 'numpy', 'SimpleITK', 'monai') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], env=subprocess_environment, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "[]", done.stderr
