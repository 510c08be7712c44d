"""What the user has chosen, kept in a parameter node, so that it is saved with the scene and restored from it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper

from lckd_training.watching.events import EVENTS_FILE

from .TrainingProcess import LAUNCH_FILE

if TYPE_CHECKING:
    from .TrainingRun import TrainingOrder

MODULE_NAME = "LCKDTraining"
DEFAULT_PRESET = "small-cpu"
#: Where the application keeps the last training, to find it again although no scene was saved.
_LAST_DATA, _LAST_RUN = f"{MODULE_NAME}/LastData", f"{MODULE_NAME}/LastRunFolder"


@parameterNodeWrapper
class TrainingParameters:
    """The parameters of the module; one set for each training, as many sets in a scene as wanted.

    `settings` is a JSON object of those settings that differ from their base, as YAML texts; `base` is what they were
    changed against: a preset, or ``config.yaml`` of the run that is gone on with. Empty paths: none is chosen; an empty
    `splitFile`: the split is drawn.
    """

    data: str = ""
    excluded: list[str]
    preset: str = DEFAULT_PRESET
    settings: str = "{}"
    base: str = DEFAULT_PRESET
    device: str = "auto"
    runFolder: str = ""
    splitFile: str = ""
    outlivesSlicer: bool = False
    watchedCase: str = ""
    watchedSubset: str = ""
    evaluationFolders: list[str]


def changedSettings(parameters: TrainingParameters) -> dict[str, str]:
    """Return the settings that differ from their base, as YAML texts by name; none from a scene that was damaged."""
    try:
        found = json.loads(parameters.settings)
    except ValueError:
        return {}
    return {str(name): str(text) for name, text in found.items()} if isinstance(found, dict) else {}


def storeSettings(parameters: TrainingParameters, settings: Mapping[str, str]) -> None:
    """Keep the settings that differ from their base, as YAML texts by name."""
    parameters.settings = json.dumps(dict(settings), sort_keys=True)


def holdsRun(folder: str) -> bool:
    """Whether there is a training run in a folder, begun here or in a shell."""
    return bool(folder) and any((Path(folder) / name).is_file() for name in (EVENTS_FILE, LAUNCH_FILE))


def baseOf(parameters: TrainingParameters) -> str:
    """Return what settings are changed against: a run that exists has its own, another one begins with the preset."""
    own = Path(parameters.runFolder) / "config.yaml"
    return str(own) if parameters.runFolder and own.is_file() else parameters.preset


def orderOf(parameters: TrainingParameters, excluded: Iterable[str] = ()) -> TrainingOrder:
    """Return what to train; a run that is in the folder is gone on with.

    :param excluded: cases that cannot be used, besides those that the user has left out
    """
    from .TrainingRun import TrainingOrder

    settings = changedSettings(parameters)
    names = sorted({*parameters.excluded, *excluded})
    if names:
        settings["exclude"] = json.dumps(names)
    return TrainingOrder(
        data=parameters.data,
        runFolder=parameters.runFolder,
        preset=baseOf(parameters),
        settings=settings,
        device=parameters.device or "auto",
        split=parameters.splitFile,
        resume=holdsRun(parameters.runFolder),
        outlivesSlicer=parameters.outlivesSlicer,
    )


def dataProblem(parameters: TrainingParameters) -> str:
    """Return why there is no data to look at, as a sentence for the user; empty if there is."""
    if not parameters.data:
        return _("Choose the folder that holds the cases, or a table that lists them.")
    if not Path(parameters.data).exists():
        return _("The folder or table of the cases does not exist.")
    return ""


def runProblem(parameters: TrainingParameters) -> str:
    """Return why these choices cannot be trained with, as a sentence for the user; empty if they can."""
    if dataProblem(parameters):
        return dataProblem(parameters)
    if not parameters.runFolder:
        return _("Choose a run folder, into which the training writes.")
    folder = Path(parameters.runFolder)
    if folder.exists() and not folder.is_dir():
        return _("The run folder is a file; choose a folder.")
    if folder.resolve() == Path(parameters.data).resolve():
        return _("Choose a run folder other than the folder of the cases.")
    if parameters.splitFile and not Path(parameters.splitFile).is_file():
        return _("The split file does not exist.")
    return ""


def rememberRun(parameters: TrainingParameters) -> None:
    """Keep in the application's settings which training was begun last."""
    settings = slicer.app.userSettings()
    settings.setValue(_LAST_DATA, parameters.data)
    settings.setValue(_LAST_RUN, parameters.runFolder)


def recallRun(parameters: TrainingParameters) -> None:
    """Choose the training that was begun last, if it is still there and nothing else is chosen."""
    settings = slicer.app.userSettings()
    folder = str(settings.value(_LAST_RUN) or "")
    if not parameters.runFolder and not parameters.data and holdsRun(folder):
        parameters.data, parameters.runFolder = str(settings.value(_LAST_DATA) or ""), folder
