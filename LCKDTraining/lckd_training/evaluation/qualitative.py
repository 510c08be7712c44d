"""A picture of one case as segmented from several subsets of its sequences, as in Fig. 2 of the paper.

It names no patient and no case, so that it can be shown.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from lckd.engine import Result
from lckd.images import writing
from lckd.labels import REGIONS
from lckd.metrics import dice
from lckd.planes import VIEWS, Plane, planes_through
from lckd.preview import (
    BACKGROUND,
    GAP,
    MARGIN,
    PANEL,
    Line,
    cropped,
    draw_legend,
    draw_plane,
    footer_lines,
    gray_window,
    text_block,
)
from lckd.reference import Reference
from lckd.sequences import REFERENCE_PREFERENCE, SEQUENCES, Sequence, Subset, subset_title, subsets_of

from .scores import Score

#: Each sequence alone, two that complete each other, all but the one that shows the enhancing tumor, and all.
SUBSETS: tuple[Subset, ...] = (
    *((sequence,) for sequence in SEQUENCES),
    (Sequence.FLAIR, Sequence.T1C),
    (Sequence.FLAIR, Sequence.T1, Sequence.T2),
    SEQUENCES,
)
_LABEL_WIDTH = 190
_COLUMNS = ("", "image", "reference", "segmentation")


def shown_subsets(present: Subset) -> list[Subset]:
    """The subsets that are shown of a case: those of `SUBSETS` that it has, and all of its sequences."""
    available = set(subsets_of(present))
    return [subset for subset in dict.fromkeys((*SUBSETS, present)) if subset in available]


def median_case(scores: Iterable[Score]) -> str:
    """The case with the median mean Dice among those with most sequences; of two in the middle the worse one."""
    by_case: dict[str, list[float]] = defaultdict(list)
    for score in scores:
        by_case[score.case].append(score.dice)
    most = max(map(len, by_case.values()))
    ordered = sorted((float(np.mean(dice)), name) for name, dice in by_case.items() if len(dice) == most)
    return ordered[(len(ordered) - 1) // 2][1]


def write_panel(results: list[Result], reference: Reference, path: Path) -> None:
    """Draw the panel as a PNG; see `draw_panel`.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    picture = draw_panel(results, reference)
    with writing(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=3)


def draw_panel(results: list[Result], reference: Reference) -> Image.Image:
    """A row for each result, all of one case: an image it was made from, the same with the reference, and with itself.

    The plane is the axial one with the largest whole tumor of the reference.
    """
    plane = _axial_plane(results, reference)
    width = 2 * MARGIN + _LABEL_WIDTH + 3 * (PANEL + GAP) - GAP
    rows = [_row(number, result, reference, plane, width) for number, result in enumerate(results)]
    header = text_block([Line("Segmentation from several subsets of the sequences", 17)], width)
    blocks = [header, _headings(width), *rows, text_block(footer_lines(), width)]
    picture = Image.new("RGB", (width, sum(block.height for block in blocks)), BACKGROUND)
    top = 0
    for block in blocks:
        picture.paste(block, (0, top))
        top += block.height
    draw_legend(picture)
    return picture


def _axial_plane(results: list[Result], reference: Reference) -> Plane:
    """The plane with the masks of each result, three by three, and of the reference, which is the last."""
    case, grid = results[0].case, results[0].segmentation.grid
    masks = np.concatenate([*(result.segmentation.regions for result in results), reference.regions])
    planes = planes_through(case.images, masks, grid)
    return cropped(next(plane for plane in planes if plane.view is VIEWS[0]))


def _headings(width: int) -> Image.Image:
    block = Image.new("RGB", (width, 26), BACKGROUND)
    for column, title in enumerate(_COLUMNS):
        block.paste(text_block([Line(title, 14)], PANEL).crop((MARGIN, GAP, PANEL, GAP + 18)), (_left(column), 4))
    return block


def _row(number: int, result: Result, reference: Reference, plane: Plane, width: int) -> Image.Image:
    subset = result.segmentation.subset
    shown = next(sequence for sequence in REFERENCE_PREFERENCE if sequence in subset)
    of_result, of_reference = plane.regions[3 * number : 3 * number + 3], plane.regions[-3:]
    window = gray_window([plane.images[shown]])
    scale = PANEL / max(length * size for length, size in zip(plane.pixel_mm, plane.regions.shape[1:], strict=True))
    panels = [
        draw_plane(dataclasses.replace(plane, regions=regions), shown, window, scale)
        for regions in (np.zeros_like(of_reference), of_reference, of_result)
    ]
    scores = [
        Line(f"{region.value} {dice(mask, true):.2f}", 14)
        for region, mask, true in zip(REGIONS, result.segmentation.regions, reference.regions, strict=True)
    ]
    words = text_block([Line(subset_title(subset)), Line("Dice of the volume", 13), *scores], _LABEL_WIDTH)
    row = Image.new("RGB", (width, max(words.height, panels[0].height) + GAP), BACKGROUND)
    row.paste(words, (0, 0))
    for column, panel in enumerate(panels, 1):
        row.paste(panel, (_left(column) + (PANEL - panel.width) // 2, 0))
    return row


def _left(column: int) -> int:
    """Where a column begins; the first one holds the words."""
    return MARGIN + (_LABEL_WIDTH + (column - 1) * (PANEL + GAP) if column else 0)
