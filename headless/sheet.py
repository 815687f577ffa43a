"""The before/after sheet: one picture to show what was done."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from .files import write_whole

INK, PALE = (34, 34, 38), (140, 140, 148)


@dataclass(frozen=True)
class Pair:
    """A source, what became of it, and the instruction."""

    before: Path
    after: Path
    caption: str


def save_sheet(pairs: Sequence[Pair], path: Path, cell: int = 384, margin: int = 32) -> None:
    """Write a PNG with a row for each pair: source, edit, and the instruction under them.

    cell  the largest side that a picture is shown with, in pixels
    """
    head, foot = 34, 58
    width = 2 * cell + 3 * margin
    height = head + margin + len(pairs) * (cell + foot) + margin // 2
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    small, large = ImageFont.load_default(size=17), ImageFont.load_default(size=23)
    left = (margin, 2 * margin + cell)
    for x, word in zip(left, ("source", "edited"), strict=True):
        draw.text((x + cell / 2, margin), word, fill=PALE, font=small, anchor="mm")
    for row, pair in enumerate(pairs):
        top = head + margin // 2 + row * (cell + foot)
        for x, file in zip(left, (pair.before, pair.after), strict=True):
            with Image.open(file) as opened:
                upright = ImageOps.exif_transpose(opened).convert("RGB")
            shown = ImageOps.contain(upright, (cell, cell), Image.Resampling.LANCZOS)
            sheet.paste(shown, (x + (cell - shown.width) // 2, top + (cell - shown.height) // 2))
        caption = fitted(draw, pair.caption, large, width - 2 * margin)
        draw.text((width / 2, top + cell + 24), caption, fill=INK, font=large, anchor="mm")
    encoded = io.BytesIO()
    sheet.save(encoded, "PNG", optimize=True)
    with write_whole(path) as out:
        out.write(encoded.getvalue())


def fitted(
    draw: ImageDraw.ImageDraw,
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width: int,
) -> str:
    """One line of at most `width` pixels, shortened with dots where it must be."""
    line = " ".join(text.split())[:300]
    if draw.textlength(line, font) <= width:
        return line
    while line and draw.textlength(line + "...", font) > width:
        line = line[:-1]
    return line + "..."
