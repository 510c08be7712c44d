"""The curve of Dice over the weight α of the distillation loss, as in Fig. 3 of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lckd.images import writing
from lckd.labels import REGIONS, Region

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 130
#: Line style and marker tell the regions apart without color; the colors are Okabe and Ito's.
_STYLES = {Region.ET: ("#D55E00", "o", "-"), Region.TC: ("#0072B2", "s", "--"), Region.WT: ("#009E73", "^", ":")}
#: Where the lowest, the middle and the highest value of an α stand, in points from their markers, so that none covers
#: another where the regions are alike.
_VALUE_PLACES = (((0, -13), "center"), ((7, -3), "left"), ((0, 6), "center"))


def write_alpha_curve(points: Mapping[float, Mapping[Region, float]], path: Path) -> None:
    """Draw the curve as a PNG; see `draw_alpha_curve`.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    figure = draw_alpha_curve(points)
    with writing(path) as temporary:
        figure.savefig(temporary, format="png")


def draw_alpha_curve(points: Mapping[float, Mapping[Region, float]]) -> Figure:
    """Draw Dice, averaged over the subsets, over α; α in even steps, whatever its values.

    Args:
        points: Dice, 0 to 1, by α and region.
    """
    # Without pyplot: no window system, no state that outlives the call.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 4.2), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    alphas = sorted(points)
    for region in REGIONS:
        values = [100 * points[alpha][region] for alpha in alphas]
        color, marker, line = _STYLES[region]
        axes.plot(range(len(alphas)), values, color=color, marker=marker, linestyle=line, label=region.value)
    for place, alpha in enumerate(alphas):
        ordered = sorted(100 * value for value in points[alpha].values())
        for value, (offset, side) in zip(ordered, _VALUE_PLACES, strict=True):
            axes.annotate(f"{value:.1f}", (place, value), offset, textcoords="offset points", ha=side, fontsize=8)
    axes.set_xticks(range(len(alphas)), [f"{alpha:g}" for alpha in alphas])
    axes.set_xlabel("α, weight of the distillation loss")
    axes.set_ylabel("Dice (%), average over the subsets")
    axes.margins(x=0.08, y=0.12)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
