"""Segments one case in 3D Slicer without its window. For research use only; not for clinical use.

    Slicer --no-main-window --python-script segment_headless.py --flair FLAIR.nii.gz --t1c T1C.nii.gz -o FOLDER

Give any of --flair, --t1, --t1c and --t2. The folder receives ``segmentation.seg.nrrd``, ``report.json``, and the maps
that were asked for. ``Slicer --no-main-window --python-script segment_headless.py -- --help`` lists all options.
The exit status is that of the command ``lckd``: 0 done, 2 the command line is wrong, 3 the input is refused, 4 the
model is refused, 5 the output cannot be written, 6 not enough memory, 1 anything else.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import slicer

if TYPE_CHECKING:
    from LCKDSegmentationLib.Runs import Run, SegmentRun

SEQUENCES = ("flair", "t1", "t1c", "t2")
SEGMENTATION, REPORT = "segmentation.seg.nrrd", "report.json"


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; what is wrong or asked for help ends with SystemExit."""
    parser = argparse.ArgumentParser(
        prog="Slicer --no-main-window --python-script segment_headless.py",
        description="Segments a brain tumor from any of FLAIR, T1, T1c and T2. Not for clinical use.",
    )
    for sequence in SEQUENCES:
        parser.add_argument(f"--{sequence}", type=Path, metavar="FILE", help=f"the {sequence} image, if there is one")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder for the results")
    parser.add_argument("--grid", choices=SEQUENCES, help="sequence on whose voxels the result lies")
    parser.add_argument("--model", help="name or folder of another model than the embedded one")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--threads", type=int, help="CPU threads; without it all that there are")
    parser.add_argument("--mirror", action="store_true", help="average over mirrored copies: eight times slower")
    parser.add_argument("--division", default="tissues", choices=("tissues", "regions"), help="what the segments are")
    parser.add_argument("--probabilities", action="store_true", help="also write the probability of each region")
    parser.add_argument("--uncertainty", action="store_true", help="also write where the model is unsure")
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist")
    parser.add_argument("--install", action="store_true", help="install missing Python packages without asking")
    parser.add_argument("--debug", action="store_true", help="show the technical details of an error")
    return parser.parse_args(arguments)


def segment(options: argparse.Namespace) -> None:
    """Segment one case and write its files.

    :raises LckdError: it was refused, or something failed
    """
    from LCKDSegmentation import LCKDSegmentationLogic

    check(options)
    volumes = {name: load(name, path) for name in SEQUENCES if (path := getattr(options, name)) is not None}
    settings = ("model", "device", "threads", "mirror", "grid", "division", "probabilities", "uncertainty")
    logic = LCKDSegmentationLogic()
    try:
        run = logic.segment(
            volumes,
            **{name: getattr(options, name) for name in settings},
            waitForCompletion=True,
            onProgress=stages_told(),
        )
        write(run, options.output)
    finally:
        logic.runner.close()
    for region in ("ET", "TC", "WT"):
        print(f"{region}: {volume_of(run, region):.2f} mL")
    for warning in run.warnings:
        print(f"Warning: {warning}")
    print(f"Written: {options.output}. For research use only. Not for clinical use.", flush=True)


def check(options: argparse.Namespace) -> None:
    """Refuse what cannot be done before anything is read.

    :raises LckdError: packages or the model are missing, or the results cannot be written
    """
    from lckd.errors import LckdError, OutputError
    from lckd.models import find_model
    from lckd.output import check_writable
    from LCKDSegmentationLib.Requirements import Requirements

    if options.install:
        Requirements(confirm=lambda _question, _details: True).ensure()
    missing = ", ".join(str(one) for one in Requirements().missing())
    if missing:
        raise LckdError(
            "PACKAGES_MISSING",
            f"These Python packages are missing: {missing}.",
            "Add --install to download and install them, or press Segment once in the module.",
        )
    find_model(options.model)
    check_writable(options.output)
    if (options.output / REPORT).exists() and not options.overwrite:
        message = f"{options.output / REPORT} exists already."
        raise OutputError("OUTPUT_EXISTS", message, "Add --overwrite, or choose another folder.")


def load(sequence: str, path: Path) -> slicer.vtkMRMLScalarVolumeNode:
    """Read one file into the scene; what lies beside it is ignored.

    :raises InputError: there is no such file, or it cannot be read
    """
    from lckd.errors import InputError

    if not path.is_file():
        raise InputError("FILE_NOT_FOUND", f"{path} does not exist, or cannot be reached.", "Check the path.")
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", sequence)
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path.absolute()))
    storage.SetSingleFile(True)
    if not storage.ReadData(volume):
        raise InputError("UNREADABLE", f"{path.name} cannot be read as an image.", "Copy or export the image again.")
    return volume


def stages_told() -> object:
    """Return a listener that prints each stage once."""
    from LCKDSegmentationLib.ProgressDisplay import stageWords

    told: list[str] = []

    def tell(run: Run) -> None:
        if run.stage and run.stage not in told:
            told.append(run.stage)
            print(f"{stageWords(run.stage)}…", file=sys.stderr, flush=True)

    return tell


def write(run: SegmentRun, folder: Path) -> None:
    """Write segmentation and maps, and the report last.

    :raises OutputError: the folder cannot be written to, or the disk is full
    """
    from LCKDSegmentationLib.VolumeFiles import ijkToWorld, writeVolume, writing

    with writing(folder / SEGMENTATION) as temporary:
        # Whoever ends here halfway leaves no report of another result.
        (folder / REPORT).unlink(missing_ok=True)
        storage = slicer.vtkMRMLSegmentationStorageNode()
        storage.SetFileName(str(temporary))
        if not storage.WriteData(run.segmentation):
            raise OSError(f"{temporary} was not written")
    for name, volume in run.imported.maps.items():
        writeVolume(volume.GetImageData(), ijkToWorld(volume), folder / f"segmentation-{name}.nrrd")
    # There is one result in the job folder, which is thrown away with the session.
    (report,) = run.job.folder.rglob(REPORT)
    with writing(folder / REPORT) as temporary:
        shutil.copyfile(report, temporary)


def volume_of(run: SegmentRun, region: str) -> float:
    """Return the volume of a region in milliliters."""
    table = run.imported.volumes.GetTable()
    rows = range(table.GetNumberOfRows())
    return next(table.GetColumn(2).GetValue(row) for row in rows if table.GetColumn(0).GetValue(row) == region)


def main(arguments: Sequence[str]) -> int:
    """Do it and return the exit status; whatever goes wrong is said in words."""
    try:
        from lckd.errors import LckdError
    except ImportError:
        print("Error: The extension BrainTumorLCKD is not installed. Install it in this Slicer.", file=sys.stderr)
        return 1
    try:
        segment(parse(arguments))
    except SystemExit as end:  # argparse has said why
        return int(end.code or 0)
    except LckdError as error:
        print(f"Error: {error.message} {error.action}", file=sys.stderr, flush=True)
        return int(error.exit_status)
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        action = "Run the command again with --debug and report what it prints."
        print(f"Error: This is a mistake in the program, not in your data ({what}). {action}", file=sys.stderr)
        return 1
    return 0


status = 1
try:
    status = main(sys.argv[1:])
finally:
    # Without a window, nothing else would end the application.
    slicer.util.exit(status)
