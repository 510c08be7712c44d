"""Files of the project, on disk and in the lists of its CMake files."""

import re
from pathlib import Path

SHARED_RESOURCES = ("Resources/Models", "Resources/SampleCase")


def files_below(folder: Path) -> set[str]:
    """Paths of all files below a folder, relative to it, without Python's caches."""
    return {
        file.relative_to(folder).as_posix()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def cmake_list(cmake_file: Path, name: str) -> list[str]:
    """Entries of ``set(name ...)`` in a CMake file."""
    match = re.search(rf"set\({name}\s(.*?)\)", cmake_file.read_text(encoding="utf-8"), re.DOTALL)
    assert match, f"{cmake_file} does not set {name}"
    return match[1].split()
