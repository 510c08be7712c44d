"""The preview of a result: three planes through the tumor, one column for each present sequence.

It names no patient and no case, so that it can be shown.
"""

from __future__ import annotations

from collections.abc import Sequence as List
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .images import writing
from .labels import REGIONS, Tissue, labels_from_regions
from .planes import Plane, planes_through
from .report import DISCLAIMER
from .sequences import Sequence, subset_of, subset_title

if TYPE_CHECKING:
    from .engine import Result

Color = tuple[int, int, int]

#: The hues of BraTS figures, in the shades that Okabe and Ito chose for color-blind readers.
TISSUE_COLORS: dict[Tissue, Color] = {Tissue.NCR: (213, 94, 0), Tissue.ED: (0, 158, 115), Tissue.ET: (240, 228, 66)}
TISSUE_TITLES = {Tissue.ET: "enhancing tumor", Tissue.NCR: "necrosis / non-enhancing core", Tissue.ED: "edema"}
FILL_OPACITY = 0.3
#: Grey levels run between these percentiles of what is shown of a sequence, background aside.
WINDOW_PERCENTILES = (0.5, 99.5)

PANEL = 260  # longest side of a plane, pixels
GAP = 8
MARGIN = 16
MIN_WIDTH = 640
BACKGROUND: Color = (0, 0, 0)
TEXT: Color = (235, 235, 235)
FAINT: Color = (165, 165, 165)
WARNING: Color = (255, 176, 59)


@dataclass(frozen=True)
class Line:
    """One line of text of the picture; long ones are wrapped."""

    text: str
    size: int = 15
    color: Color = TEXT


def write_preview(result: Result, path: Path) -> None:
    """Write the preview as a PNG.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    picture = draw_preview(result)
    with writing(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=3)


def draw_preview(result: Result) -> Image.Image:
    """Draw the preview: text, planes (rows) of the present sequences (columns), legend."""
    segmentation = result.segmentation
    shown = {sequence: result.case.images[sequence] for sequence in subset_of(segmentation.subset)}
    planes = [cropped(plane) for plane in planes_through(shown, segmentation.regions, segmentation.grid)]
    panels = _panels(planes)
    width = max(MIN_WIDTH, 2 * MARGIN + len(shown) * (PANEL + GAP) - GAP)
    header, footer = (text_block(lines, width) for lines in (header_lines(result), footer_lines()))
    heights = [row[0].height for row in panels]
    height = header.height + sum(heights) + len(heights) * GAP + footer.height
    picture = Image.new("RGB", (width, height), BACKGROUND)
    picture.paste(header, (0, 0))
    top = header.height
    left = (width - len(shown) * (PANEL + GAP) + GAP) // 2
    for row, row_height in zip(panels, heights, strict=True):
        for column, panel in enumerate(row):
            picture.paste(panel, (left + column * (PANEL + GAP) + (PANEL - panel.width) // 2, top))
        top += row_height + GAP
    picture.paste(footer, (0, top))
    draw_legend(picture)
    return picture


def header_lines(result: Result) -> list[Line]:
    """What is said above the planes: sequences used and missing, volumes, model, warnings."""
    report: dict[str, Any] = result.report
    volumes = "   ".join(f"{region.value} {result.volumes_ml[region]:.1f} mL" for region in REGIONS)
    imputed = subset_title(Sequence(name) for name in report["imputed"])
    lines = [
        Line(volumes, 22),
        Line(f"sequences: {subset_title(result.segmentation.subset)}"),
        Line(f"missing, imputed: {imputed}", color=WARNING) if imputed else Line("no sequence missing"),
        Line(f"model: {report['model']['name']}", color=FAINT),
    ]
    return lines + [Line(warning, 13, WARNING) for warning in report["warnings"]]


def footer_lines() -> list[Line]:
    """What is said below the planes; the legend's colors are drawn into its first line."""
    return [Line(" "), Line(DISCLAIMER, color=WARNING)]


