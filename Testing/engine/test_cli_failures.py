"""The command line when something goes wrong: exit status, one sentence, and nothing half-written."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from phantoms import write_case, write_tiny_model

from lckd.cli.interrupts import INTERRUPTS
from lckd.sequences import Sequence


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with the smallest windows, so that a run with --mirror can be interrupted in the middle."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "slow", window_voxels=16**3)


class TestExitStatus:
    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            ("segment", "USAGE"),
            ("segmnt", "USAGE"),
            ("models", "USAGE"),
            ("segment -o OUT", "NO_CASE_GIVEN"),
            ("segment CASE --flair CASE/flair.nii.gz -o OUT", "FOLDER_AND_FILES"),
            ("segment CASE -o OUT --only t3", "UNKNOWN_SEQUENCE"),
            ("segment CASE -o OUT --grid flair,t1", "SEVERAL_SEQUENCES"),
            ("segment CASE -o OUT --labels mine", "USAGE"),
            ("segment CASE -o OUT --threads 0", "USAGE"),
            ("segment CASE -o OUT --model MODEL --device cuda:99", "NO_SUCH_DEVICE"),
            ("segment CASE -o OUT --model MODEL --device toaster", "UNKNOWN_DEVICE"),
        ],
    )
    def test_2_wrong_command_line(self, check, arguments: str, code: str) -> None:
        check(arguments, 2, code)

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            ("segment nowhere -o OUT", "FILE_NOT_FOUND"),
            ("segment EMPTY -o OUT --model MODEL", "NO_SEQUENCE"),
            ("segment --t1 nowhere.nii.gz -o OUT --model MODEL", "FILE_NOT_FOUND"),
            ("segment --t1 CASE/t2.nii.gz --t2 CASE/t2.nii.gz -o OUT --model MODEL", "SAME_IMAGE"),
            ("segment CASE/one -o OUT --model MODEL --only t1", "SEQUENCE_ABSENT"),
            ("batch EMPTY -o OUT --model MODEL", "NO_CASE"),
            (f"segment {'x' * 300} -o OUT --model MODEL", "FILE_NOT_FOUND"),
            (f"segment --t1 {'x' * 300}.nii.gz -o OUT --model MODEL", "FILE_NOT_FOUND"),
            (f"batch {'x' * 300} -o OUT --model MODEL", "FILE_NOT_FOUND"),
        ],
    )
    def test_3_refused_input(self, check, arguments: str, code: str) -> None:
        check(arguments, 3, code)

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            ("segment CASE -o OUT --model nosuch", "MODEL_NOT_FOUND"),
            ("models verify nosuch", "MODEL_NOT_FOUND"),
            ("models add EMPTY", "MODEL_FILE_MISSING"),
            ("models remove nosuch", "MODEL_NOT_FOUND"),
            ("models convert CASE/flair.nii.gz -o OUT", "MODEL_NOT_WEIGHTS"),
        ],
    )
    def test_4_refused_model(self, check, arguments: str, code: str) -> None:
        check(arguments, 4, code)

    @pytest.mark.parametrize("name", ["segment", "compare", "batch"])
    def test_5_output_below_a_file(self, check, name: str) -> None:
        check(f"{name} CASE -o CASE/flair.nii.gz/out --model MODEL", 5, "NOT_WRITABLE")

    def test_5_existing_output(self, command, case_folder: Path, tiny_model: Path, tmp_path: Path, files_in) -> None:
        (tmp_path / "segmentation.nii.gz").write_text("precious")
        done = command("segment", case_folder, "-o", tmp_path, "--model", tiny_model)
        assert done.status == 5
        assert "Error [OUTPUT_EXISTS]" in done.err
        assert "--overwrite" in done.err
        assert files_in(tmp_path) == ["segmentation.nii.gz"]
        assert (tmp_path / "segmentation.nii.gz").read_text() == "precious"
        assert command("segment", case_folder, "-o", tmp_path, "--model", tiny_model, "--overwrite").status == 0
        assert (tmp_path / "segmentation.nii.gz").read_bytes() != b"precious"

    def test_5_full_disk(
        self, case_folder: Path, tiny_model: Path, tmp_path: Path, subprocess_environment: dict[str, str], files_in
    ) -> None:
        output = tmp_path / "out"
        arguments = ["segment", str(case_folder), "-o", str(output), "--model", str(tiny_model)]
        done = subprocess.run(
            [sys.executable, "-m", "lckd", *arguments],
            env=subprocess_environment | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            preexec_fn=_allow_only_tiny_files,
        )
        assert done.returncode == 5, done.stderr
        assert done.stderr.startswith("Error [NOT_WRITABLE]")
        assert not output.exists() or files_in(output) == []

    def test_6_memory(self, check, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lckd.engine.prepare", _raise(MemoryError()))
        check("segment CASE -o OUT --model MODEL", 6, "OUT_OF_MEMORY")

    def test_1_a_bug_is_one_sentence(self, check, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lckd.engine.prepare", _raise(ZeroDivisionError("one\ntwo")))
        check("segment CASE -o OUT --model MODEL", 1, "BUG")
        assert "Traceback" in check("segment CASE -o OUT --model MODEL --debug", 1, "BUG", traceback=True).err

    @pytest.mark.parametrize("unbuffered", ["", "1"])
    @pytest.mark.parametrize(
        ("arguments", "status", "said"),
        [
            ("--help", 5, ("", "NOT_WRITABLE")),
            ("models list --json", 5, ("", "NOT_WRITABLE")),
            ("segment nowhere -o out --json", 3, ("FILE_NOT_FOUND", "FILE_NOT_FOUND")),
        ],
    )
    def test_nobody_hears_what_is_said(
        self, subprocess_environment, arguments: str, status: int, said: tuple[str, str], unbuffered: str
    ) -> None:
        environment = subprocess_environment | {"PYTHONUNBUFFERED": unbuffered}
        for full, word in zip((False, True), said, strict=True):
            with _closed_pipe() if not full else open("/dev/full", "w") as stdout:
                done = subprocess.run(
                    [sys.executable, "-m", "lckd", *arguments.split()],
                    env=environment,
                    stdout=stdout,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            assert done.returncode == status, done.stderr
            assert "Traceback" not in done.stderr
            assert "Exception ignored" not in done.stderr
            assert word in done.stderr if word else done.stderr == ""

    def test_stderr_that_is_full_does_not_change_the_status(self, subprocess_environment) -> None:
        with open("/dev/full", "w") as full:
            arguments = [sys.executable, "-m", "lckd", "segment", "nowhere", "-o", "out"]
            done = subprocess.run(arguments, env=subprocess_environment, stdout=subprocess.PIPE, stderr=full)
        assert (done.returncode, done.stdout) == (3, b"")

    @pytest.fixture
    def check(self, command, case_folder: Path, tiny_model: Path, tmp_path: Path):
        """Runs a command that fails, once with words and once with --json, and looks at everything it leaves."""
        (tmp_path / "empty").mkdir()
        write_case(tmp_path / "one", sequences=(Sequence.FLAIR,))
        places = {"CASE/one": tmp_path / "one", "CASE": case_folder, "MODEL": tiny_model, "EMPTY": tmp_path / "empty"}
        places["OUT"] = tmp_path / "out"

        def run_both(arguments: str, status: int, code: str, traceback: bool = False):
            words = []
            for word in arguments.split():
                place = next((place for place in places if word.startswith(place)), None)
                words.append(word.replace(place, str(places[place]), 1) if place else word)
            done = command(*words)
            assert done.status == status, done.err
            assert f"Error [{code}]: " in done.err
            assert ("Traceback" in done.err) == traceback
            assert done.out == ""
            assert not places["OUT"].exists() or not any(places["OUT"].rglob("*"))
            as_json = command(*words, "--json")
            assert as_json.status == status
            error = as_json.events[-1]
            assert (error["event"], error["code"]) == ("error", code)
            assert error["message"]
            assert error["action"]
            assert "\n" not in error["message"]
            return done

        return run_both


class TestInterrupts:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_130_in_the_middle(
        self, case_folder: Path, slow_model: Path, tmp_path: Path, subprocess_environment, files_in, number: int
    ) -> None:
        output = tmp_path / "out"
        arguments = ["segment", str(case_folder), "-o", str(output), "--model", str(slow_model), "--mirror", "--json"]
        process = _start(arguments, subprocess_environment)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if json.loads(line).get("fraction", 0) > 0.26:
                process.send_signal(number)
                break
        rest, error = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in error
        events = [json.loads(line) for line in [*lines, *rest.splitlines()]]
        assert (events[-1]["event"], events[-1]["code"]) == ("error", "CANCELLED")
        assert max(event.get("fraction", 0) for event in events) < 0.9
        assert not output.exists() or files_in(output) == []

    def test_writing_is_finished_first(self) -> None:
        def pressed() -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        with INTERRUPTS.caught():
            INTERRUPTS.enter_stage("write")
            pressed()
            INTERRUPTS.enter_stage("write")
            with pytest.raises(KeyboardInterrupt):
                INTERRUPTS.enter_stage("read")
        with INTERRUPTS.caught(), pytest.raises(KeyboardInterrupt):
            pressed()

    def test_interrupted_while_writing_leaves_a_whole_result_and_says_130(
        self, command, case_folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch, files_in, request
    ) -> None:
        from lckd.output import write_preview

        def interrupted(*arguments: Any) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            write_preview(*arguments)

        monkeypatch.setattr("lckd.output.write_preview", interrupted)
        # Tests that run in the background of a shell inherit that SIGINT is ignored.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
        done = command("segment", case_folder, "-o", tmp_path, "--model", tiny_model)
        assert done.status == 130
        assert files_in(tmp_path) == ["preview.png", "report.json", "segmentation.nii.gz"]


def _start(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lckd", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background of a shell would hand on that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@contextmanager
def _closed_pipe() -> Iterator[int]:
    """A pipe whose reader is gone, to write to."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def _allow_only_tiny_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def _raise(error: Exception) -> Callable[..., None]:
    def raising(*_: Any) -> None:
        raise error

    return raising


def test_what_is_said_while_itk_is_silenced_comes_through(subprocess_environment: dict[str, str]) -> None:
    """A batch reads the next case in another thread while it tells how far it is."""
    code = (
        "import sys; from lckd import cli, images\n"
        "def run(arguments):\n"
        "    with images._quiet:\n"
        "        print('progress', file=sys.stderr)\n"
        "    return 0\n"
        "cli.run = run; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=subprocess_environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "progress\n")
