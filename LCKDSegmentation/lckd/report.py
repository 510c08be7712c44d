"""The run report: the same from every door (command line, batch, worker)."""

from __future__ import annotations

import sys
from typing import Any

from . import __version__

DISCLAIMER = "Research software. Not for clinical use."


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process so far, in MB; None where the system does not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)


def base_report() -> dict[str, Any]:
    """What stands in every report."""
    return {"program": f"lckd {__version__}", "disclaimer": DISCLAIMER}


def complete_report(report: dict[str, Any], seconds: dict[str, float]) -> None:
    """Bring the times of the stages and the peak memory up to date, at the end of the work."""
    report.update(seconds=rounded_seconds(seconds), peak_memory_mb=peak_memory_mb())


def rounded_seconds(seconds: dict[str, float]) -> dict[str, float]:
    """Stage times to the millisecond, with every stage of DESIGN."""
    stages = ("start", "read", "prepare", "network", "restore", "write")
    return {stage: round(seconds.get(stage, 0.0), 3) for stage in stages}
