"""A real scene for each test; one application for all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture(scope="session")
def application():
    """Slicer's scene and logic, started once."""
    from real_scene import start_application

    return start_application()


@pytest.fixture
def scene(application) -> Iterator[Any]:
    """An empty scene."""
    application.scene.Clear(0)
    yield application.scene
    application.scene.Clear(0)


@dataclass(frozen=True)
class MadeRun:
    """A volume, its job folder, and a way to bring results for it into the scene."""

    scene: Any
    inputs: dict[str, Any]
    job: Path
    bring: Callable[..., Any]

    @property
    def volume(self) -> Any:
        """The volume on whose voxels results lie."""
        return self.inputs["t1c"]


@pytest.fixture
def run(scene, tmp_path: Path) -> MadeRun:
    """FLAIR and T1c on one oblique grid, exported as a job."""
    from scene_cases import add_volume, report_of, tumor, write_result

    from LCKDSegmentationLib.SceneExport import writeJob
    from LCKDSegmentationLib.SceneImport import importResult

    noise = np.random.default_rng(3).integers(100, 300, tumor().shape).astype(np.int16)
    inputs = {"t1c": add_volume(scene), "flair": add_volume(scene, "4: FLAIR", noise)}
    job = writeJob(tmp_path / "job", inputs).parent
    numbers = iter(range(100))

    def bring(labels: np.ndarray | None = None, present=("flair", "t1c"), maps=None, **options: Any):
        folder = tmp_path / str(next(numbers))
        made = tumor() if labels is None else labels
        result = write_result(folder, made, job / "t1c.nrrd", report_of(present), maps)
        return importResult(scene, result, inputs, **options)

    return MadeRun(scene, inputs, job, bring)
