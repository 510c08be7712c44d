"""``lckd demo``, ``lckd models`` and ``lckd doctor``, with resources of their own."""

import builtins
from pathlib import Path
from typing import Any

import pytest
import torch
from phantoms import make_case, write_case, write_tiny_model

from lckd import doctor, resources
from lckd.errors import InputError


class TestDemoModelsDoctor:
    @pytest.fixture(autouse=True)
    def own_resources(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Resources with a tiny embedded model and a made sample case."""
        root = tmp_path / "resources"
        write_tiny_model(root / "Models" / "small")
        write_case(root / "SampleCase")
        monkeypatch.setattr(resources, "find", lambda name: root / name if (root / name).is_dir() else None)
        monkeypatch.setenv("LCKD_MODELS", str(tmp_path / "own models"))
        return root

    def test_demo_in_the_current_folder_again_and_again(self, command, tmp_path: Path, monkeypatch) -> None:
        monkeypatch.chdir(tmp_path)
        done = command("demo")
        assert done.status == 0, done.err
        assert "Dice against the known extent: ET 0." in done.out
        assert (tmp_path / "lckd-demo" / "preview.png").exists()
        again = command("demo", "--only", "flair", "--json")
        assert again.status == 0, again.out
        result = again.events[-1]
        assert result["report"]["present"] == ["flair"]
        assert 0 < result["dice"]["WT"] < 1

    def test_demo_replaces_nobody_elses_result(self, command, case_folder: Path, tmp_path: Path) -> None:
        output = tmp_path / "out"
        assert command("segment", case_folder, "-o", output).status == 0
        done = command("demo", "-o", output)
        assert done.status == 5
        assert "Add --overwrite" in done.err
        assert command("demo", "-o", output, "--overwrite").status == 0

    def test_models(self, command, tiny_model: Path) -> None:
        assert "small (embedded, used where none is named)" in command("models", "list").out
        assert command("models", "verify").status == 0
        assert command("models", "add", tiny_model).status == 0
        listed = command("models", "list", "--json").events[-1]["models"]
        assert [(model["name"], model["embedded"]) for model in listed] == [("small", True), ("tiny", False)]
        assert command("models", "verify", "tiny", "--json").events[-1]["checks"]
        assert command("models", "remove", "small").status == 4
        assert command("models", "remove", "tiny").status == 0
        assert "\ntiny" not in command("models", "list").out

    def test_models_verify_finds_a_flipped_byte(self, command, own_resources: Path) -> None:
        _flip_a_byte(own_resources)
        done = command("models", "verify")
        assert done.status == 4
        assert "MODEL_HASH" in done.err

    def test_doctor_when_all_is_well(self, command) -> None:
        done = command("doctor")
        assert done.status == 0, done.out + done.err
        assert "FAIL" not in done.out
        packages = ("torch", "monai", "pillow", "click", "tqdm", "matplotlib")
        for name in (*packages, "Python", "device auto", "CPU", "embedded model", "your models", "sample case"):
            assert f"{name}: " in done.out
        if not torch.cuda.is_available() and not torch.backends.mps.is_available():
            assert "ok    device auto: takes cpu\n" in done.out
        facts = command("doctor", "--json").events[-1]
        assert facts["usable"]
        assert {check["state"] for check in facts["checks"]} <= {"ok", "warn"}

    def test_doctor_when_the_model_is_damaged(self, command, own_resources: Path) -> None:
        _flip_a_byte(own_resources)
        done = command("doctor")
        assert done.status == 4
        assert "FAIL  embedded model: The file models/model.pt" in done.out
        assert "Error [NOT_USABLE]" in done.err
        events = command("doctor", "--json").events
        assert [event["event"] for event in events] == ["result", "error"]
        assert not events[0]["usable"]

    @pytest.mark.parametrize("error", [ImportError("DLL load failed"), OSError("libcudart.so.12: not found\nmore")])
    def test_doctor_when_torch_cannot_be_loaded(
        self, command, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        load = builtins.__import__

        def loading(name: str, *arguments: Any) -> Any:
            if name == "torch":
                raise error
            return load(name, *arguments)

        monkeypatch.setattr(builtins, "__import__", loading)
        done = command("doctor")
        assert done.status == 4
        assert f"FAIL  torch works: it is installed but cannot be loaded ({type(error).__name__}: " in done.out
        assert "Error [NOT_USABLE]" in done.err
        assert "sample case: " in done.out, "the rest is looked at all the same"

    def test_the_engine_needs_less_than_the_command_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "COMMAND_LINE", ("no-such-package",))
        assert doctor.refusal(doctor.diagnose()) is None
        assert doctor.refusal(doctor.diagnose(doctor.COMMAND_LINE)) is not None

    def test_doctor_without_a_package_and_with_a_bad_torch(self, command, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch, "__version__", "2.9.1+cpu")
        assert "warn  torch works: 2.9.1" in command("doctor").out
        monkeypatch.setattr(doctor, "REQUIRED", (*doctor.REQUIRED, "no-such-package"))
        done = command("doctor")
        assert done.status == 4
        assert "FAIL  no-such-package: not installed" in done.out


def _flip_a_byte(root: Path) -> None:
    weights = root / "Models" / "small" / "models" / "model.pt"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)


def test_data_phantom_writes_consecutive_seeds_in_the_layout_of_brats(
    command, files_in, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lckd_training import phantom

    seeds = []

    def small(seed: int, settings: phantom.PhantomSettings, background: None) -> phantom.Phantom:
        seeds.append(seed)
        assert (settings.scale, settings.necrosis) == (0.5, 0)
        case = make_case(seed)
        return phantom.Phantom(case.images, case.labels)

    monkeypatch.setattr(phantom, "generate_phantom", small)
    options = ("--count", "2", "--seed", "5", "--scale", "0.5", "--separable", "--json")
    done = command("data", "phantom", "-o", tmp_path, *options)
    assert done.status == 0, done.out
    assert seeds == [5, 6]
    names = [f"phantom-000{seed}" for seed in seeds]
    suffixes = ("seg", "t1c", "t1n", "t2f", "t2w")
    assert files_in(tmp_path) == [f"{name}/{name}-{suffix}.nii.gz" for name in names for suffix in suffixes]
    assert done.events[-1] == {"event": "result", "cases": [str(tmp_path / name) for name in names]}


def test_data_phantom_grows_tumors_in_real_brains(
    command, files_in, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lckd_training import phantom

    brains = []

    def made(seed: int, settings: phantom.PhantomSettings, background: str) -> phantom.Phantom:
        brains.append(background)
        case = make_case(seed)
        return phantom.Phantom(case.images, case.labels)

    def in_turn(files, tell):
        tell(InputError("TUMOR_IN_BOTH_HALVES", "b has tumor in both halves.", "It is left out."))
        yield from (file.name for file in files)

    monkeypatch.setattr(phantom, "generate_phantom", made)
    monkeypatch.setattr(phantom.background, "backgrounds_in_turn", in_turn)
    for name in "ab":
        write_case(tmp_path / "brains" / name)
    words = ("data", "phantom", "-o", tmp_path / "out", "--brains", tmp_path / "brains")
    refused = command(*words, "--scale", "0.5")
    assert refused.status == 2
    assert "--scale does not go with --brains" in refused.err
    done = command(*words, "--count", "2", "--json")
    assert done.status == 0, done.out
    assert brains == ["a", "b"]
    assert [event["message"] for event in done.events if event["event"] == "warning"] == [
        "b has tumor in both halves. It is left out."
    ]
    beside = ("data", "phantom", "-o", tmp_path / "brains" / "0", "--brains", tmp_path / "brains", "--count", "2")
    for _again in range(2):
        brains.clear()
        assert command(*beside).status == 0
        assert brains == ["a", "b"], "cases made before are no brains"
