"""Trainings that differ in one setting: run by the public command line, several at a time, taken up where they stopped.

Every step ends with a file that appears whole; a step whose file is there is not done again, and a training that was
killed goes on from its last checkpoint. So a study that was interrupted is started again by the same command.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lckd_training.data.datasets import find_dataset

#: Settings of the method, whatever a preset says.
_METHOD_SETTINGS = ("imputation=bottom", "alpha=0.1")
METHOD = "method"
_EIGHT = ("--count", "8", "--seed", "101")


@dataclass(frozen=True)
class Variant:
    """What is changed of the method, and what comparing the two answers.

    Attributes:
        settings: of `lckd train --set`.
        question: that the comparison answers.
        synthetic: words of `lckd data phantom` that make further cases to train on.
        in_real_brains: whether their tumors grow in the brains of the training cases.
    """

    settings: tuple[str, ...]
    question: str
    synthetic: tuple[str, ...] = ()
    in_real_brains: bool = False


VARIANTS: Mapping[str, Variant] = {
    METHOD: Variant((), "the method"),
    "no-distillation": Variant(("alpha=0.0",), "Does distillation help?"),
    "mean": Variant(("imputation=mean",), "Above the bottom, imputation of contributions or of features (Eq. 5)?"),
    "zero": Variant(("imputation=zero",), "Imputation of contributions, or none, as in the authors' code?"),
    "learned-teachers": Variant(("teachers=learned",), "Elected teachers or learned ones?"),
    "light-augmentation": Variant(("augmentation=light",), "Strong augmentation or the authors' light one?"),
    "deep-supervision": Variant(("deep_supervision=0.5",), "Without or with deep supervision?"),
    "pretraining": Variant(
        ("pretraining_iterations=125",), "All iterations to segment, or the first ones to fill in what is hidden?"
    ),
    "phantoms": Variant((), "Real cases alone, or eight phantoms besides?", _EIGHT),
    "mirrored-brains": Variant(
        (), "Real cases alone, or eight synthetic tumors in their mirrored hemispheres besides?", _EIGHT, True
    ),
    "no-average": Variant(("average=0.0",), "Moving average of the weights, or the last ones?"),
}
#: Those of which the paper speaks.
MAIN_VARIANTS = (METHOD, "no-distillation", "mean", "zero")


@dataclass(frozen=True)
class Run:
    """One training of a study, with everything that is made of it side by side in the study's folder.

    Attributes:
        output: folder of the study.
        variant: name among `VARIANTS`.
        part: what tells the runs of a variant apart: ``s0`` is a seed, ``f0`` a fold.
        settings: of `lckd train --set`, besides those of the variant.
        held_out: names of the cases that are not trained on.
    """

    output: Path
    variant: str
    part: str
    settings: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"{self.variant}-{self.part}"

    @property
    def folder(self) -> Path:
        """The run as `lckd train` writes it."""
        return self.output / self.name

    @property
    def model(self) -> Path:
        """The exported model."""
        return self.output / f"{self.name}-model"

    @property
    def scores(self) -> Path:
        """The scores on the test cases."""
        return self.output / f"{self.name}-scores"

    @property
    def is_scored(self) -> bool:
        """Nothing is left to do; `lckd evaluate` writes `evaluation.json` after all scores."""
        return (self.scores / "evaluation.json").exists()

    def variant_settings(self) -> list[str]:
        """What makes the variant, as `lckd train --set` takes it."""
        return [*_METHOD_SETTINGS, *VARIANTS[self.variant].settings]

    def carry_out(self, data: Path) -> None:
        """Train, export and score, as far as that is not done."""
        if self.is_scored:
            return
        log = self.output / f"{self.name}.log"
        if not self.model.exists():
            settings = [word for one in (*self.variant_settings(), *self.settings) for word in ("--set", one)]
            learned = self._with_synthetic(data, log)
            lckd(log, "train", "--data", learned, "--preset", "small-cpu", "-o", self.folder, "--resume", *settings)
            lckd(log, "export", self.folder, "-o", self.model)
        split = self.folder / "split.json"
        lckd(log, "evaluate", "--model", self.model, "--data", data, "--split", split, "-o", self.scores, *_ONE_THREAD)
        # Prepared cases are as large as the data, and every run has its own.
        shutil.rmtree(self.folder / "cache", ignore_errors=True)

    def _with_synthetic(self, data: Path, log: Path) -> Path:
        """The data to train on: where the variant has synthetic cases, a folder of those and a link to the others."""
        variant, folder = VARIANTS[self.variant], self.output / f"{self.name}-data"
        if not variant.synthetic:
            return data
        _link(folder / "real", data)
        where = ("--brains", self._training_brains(data)) if variant.in_real_brains else ()
        lckd(log, "data", "phantom", "-o", folder / "synthetic", *variant.synthetic, *where)
        return folder

    def _training_brains(self, data: Path) -> Path:
        """A folder of links to the cases of patients none of whose cases is held out."""
        cases, folder = find_dataset(data), self.output / f"{self.name}-brains"
        held_out = {case.patient for case in cases if case.name in self.held_out}
        for case in cases:
            if case.patient not in held_out:
                _link(folder / case.path.name, case.path)
        return folder


def _link(link: Path, folder: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(folder.resolve(), target_is_directory=True)


_ONE_THREAD = ("--threads", "1")


def describe_variants(runs: Iterable[Run]) -> str:
    """A sentence that says what the variants of the runs are."""
    changed = {run.variant: _changes(VARIANTS[run.variant]) for run in runs if run.variant != METHOD}
    others = "; ".join(f"{name} has {settings}" for name, settings in changed.items())
    return f"The method has {', '.join(_METHOD_SETTINGS)}" + (f"; of that, {others}." if others else ".")


def _changes(variant: Variant) -> str:
    """What is changed of the method, in words."""
    places = "real brains" if variant.in_real_brains else "the template"
    synthetic = (f"cases of lckd data phantom {' '.join(variant.synthetic)} in {places}",) if variant.synthetic else ()
    return ", ".join((*variant.settings, *synthetic))


def names_setting(key: str, names: Iterable[str]) -> str:
    """A setting whose value is a list of names, as `lckd train --set` takes it."""
    return f"{key}={json.dumps(list(names))}"


def lckd(log: Path, *arguments: object) -> None:
    """Run the command on one thread; what it prints is added to the log.

    Raises:
        SystemExit: it failed.
    """
    words = [str(argument) for argument in arguments]
    with log.open("a", encoding="utf-8") as stream:
        status = subprocess.run(
            [sys.executable, "-m", "lckd", *words],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=stream,
            stderr=stream,
            check=False,
        ).returncode
    if status:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise SystemExit(f"lckd {words[0]} ended with status {status} ({log}):\n" + "\n".join(lines[-5:]))


def carry_out_all(runs: Sequence[Run], data: Path, jobs: int) -> None:
    """Do what is left of every run, `jobs` at a time, in their order."""
    with ThreadPoolExecutor(jobs) as pool:
        for run, _ in zip(runs, pool.map(lambda run: run.carry_out(data), runs), strict=True):
            print(f"{run.name} is done", flush=True)


def keep_options(output: Path, options: Mapping[str, Any]) -> None:
    """Write a study's options into its folder, or see that they are those that it was begun with.

    Raises:
        SystemExit: they are others; its results would be a mixture.
    """
    path = output / "study.json"
    text = json.dumps(options, indent=1)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{output} holds a study with other options (study.json). Choose another folder.")
    output.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
