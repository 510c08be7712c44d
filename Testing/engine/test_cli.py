"""The command line: what scripts rely on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk
from phantoms import make_case, write_case

from lckd.cli import run
from lckd.cli.commands import lckd
from lckd.geometry import Grid
from lckd.sequences import SEQUENCES, Sequence

EVENTS = {"stage", "progress", "warning", "result", "error"}


class TestHelp:
    def test_help_and_completion_import_nothing_heavy(self, subprocess_environment: dict[str, str]) -> None:
        code = (
            "import sys; from lckd.cli import run\n"
            "for command in ([], ['segment'], ['compare'], ['batch'], ['models'], ['doctor'], ['train']):\n"
            "    assert run([*command, '--help']) == 0\n"
            "heavy = {'torch', 'monai', 'SimpleITK', 'numpy', 'scipy', 'matplotlib', 'tqdm'} & set(sys.modules)\n"
            "sys.exit(str(heavy) if heavy else 0)"
        )
        done = subprocess.run([sys.executable, "-c", code], env=subprocess_environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def test_every_command_is_listed_and_explained_with_an_example(self, command) -> None:
        listed = command("--help")
        assert listed.status == 0
        assert "_LCKD_COMPLETE=bash_source" in listed.out
        assert "Not for clinical use" in listed.out
        for name in lckd.list_commands(None):
            assert f"\n  {name}" in listed.out
            inner = getattr(lckd.get_command(None, name), "commands", None)
            for words in [(name, one) for one in inner] if inner else [(name,)]:
                assert "Example" in command(*words, "--help").out, words

    def test_without_a_command_help_is_shown(self, command) -> None:
        assert command().out == command("--help").out

    @pytest.mark.parametrize(
        ("words", "wanted"),
        [
            ("lckd com", ["compare"]),
            ("lckd segment --only fl", ["flair"]),
            ("lckd segment --only flair,t1", ["flair,t1", "flair,t1c"]),
            ("lckd segment --grid t1", ["t1", "t1c"]),
            ("lckd segment --labels m", ["msd"]),
        ],
    )
    def test_tab_completion(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: str, wanted: list[str]
    ) -> None:
        monkeypatch.setenv("_LCKD_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        with pytest.raises(SystemExit) as end:
            run([])
        assert end.value.code == 0
        assert [line.partition(",")[2] for line in capsys.readouterr().out.splitlines()] == wanted

    def test_completion_script(self, subprocess_environment: dict[str, str]) -> None:
        asked = subprocess_environment | {"_LCKD_COMPLETE": "bash_source"}
        done = subprocess.run([sys.executable, "-m", "lckd"], env=asked, capture_output=True, text=True)
        assert done.returncode == 0
        assert "complete -o nosort -F _lckd_completion lckd" in done.stdout

    def test_a_missing_trainer_is_said(self, command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        done = command("train", "--data", "x", "-o", "y")
        assert done.status == 2
        assert "TRAINER_MISSING" in done.err


class TestSegment:
    def test_words(self, command, case_folder: Path, tiny_model: Path, tmp_path: Path, files_in) -> None:
        done = command("segment", case_folder, "-o", tmp_path, "--model", tiny_model, "--only", "flair,t1")
        assert done.status == 0, done.err
        report = json.loads((tmp_path / "report.json").read_text())
        volumes = report["volumes_ml"]
        assert volumes["WT"] > volumes["TC"] > volumes["ET"] > 0
        assert "segmented from FLAIR, T1; missing, so imputed: T1c, T2" in done.out
        assert f"{volumes['WT']:.2f} mL" in done.out
        assert all(f"Warning: {warning}" in done.out for warning in report["warnings"])
        assert any("T1c" in warning for warning in report["warnings"])
        assert str(tmp_path / "segmentation.nii.gz") in done.out
        assert done.out.endswith("Not for clinical use.\n")
        assert done.err == ""
        assert files_in(tmp_path) == ["preview.png", "report.json", "segmentation.nii.gz"]
        assert report["present"] == ["flair", "t1"]
        assert report["imputed"] == ["t1c", "t2"]
        assert set(report["seconds"]) == {"start", "read", "prepare", "network", "restore", "write"}
        assert report["seconds"]["start"] > 0

    def test_json_is_pure_ordered_and_monotone(
        self, command, case_folder: Path, tiny_model: Path, tmp_path: Path
    ) -> None:
        events = command("segment", case_folder, "-o", tmp_path, "--model", tiny_model, "--json").events
        assert {event["event"] for event in events} <= EVENTS
        stages = [event["stage"] for event in events if event["event"] == "stage"]
        assert stages == ["start", "read", "prepare", "network", "restore", "write"]
        fractions = [event["fraction"] for event in events if event["event"] == "progress"]
        assert fractions == sorted(fractions)
        assert fractions[0] == 0.0
        assert fractions[-1] == 1.0
        assert len(fractions) > 8, "the network's own progress is told"
        assert events[-1]["event"] == "result"
        assert [event["event"] for event in events].count("result") == 1
        assert events[-1]["report"] == json.loads((tmp_path / "report.json").read_text())
        assert events[-1]["files"]["segmentation"] == str(tmp_path / "segmentation.nii.gz")

    def test_warnings_are_events_of_their_own_each_told_once(
        self, command, case_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from lckd.predictor import Predictor

        predict = Predictor.predict

        def short_of_memory(self: Predictor, *arguments):
            self.warn("The memory is short.")
            return predict(self, *arguments)

        monkeypatch.setattr(Predictor, "predict", short_of_memory)
        options = ("-o", tmp_path, "--model", tiny_model, "--only", "flair", "--uncertainty", "--json")
        events = command("segment", case_folder, *options).events
        report, files = events[-1]["report"], events[-1]["files"]
        told = [event["message"] for event in events if event["event"] == "warning"]
        steps = [event.get("message") or event.get("stage") for event in events]
        assert steps.index("The memory is short.") < steps.index("restore"), "told while the work goes on"
        assert sorted(told) == sorted(report["warnings"])
        assert len(told) > 1
        assert list(files) == ["segmentation", "uncertainty", "preview", "report"]
        assert {Path(path) for path in files.values()} == set(tmp_path.iterdir())

    def test_options_reach_the_engine(self, command, tiny_model: Path, tmp_path: Path, files_in) -> None:
        case = make_case()
        coarse = make_case(size=(30, 56, 48), spacing=(1.6, 1.0, 1.0))
        case.images[Sequence.T2] = coarse.images[Sequence.T2]
        folder = write_case(tmp_path / "case", case)
        output = tmp_path / "out"
        options = "--grid t2 --labels brats2021 --probabilities --uncertainty --min-component 0.05 --min-enhancing 1e6"
        options += " --threads 1 --mirror --device cpu"
        done = command("segment", folder, "-o", output, "--model", tiny_model, *options.split())
        assert done.status == 0, done.err
        made = sitk.ReadImage(str(output / "segmentation.nii.gz"))
        assert Grid.of(made) == Grid.of(sitk.ReadImage(str(folder / "t2.nii.gz")))
        assert set(sitk.GetArrayFromImage(made).ravel()) == {0, 1, 2}, "all enhancing tumor was relabeled"
        report = json.loads((output / "report.json").read_text())
        assert report["threads"] == 1
        assert report["device"] == "cpu"
        assert len(report["postprocessing"]) == 2
        probabilities = [f"segmentation-probability-{region}.nii.gz" for region in ("ET", "TC", "WT")]
        assert set(files_in(output)) >= {*probabilities, "segmentation-uncertainty.nii.gz"}

    def test_labels_of_2021_have_4_for_enhancing(
        self, command, case_folder: Path, tiny_model: Path, tmp_path: Path
    ) -> None:
        mask = tmp_path / "mask.nii.gz"
        done = command("segment", case_folder, "-o", mask, "--model", tiny_model, "--labels", "brats2021")
        assert done.status == 0, done.err
        assert set(sitk.GetArrayFromImage(sitk.ReadImage(str(mask))).ravel()) == {0, 1, 2, 4}

    def test_files_and_one_output_file_in_strange_paths(
        self, command, tiny_model: Path, tmp_path: Path, files_in
    ) -> None:
        folder = write_case(tmp_path / "Señor Müller 脳 1", sequences=(Sequence.FLAIR, Sequence.T1C))
        mask = tmp_path / "Ergebnis für ß" / "Maske 1.nii.gz"
        images = ("--flair", folder / "flair.nii.gz", "--t1c", folder / "t1c.nii.gz")
        done = command("segment", *images, "-o", mask, "--model", tiny_model)
        assert done.status == 0, done.err
        assert files_in(mask.parent) == ["Maske 1.nii.gz", "Maske 1.report.json"]
        assert json.loads((mask.parent / "Maske 1.report.json").read_text())["case"] == folder.name
        assert str(mask) in done.out

    def test_progress_bar_on_a_terminal_only(
        self, command, case_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lckd.cli.console.on_terminal", lambda: True)
        done = command("segment", case_folder, "-o", tmp_path, "--model", tiny_model)
        assert "starting" in done.err
        assert "%" in done.err
        assert "%" not in done.out

    def test_the_start_is_not_the_age_of_a_shell_that_became_the_program(self, subprocess_environment) -> None:
        code = "from lckd.cli.startup import seconds_since_start; print(seconds_since_start())"
        command = f"sleep 1; exec '{sys.executable}' -c '{code}'"
        done = subprocess.run(["sh", "-c", command], env=subprocess_environment, capture_output=True, text=True)
        assert 0 <= float(done.stdout) < 1


class TestCompare:
    def test_all_subsets_against_the_reference(self, command, tiny_model: Path, tmp_path: Path) -> None:
        folder = write_case(tmp_path / "case", sequences=(Sequence.FLAIR, Sequence.T1C))
        output = tmp_path / "out"
        output.mkdir()
        (output / "another.subsets.csv").write_text("of another run")
        done = command("compare", folder, "-o", output, "--model", tiny_model, "--json")
        assert done.status == 0, done.out
        result = done.events[-1]
        assert [row["subset"] for row in result["subsets"]] == ["flair"] * 3 + ["t1c"] * 3 + ["flair+t1c"] * 3
        assert {row["region"] for row in result["subsets"]} == {"ET", "TC", "WT"}
        assert all(0 < row["dice"] < 1 for row in result["subsets"])
        assert "seg.nii.gz" in result["report"]["compared_with"]
        names = ["segmentation", "preview", "subsets.csv", "subsets.md", "subsets.png", "report"]
        assert list(result["files"]) == names
        lines = (output / "subsets.csv").read_text().splitlines()
        assert lines[0] == "subset,region,volume_ml,dice,hd95_mm"
        assert len(lines) == 10

    def test_words_and_a_reference_by_option(self, command, tiny_model: Path, tmp_path: Path) -> None:
        folder = write_case(tmp_path / "case", sequences=(Sequence.T2,), labels=False)
        expert = sitk.Cast(make_case().labels == 3, sitk.sitkUInt8) * 4
        sitk.WriteImage(expert, str(tmp_path / "expert.nii.gz"))
        arguments = ("compare", folder, "-o", tmp_path / "out", "--model", tiny_model)
        by_option = ("--reference", tmp_path / "expert.nii.gz")
        ambiguous = command(*arguments, *by_option)
        assert ambiguous.status == 3
        assert "LABELS_AMBIGUOUS" in ambiguous.err
        done = command(*arguments, *by_option, "--reference-labels", "brats2021")
        assert done.status == 0, done.err
        assert "expert.nii.gz" in done.out
        assert "subsets.csv" in done.out


def test_the_sequences_are_those_of_the_options() -> None:
    options = {option for parameter in lckd.get_command(None, "segment").params for option in parameter.opts}
    assert {f"--{sequence.value}" for sequence in SEQUENCES} <= options
