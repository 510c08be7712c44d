"""Every way in which a training fails is told with its code, a sentence and an action."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_runs import start_event, step_event
from process_parts import NEEDS_SHELL, Make, is_there, order

from lckd.errors import InputError, LckdError, OutputError, UsageError
from LCKDTrainingLib.Logic import resultOf
from LCKDTrainingLib.TrainingRun import TrainingOrder

pytestmark = NEEDS_SHELL


def test_what_the_trainer_refuses_is_told_with_its_code(
    data: Path, tmp_path: Path, make: Make, elsewhere: Make
) -> None:
    (tmp_path / "empty").mkdir()
    logic = make()
    with pytest.raises(LckdError) as caught:
        logic.train(order(tmp_path / "empty", tmp_path / "run"), waitForCompletion=True)
    assert caught.value.code not in ("TRAINING_ENDED", "")
    assert caught.value.message.endswith(".")
    assert caught.value.action.endswith(".")
    later = elsewhere().attach(str(tmp_path / "run"))
    assert (later.state, later.errorCode) == ("failed", caught.value.code)
    assert later.errorWords == (caught.value.message, caught.value.action)


ERROR = '{"event": "error", "code": "NO_CASES", "message": "There are none.", "action": "Add some."}'


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        (f"echo noise; echo '{ERROR}'; exit 3", "NO_CASES", "There are none. Add some."),
        ('echo half; printf \'{"event": "er\'; exit 1', "TRAINING_ENDED", "exit code 1; half; "),
        ("echo last words.; kill -9 $$", "TRAINING_ENDED", "crashed or was ended by the system; last words."),
        ("echo 'error: [python] exit abnormally - Report the problem.'; exit 1", "TRAINING_ENDED", "crashed or was"),
        ("exit 5", "NOT_WRITABLE", "disk is not full"),
        ("exit 130", "CANCELLED", "Resume it"),
    ],
)
def test_a_training_that_ends_before_its_first_event_says_why(
    tmp_path: Path, make: Make, program: Any, script: str, code: str, words: str
) -> None:
    if code == "CANCELLED":
        script = f"""echo '{json.dumps({"event": "error", "code": code, "message": "m", "action": "a"})}'; {script}"""
    logic = make(program(script))
    with pytest.raises(LckdError) as caught:
        logic.train(order(tmp_path, tmp_path / "run"), waitForCompletion=True)
    assert caught.value.code == code
    assert words in str(caught.value)
    assert logic.current.state == ("interrupted" if code == "CANCELLED" else "failed")


def test_only_the_words_of_the_last_start_count(tmp_path: Path, make: Make, program: Any) -> None:
    logic = make(program(f"echo '{ERROR}'; exit 3"))
    with pytest.raises(LckdError, match="There are none"):
        logic.train(order(tmp_path, tmp_path / "run"), waitForCompletion=True)
    program("exit 1")
    with pytest.raises(LckdError, match="exit code 1") as caught:
        logic.train(order(tmp_path, tmp_path / "run"), waitForCompletion=True)
    assert caught.value.code == "TRAINING_ENDED"
    assert "NO_CASES" in (tmp_path / "run" / "log.txt").read_text(), "earlier words are kept"


def test_a_training_that_ends_while_it_is_looked_at_is_told_of_with_its_exit_status(
    tmp_path: Path, make: Make, program: Any
) -> None:
    run = make(program("sleep 1; exit 1")).train(order(tmp_path, tmp_path / "run"))
    process = run._process
    assert process.waitForEnd(10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(process), "exitCode", None)
        run.poll()
        assert run.state == "preparing"
    run.poll()
    assert run.state == "failed"
    assert "exit code 1" in run.errorWords[0]


def test_a_training_that_dies_in_its_course_says_why(
    tmp_path: Path, make: Make, program: Any, wait_until: Callable[..., None]
) -> None:
    lines = "\n".join(map(json.dumps, (start_event(when=time.time() + 5), step_event(0, time.time() + 6))))
    logic = make(program(f"cat > '{tmp_path}/run/events.jsonl' <<'END'\n{lines}\nEND\necho Killed; kill -9 $$"))
    run = logic.train(order(tmp_path, tmp_path / "run"))
    wait_until(lambda: not run.isRunning)
    assert (run.state, run.errorCode, run.history.done) == ("failed", "TRAINING_ENDED", 1)
    assert "Killed" in run.errorWords[0]
    assert "Resume it" in run.errorWords[1]


def test_what_cannot_be_started_is_refused_at_once(
    tmp_path: Path, make: Make, program: Any, monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    def refuse(*_paths: object) -> None:
        wait_until(lambda: (tmp_path / "pid").is_file(), 5)
        raise OSError(28, "No space left on device")

    logic = make()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="No data"):
        logic.train(TrainingOrder("", str(tmp_path / "run")))
    with pytest.raises(UsageError, match="No run folder"):
        logic.train(TrainingOrder(str(tmp_path), ""))
    with pytest.raises(LckdError, match="cannot be written to") as caught:
        logic.train(order(tmp_path, tmp_path / "file" / "run"))
    assert caught.value.code == "NOT_WRITABLE"
    with pytest.raises(LckdError, match="could not be started") as caught:
        make(lambda: str(tmp_path / "no-python")).train(order(tmp_path, tmp_path / "run"))
    assert caught.value.code == "TRAINING_NOT_STARTED"
    assert not (tmp_path / "run" / "process.json").exists()
    monkeypatch.setattr("LCKDTrainingLib.TrainingProcess.os.replace", refuse)
    with pytest.raises(OutputError, match="disk is not full"):
        make(program(f"echo $$ > '{tmp_path}/id'; mv '{tmp_path}/id' '{tmp_path}/pid'; sleep 100")).train(
            order(tmp_path, tmp_path / "full")
        )
    wait_until(lambda: not is_there(int((tmp_path / "pid").read_text())), 5)
    with pytest.raises(InputError, match="no training run in") as caught:
        logic.attach(str(tmp_path / "nowhere"))
    assert caught.value.code == "NO_RUN"
    assert logic.current is None


def test_a_command_without_result_raises_its_error(make: Make, program: Any) -> None:
    logic = make(program(f"echo '{ERROR}'; exit 3"))
    with pytest.raises(LckdError, match="There are none"):
        resultOf(lambda *to: logic.check("cases", *to))
