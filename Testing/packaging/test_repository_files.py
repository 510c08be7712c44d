"""What may lie in the repository: small files, and no patient's images."""

import re
import subprocess
from pathlib import Path

import pytest

MIB = 1024**2
# Names of public data sets whose cases must not be passed on, and of DICOM files.
PATIENT_FILE = re.compile(
    r"(BraTS[-_]?(20)?\d\d[-_]|BraTS-(GLI|MEN|MET|PED|SSA)-|BRATS_\d{3}|UPENN-GBM-\d|UCSF-PDGM-\d|TCGA-\w\w-\d{4}"
    r"|(^|/)sub-\d|\.dcm$|\.ima$)",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def files(repository: Path) -> list[Path]:
    """Files of the repository, committed or about to be."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout
    paths = [repository / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_only_models_are_large(files: list[Path], repository: Path) -> None:
    large = {path.relative_to(repository).as_posix(): path.stat().st_size for path in files}
    large = {name: size for name, size in large.items() if size > 4 * MIB and not name.startswith("Resources/Models/")}
    assert not large


def test_whole_tree_is_small(files: list[Path]) -> None:
    assert sum(path.stat().st_size for path in files) < 60 * 10**6


def test_no_patient_file(files: list[Path], repository: Path) -> None:
    assert [path for path in files if PATIENT_FILE.search(path.relative_to(repository).as_posix())] == []


@pytest.mark.parametrize(
    "name",
    [
        "data/BraTS2021_00002_t1ce.nii.gz",
        "BraTS20_Training_001_flair.nii.gz",
        "BraTS-GLI-00005-000-t1c.nii.gz",
        "BRATS_001.nii.gz",
        "UPENN-GBM-00086_11_t2.nii.gz",
        "TCGA-FG-6692_t1.nii.gz",
        "bids/sub-01_T1w.nii.gz",
        "a/1.dcm",
    ],
)
def test_patient_files_are_recognized(name: str) -> None:
    assert PATIENT_FILE.search(name)
