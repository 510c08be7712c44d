"""The report of a run as the user reads it: words, volumes in a table, and the attributes of its nodes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
import vtk
from slicer.i18n import tr as _

from lckd.errors import InputError
from lckd.sequences import parse_subset, subset_title

from .About import disclaimer
from .Terminology import labelsOf, segmentName

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Rows of the table of volumes.
_ROWS = ("ET", "TC", "WT", "NCR", "ED")


def readReport(path: Path) -> dict[str, Any]:
    """Read ``report.json``.

    :raises InputError: it is missing, damaged, or lacks what every report says
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        for key in ("model", "present", "grid"):
            report[key]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            "RESULT_UNREADABLE",
            _("The report {name} of the result is missing or damaged.").format(name=path.name),
            _("Run the segmentation again."),
        ) from error
    return report


def subsetTitle(report: dict[str, Any]) -> str:
    """Return the sequences a result was made from, for people: ``FLAIR, T1c``."""
    return _title(report["present"])


def volumesInMl(labels: NDArray[Any], voxelMl: float) -> dict[str, float]:
    """Return the volumes of ET, TC, WT, NCR, ED in a label array, in milliliters, for voxels of `voxelMl`."""
    import numpy as np

    counts = np.bincount(labels.ravel(), minlength=4)
    return {row: float(sum(counts[label] for label in labelsOf(row))) * voxelMl for row in _ROWS}


def fillVolumesTable(table: slicer.vtkMRMLTableNode, volumes: dict[str, float]) -> None:
    """Fill a table with one row for each region: ID, name, volume in mL."""
    columns = (vtk.vtkStringArray(), vtk.vtkStringArray(), vtk.vtkDoubleArray())
    titles = {"region": _("Region"), "name": _("Name"), "volume_ml": _("Volume (mL)")}
    table.RemoveAllColumns()
    for column, (name, title) in zip(columns, titles.items(), strict=True):
        column.SetName(name)
        table.AddColumn(column)
        table.SetColumnTitle(name, title)
    for region, volume in volumes.items():
        row = table.AddEmptyRow()
        table.GetTable().GetColumn(0).SetValue(row, region)
        table.GetTable().GetColumn(1).SetValue(row, segmentName(region))
        table.GetTable().GetColumn(2).SetValue(row, round(volume, 3))
    table.SetColumnUnitLabel("volume_ml", "mL")
    table.SetUseColumnTitleAsColumnHeader(True)
    table.SetLocked(True)
    table.Modified()


def attributesOf(report: dict[str, Any]) -> dict[str, str]:
    """Return the facts of a run that its nodes carry as attributes."""
    return {
        "LCKD.Model": str(report["model"]["name"]),
        "LCKD.ModelSHA256": str(report["model"]["sha256"]),
        "LCKD.Subset": "+".join(report["present"]),
        "LCKD.Imputed": "+".join(report.get("imputed", [])),
        "LCKD.Grid": str(report["grid"]),
        "LCKD.Program": str(report.get("program", "")),
        "LCKD.Use": disclaimer(),
    }


def reportText(report: dict[str, Any], volumes: dict[str, float]) -> str:
    """Return the report in words; volumes in mL of ET, TC, WT, NCR, ED."""
    imputed = report.get("imputed", [])
    lines = [
        disclaimer(),
        "",
        _("Sequences: {sequences}").format(sequences=subsetTitle(report)),
        _("Missing, imputed: {sequences}").format(sequences=_title(imputed) if imputed else _("none")),
        "",
        *_findings(volumes),
        "",
        *[_("Warning: {warning}").format(warning=warning) for warning in report.get("warnings", [])],
        _("Model: {name} (SHA-256 {sha256})").format(**report["model"]),
        _("Voxels of: {sequence}").format(sequence=_title([report["grid"]])),
        _("Device: {device}").format(device=report.get("device", _("unknown"))),
        *_expectations(report),
        *_steps(report),
    ]
    return "\n".join(lines) + "\n"


def _findings(volumes: dict[str, float]) -> list[str]:
    if not any(volumes.values()):
        return [_("No tumor was found.")]
    rows = [f"{segmentName(region)}: {volume:.1f} mL" for region, volume in volumes.items()]
    return [_("Volumes:"), *rows]


def _expectations(report: dict[str, Any]) -> list[str]:
    dice = report.get("expected_dice") or {}
    if not dice:
        return []
    values = ", ".join(f"{region} {value:.2f}" for region, value in dice.items())
    return [_("Dice to expect from these sequences: {values}").format(values=values)]


def _steps(report: dict[str, Any]) -> list[str]:
    steps = [str(step) for step in (*report.get("preprocessing", []), *report.get("postprocessing", []))]
    return ["", _("What was done:"), *(f"- {step}" for step in steps)] if steps else []


def _title(names: list[str]) -> str:
    return subset_title(parse_subset(",".join(names)))
