"""Pictures with captions on one sheet, saved small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP = 6
LINE = 24
FONT_SIZE = 15
BACKGROUND, INK, NOTE_INK = (32, 32, 32), (235, 235, 235), (255, 190, 90)


@dataclass(frozen=True)
class Tile:
    """A picture (height, width, 3) with the words above it, none where they are empty."""

    picture: np.ndarray
    caption: str = ""


def row(*tiles: Tile | np.ndarray) -> np.ndarray:
    """Tiles side by side, aligned at the top."""
    pictures = [_captioned(tile) for tile in tiles]
    height = max(picture.shape[0] for picture in pictures)
    return np.concatenate(_spaced([_filled(picture, height, picture.shape[1]) for picture in pictures], axis=1), axis=1)


def column(*tiles: Tile | np.ndarray) -> np.ndarray:
    """Tiles one above the other, aligned at the left."""
    pictures = [_captioned(tile) for tile in tiles]
    width = max(picture.shape[1] for picture in pictures)
    return np.concatenate(_spaced([_filled(picture, picture.shape[0], width) for picture in pictures], axis=0), axis=0)


def save(path: Path, picture: np.ndarray, *notes: str) -> Path:
    """Save a picture with lines of words below it, in as many colors as a palette holds, which makes the file small."""
    sheet = column(picture, *[_words(note, picture.shape[1], NOTE_INK) for note in notes])
    image = Image.fromarray(sheet).quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
    return path


def _captioned(tile: Tile | np.ndarray) -> np.ndarray:
    if isinstance(tile, np.ndarray):
        return tile
    if not tile.caption:
        return tile.picture
    return np.concatenate([_words(tile.caption, tile.picture.shape[1], INK), tile.picture])


def _words(text: str, width: int, ink: tuple[int, int, int]) -> np.ndarray:
    """A line of words, smaller where it would not fit."""
    image = Image.new("RGB", (width, LINE), BACKGROUND)
    size = FONT_SIZE
    while ImageFont.load_default(size).getlength(text) > width - 12:
        size -= 1
    ImageDraw.Draw(image).text((6, LINE // 2), text, ink, ImageFont.load_default(size), anchor="lm")
    return np.asarray(image)


def _filled(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    filled = np.empty((height, width, 3), np.uint8)
    filled[:] = BACKGROUND
    filled[: picture.shape[0], : picture.shape[1]] = picture
    return filled


def _spaced(pictures: Sequence[np.ndarray], axis: int) -> list[np.ndarray]:
    """Pictures with gaps between them."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    gap = np.empty(shape, np.uint8)
    gap[:] = BACKGROUND
    return [part for picture in pictures for part in (gap, picture)][1:]