def overlay(gray: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Tissues over gray levels: a translucent fill and an opaque outline.

    Args:
        gray: (rows, columns).
        labels: (rows, columns), BraTS 2023.

    Returns:
        Colors (rows, columns, 3), gray wherever there is no label.
    """
    picture = np.repeat(gray[..., None], 3, axis=2).astype(np.float32)
    for label, color in _COLORS.items():
        mask = labels == label
        picture[mask] = (1 - FILL_OPACITY) * picture[mask] + FILL_OPACITY * np.asarray(color)
        picture[mask & _touches_others(labels)] = color
    return picture.astype(np.uint8)


_COLORS = {1: TISSUE_COLORS[Tissue.NCR], 2: TISSUE_COLORS[Tissue.ED], 3: TISSUE_COLORS[Tissue.ET]}


def _touches_others(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels with another value above, below, left or right."""
    padded = np.pad(labels, 1)
    inner = padded[1:-1, 1:-1]
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return np.logical_or.reduce([inner != neighbor for neighbor in around])


def _panels(planes: List[Plane]) -> list[list[Image.Image]]:
    """The planes of each sequence as pictures of one scale in pixels per mm; a row is a plane."""
    extents = [plane.pixel_mm[k] * plane.regions.shape[1 + k] for plane in planes for k in (0, 1)]
    scale = PANEL / max(extents)
    windows = {sequence: gray_window([plane.images[sequence] for plane in planes]) for sequence in planes[0].images}
    return [[draw_plane(plane, sequence, windows[sequence], scale) for sequence in plane.images] for plane in planes]


def draw_plane(plane: Plane, sequence: Sequence, window: tuple[float, float], scale: float) -> Image.Image:
    """One plane of one sequence with overlay, name and letters."""
    rows, columns = plane.regions.shape[1:]
    size = max(1, round(columns * plane.pixel_mm[1] * scale)), max(1, round(rows * plane.pixel_mm[0] * scale))
    low, high = window
    gray = np.clip((plane.images[sequence] - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    labels = labels_from_regions(plane.regions)
    scaled = Image.fromarray(gray).resize(size, Image.Resampling.BICUBIC)
    mask = Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)
    panel = Image.fromarray(overlay(np.asarray(scaled), np.asarray(mask)))
    _write_letters(panel, plane.view.letters)
    ImageDraw.Draw(panel).text((3, 1), sequence.title, TEXT, _font(14), stroke_width=1, stroke_fill=BACKGROUND)
    return panel


def _write_letters(panel: Image.Image, letters: tuple[str, str, str, str]) -> None:
    """Where the patient's sides are: left, right, top, bottom."""
    draw, font = ImageDraw.Draw(panel), _font(13)
    width, height = panel.size
    places = ((3, height / 2, "lm"), (width - 3, height / 2, "rm"), (width / 2, 2, "mt"), (width / 2, height - 2, "mb"))
    for letter, (x, y, anchor) in zip(letters, places, strict=True):
        draw.text((x, y), letter, FAINT, font, anchor=anchor, stroke_width=1, stroke_fill=BACKGROUND)


def gray_window(images: List[NDArray[np.float32]]) -> tuple[float, float]:
    """Lowest and highest intensity shown."""
    values = np.concatenate([image.ravel() for image in images])
    foreground = values[values != values[0]]
    if foreground.size == 0:
        return float(values[0]), float(values[0]) + 1.0
    low, high = np.percentile(foreground, WINDOW_PERCENTILES)
    return float(low), float(max(high, low + 1e-6))


def cropped(plane: Plane) -> Plane:
    """The plane without the empty frame around the head, with room for the letters."""
    content: NDArray[np.bool_] = np.any(plane.regions, axis=0)
    for image in plane.images.values():
        content = content | (image != image[0, 0])
    box = []
    for axis in (0, 1):
        used = np.flatnonzero(content.any(axis=1 - axis))
        room = round(10 / plane.pixel_mm[axis])
        box.append(slice(max(0, used[0] - room), used[-1] + 1 + room) if used.size else slice(None))
    rows, columns = box
    images = {sequence: image[rows, columns] for sequence, image in plane.images.items()}
    return Plane(plane.view, images, plane.regions[:, rows, columns], plane.pixel_mm)


def text_block(lines: List[Line], width: int) -> Image.Image:
    """Lines of text below each other, wrapped to the width of the picture."""
    wrapped = [Line(part, line.size, line.color) for line in lines for part in _wrapped(line, width - 2 * MARGIN)]
    block = Image.new("RGB", (width, sum(_line_height(line) for line in wrapped) + 2 * GAP), BACKGROUND)
    draw, top = ImageDraw.Draw(block), GAP
    for line in wrapped:
        draw.text((MARGIN, top), line.text, line.color, _font(line.size))
        top += _line_height(line)
    return block


def _wrapped(line: Line, width: int) -> list[str]:
    """A line broken between words. Pillow's own font has ASCII letters only."""
    font, parts = _font(line.size), [""]
    for word in line.text.replace("×", "x").encode("ascii", "replace").decode().split(" "):
        longer = f"{parts[-1]} {word}" if parts[-1] else word
        if parts[-1] and font.getlength(longer) > width:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts


def draw_legend(picture: Image.Image) -> None:
    draw, font = ImageDraw.Draw(picture), _font(14)
    x, y = float(MARGIN), picture.height - GAP - sum(_line_height(line) for line in footer_lines())
    for tissue, title in TISSUE_TITLES.items():
        draw.rectangle((x, y + 2, x + 12, y + 14), fill=TISSUE_COLORS[tissue])
        text = f"{tissue.value} {title}"
        draw.text((x + 18, y + 8), text, TEXT, font, anchor="lm")
        x += 18 + font.getlength(text) + 18


def _line_height(line: Line) -> int:
    return round(1.35 * line.size)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
