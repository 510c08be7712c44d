"""The pictures of the tutorial of the training module: phantoms checked, trained on, watched, and the model in use.

    python Testing/screenshots/make_training_screenshots.py [-o FOLDER] [--only NAME] [--keep FOLDER]

Makes ``training-data`` (cases checked), ``training-run`` (settings and estimate), ``training-watch`` (the panel beside
charts and the newest segmentation) and ``training-use`` (scores, and the model in the other module) as PNG files. The
training takes some minutes on two CPU cores; ``--keep`` has a folder in which cases and run stay, for the next time.
Panel, charts, training and numbers are real; Slicer's desktop around them is not there, which is said in each picture.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sheets
import training_session
from sheets import Tile
from training_session import CASE_VIEWS, CASE_WIDTH, COMPARED, COMPARED_WIDTH, DAMAGED, RUNS, TrainingSession

ROOT = Path(__file__).parents[2]
NOTE = (
    "Small synthetic cases, a few minutes of training. Drawn without Slicer's window, where details look different."
    " For research use only."
)
RUN = "run-1"
PRESET = "smoke"
#: Of the training, by the names of the trainer.
SETTINGS = {
    "start_from": "small",
    "iterations": "80",
    "patch": "48",
    "learning_rate": "0.002",
    "election_interval": "10",
    "checkpoint_interval": "20",
    "average": "0.9",
    "test": "[phantom-0005, phantom-0006]",
}
#: The case in the views.
SHOWN = "phantom-0005"
CHART_SIZE, SCORES_SIZE = (660, 330), (418, 560)


def main() -> None:
    """Write the pictures."""
    pictures: dict[str, Callable[[TrainingSession], np.ndarray]] = {
        "training-data.png": checked,
        "training-run.png": estimated,
        "training-watch.png": watched,
        "training-use.png": used,
    }
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = ROOT / "Resources" / "Screenshots"
    parser.add_argument("-o", "--output", type=Path, default=folder, help="folder of the pictures")
    parser.add_argument("--only", choices=[Path(name).stem for name in pictures], help="one picture")
    parser.add_argument("--keep", type=Path, help="folder for cases and run, used again where they are there")
    options = parser.parse_args()
    output = options.output.absolute()
    output.mkdir(parents=True, exist_ok=True)
    with training_session.opened(options.keep) as made:
        made.check()
        for name, picture in pictures.items():
            if options.only in (None, Path(name).stem):
                print(sheets.save(output / name, picture(made), NOTE), flush=True)


def checked(made: TrainingSession) -> np.ndarray:
    """*Check the data* pressed, a case shown, and then the damaged one chosen, which says what to do."""
    table = made.ui.dataTable
    names = [table.item(row, 0).text() for row in range(table.rowCount)]
    table.selectRow(names.index(SHOWN))
    made.ui.showCaseButton.click()
    views = made.slices(CASE_VIEWS, CASE_WIDTH)
    table.selectRow(names.index(DAMAGED[0]))
    return sheets.row(made.section("data"), sheets.column(*views))


def estimated(made: TrainingSession) -> np.ndarray:
    """Settings typed, and *Estimate time and memory* pressed; some of the other settings."""
    made.choose(PRESET, RUN, SETTINGS)
    made.press(made.ui.estimateButton, lambda: made.widget.run.estimate.isRunning)
    return sheets.row(made.section("run"), made.other_settings("elect", "election_interval"))


def watched(made: TrainingSession) -> np.ndarray:
    """The run watched at its end: the panel, two charts, and a test case segmented beside its label."""
    train(made)
    charts = []
    for button in (made.ui.lossPlotButton, made.ui.dicePlotButton):
        button.click()
        charts.append(made.chart(CHART_SIZE))
    made.parameters.watchedCase = SHOWN
    made.press(made.ui.latestButton, lambda: made.widget.watch.latest.isRunning)
    views = sheets.row(*made.slices(COMPARED, COMPARED_WIDTH))
    return sheets.row(sheets.column(made.section("watch"), views), sheets.column(*charts))


def used(made: TrainingSession) -> np.ndarray:
    """*Evaluate* and *Use in LCKD Segmentation* pressed: the scores, also as a chart, and the model in that module."""
    train(made)
    made.open("use")
    made.press(made.ui.evaluateButton, lambda: made.ui.evaluateButton.text == "Cancel")
    model = made.segmentation_model(RUN)
    made.ui.subsetTable.cellDoubleClicked.emit(0, 0)
    made.ui.subsetTable.scrollToBottom()
    others = sheets.column(Tile(model, "Brain Tumor Segmentation (LCKD)"), made.chart(SCORES_SIZE))
    return sheets.row(made.section("use"), others)


def train(made: TrainingSession) -> None:
    """Press *Start training*, or *Resume*, unless the run is there and finished."""
    folder = f"{RUNS}/{RUN}"
    if Path(folder).is_dir():
        made.parameters.runFolder = folder
    else:
        made.choose(PRESET, folder, SETTINGS)
    section = made.widget.run
    if section.run is None or section.run.state != "finished":
        made.press(made.ui.trainButton, lambda: section.isRunning)
    if section.run is None or section.run.state != "finished":
        raise RuntimeError(made.ui.messageLabel.text)


if __name__ == "__main__":
    main()
