"""The pictures of the documents: the commands that make them work, and every link of the documents leads somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "Resources" / "Screenshots"
COMMAND, TRAINING_COMMAND, WINDOW_COMMAND = (
    Path(__file__).with_name(name)
    for name in ("make_screenshots.py", "make_training_screenshots.py", "slicer_window.py")
)
DOCUMENTS = ("README.md", "TRAINING.md", "CONTRIBUTING.md")


def picture_made(command: Path, output: Path, name: str) -> np.ndarray:
    """The picture that a command makes when it is asked for this one: colors (height, width, 3)."""
    done = subprocess.run(
        [sys.executable, str(command), "-o", str(output), "--only", name], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == str(output / f"{name}.png")
    made = np.asarray(Image.open(output / f"{name}.png").convert("RGB")).astype(int)
    assert made.shape[1] > 800
    panel = made[: made.shape[0] * 3 // 4, :400]
    assert (panel.max(axis=2) < 60).mean() > 0.02, "there are no words"
    return made


def test_the_command_makes_a_picture_of_the_panel(tmp_path: Path) -> None:
    """The quickest of them, in which the warning sign is yellow and words are there to be read."""
    made = picture_made(COMMAND, tmp_path, "missing")
    red, green, blue = np.moveaxis(made[:, :100], 2, 0)
    yellow = (red > 200) & (green > 150) & (blue < 120)
    assert yellow[: made.shape[0] - 30].sum() > 30, "there is no warning sign"


def test_the_command_makes_a_picture_of_the_data_of_a_training(tmp_path: Path) -> None:
    """The quickest of them, in which a label lies over an image."""
    made = picture_made(TRAINING_COMMAND, tmp_path, "training-data")
    red, green, blue = np.moveaxis(made[:, 430:], 2, 0)
    assert ((red == green) & (green == blue) & (red > 60)).mean() > 0.1, "there is no image"
    assert ((green > red + 40) & (green > 100)).sum() > 1000, "there is no label"


def links(document: str) -> list[str]:
    """The targets of the links and pictures of a document."""
    return re.findall(r"\]\(([^)\s]+)\)", (ROOT / document).read_text(encoding="utf-8"))


def anchors(document: str) -> set[str]:
    """What a link may name behind # in a document: its headings, as they are shown on the web."""
    headings = re.findall(r"^#+ (.+)$", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_within_the_repository_leads_to_a_file_or_heading(document: str) -> None:
    for link in links(document):
        if "://" not in link:
            target, _, anchor = link.partition("#")
            assert (ROOT / (target or document)).exists(), link
            assert not anchor or anchor in anchors(target or document), link


def test_pictures_are_small_and_shown_and_made_by_the_command() -> None:
    files = sorted(PICTURES.iterdir())
    shown = {target for name in DOCUMENTS for target in links(name) if target.endswith(".png")}
    assert {path.relative_to(ROOT).as_posix() for path in files} == shown
    commands = "".join(command.read_text(encoding="utf-8") for command in (COMMAND, TRAINING_COMMAND, WINDOW_COMMAND))
    assert [path.name for path in files if f'"{path.name}"' not in commands] == []
    assert max(path.stat().st_size for path in files) < 300_000
    assert sum(path.stat().st_size for path in files) < 1_200_000
