"""The sample case in Slicer's module Sample Data: a cached file of another version is replaced."""

import hashlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from LCKDSegmentationLib.SampleCase import nodeName, referenceFile, registerSampleData, sampleFiles


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is registered; as in Slicer 5.10, there are no titles of categories."""
    found: list[dict[str, Any]] = []

    class SampleDataLogic:
        @staticmethod
        def registerCustomSampleDataSource(**facts: Any) -> None:
            found.append(facts)

    fake = ModuleType("SampleData")
    fake.SampleDataLogic = SampleDataLogic
    monkeypatch.setitem(sys.modules, "SampleData", fake)
    registerSampleData()
    return found


def test_each_file_has_the_checksum_of_what_the_extension_brings(registered: list[dict[str, Any]]) -> None:
    case, reference = registered
    checksums = [*case["checksums"], reference["checksums"]]
    files = [*sampleFiles().values(), referenceFile()]
    assert checksums == [f"SHA256:{hashlib.sha256(file.read_bytes()).hexdigest()}" for file in files]
    assert len(set(checksums)) == len(case["uris"]) + 1 == 5


def test_names_can_be_read_and_be_names_of_files(registered: list[dict[str, Any]]) -> None:
    names = [source["sampleName"] for source in registered]
    assert names == ["Brain tumor, synthetic (LCKD)", "Brain tumor, synthetic, expert (LCKD)"]
    for name in (*names, *registered[0]["fileNames"], registered[1]["fileNames"]):
        assert re.search(r'[<>:"/\\|?*]', name) is None
    assert Path(registered[1]["fileNames"]).name == "BrainTumorLCKD-sample-seg.nii.gz"


def test_messages_and_names_of_nodes_are_translated(
    monkeypatch: pytest.MonkeyPatch, scene: Any, tmp_path: Path
) -> None:
    from lckd.errors import InputError
    from LCKDSegmentationLib import SampleCase

    monkeypatch.setattr(SampleCase, "_", lambda text: text.upper().replace("{SEQUENCE}", "{sequence}"))
    assert nodeName("t1c") == "SAMPLE T1c"
    monkeypatch.setattr(SampleCase, "_", lambda text: text.replace("cannot be read", "ist nicht lesbar"))
    with pytest.raises(InputError, match=r"x\.nii\.gz ist nicht lesbar"):
        SampleCase._read(scene, tmp_path / "x.nii.gz", "x")
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
