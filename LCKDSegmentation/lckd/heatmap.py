"""The heat map of a comparison: subsets by regions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .images import writing
from .labels import REGIONS
from .report import DISCLAIMER
from .sequences import SEQUENCES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from .comparison import Comparison

#: Perceptually uniform and readable with every color vision deficiency.
COLOR_MAP = "viridis"
DPI = 130
_ABSENT, _PRESENT = "0.86", "0.15"


def write_heatmap(comparison: Comparison, path: Path) -> None:
    """Draw Dice by subset and region as a PNG; filled dots show which sequences a subset has.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    # Without pyplot: no window system, no state that outlives the call.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = len(comparison.subsets)
    height = 2.3 + 0.38 * rows
    figure = Figure(figsize=(7.2, height), dpi=DPI)
    FigureCanvasAgg(figure)
    top, bottom = 1 - 1.2 / height, 0.6 / height
    dots = figure.add_axes((0.06, bottom, 0.26, top - bottom))
    cells = figure.add_axes((0.36, bottom, 0.46, top - bottom))
    bar = figure.add_axes((0.86, bottom, 0.025, top - bottom))
    _draw_dots(dots, comparison)
    figure.colorbar(_draw_cells(cells, comparison), cax=bar, label="Dice")
    figure.text(0.06, 1 - 0.36 / height, "Dice by subset of the sequences", fontsize=13, weight="bold")
    figure.text(0.06, 1 - 0.64 / height, f"Compared with {_basis(comparison)}", fontsize=9)
    figure.text(0.06, 0.2 / height, DISCLAIMER, fontsize=9, color="0.35")
    with writing(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw_dots(axes: Axes, comparison: Comparison) -> None:
    for row, subset in enumerate(comparison.subsets):
        columns = [sequence.index for sequence in subset]
        axes.plot([columns[0], columns[-1]], [row, row], color=_PRESENT, linewidth=1.2, zorder=1)
        axes.scatter(range(len(SEQUENCES)), [row] * len(SEQUENCES), s=60, color=_ABSENT, zorder=2)
        axes.scatter(columns, [row] * len(columns), s=60, color=_PRESENT, zorder=3)
    axes.set_xlim(-0.6, len(SEQUENCES) - 0.4)
    axes.set_ylim(len(comparison.subsets) - 0.5, -0.5)
    _label_columns(axes, [sequence.title for sequence in SEQUENCES])


def _draw_cells(axes: Axes, comparison: Comparison) -> AxesImage:
    dice = np.array([[comparison.of(subset)[region].dice for region in REGIONS] for subset in comparison.subsets])
    image = axes.imshow(dice, cmap=COLOR_MAP, vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(dice):
        color = "black" if value > 0.6 else "white"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=color, fontsize=10)
    axes.set_yticks(np.arange(0.5, len(dice) - 1), [])
    axes.grid(axis="y", color="white", linewidth=1)
    _label_columns(axes, [region.value for region in REGIONS])
    return image


def _label_columns(axes: Axes, names: list[str]) -> None:
    axes.set_xticks(range(len(names)), names, fontsize=10)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    if not axes.images:
        axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)


def _basis(comparison: Comparison) -> str:
    """What is compared with; not the name of a file, which may say who the patient is."""
    from .comparison import FULL_SET

    return comparison.basis if comparison.basis.startswith(FULL_SET) else "a reference segmentation"
