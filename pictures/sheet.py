"""A contact sheet: pictures in rows and columns, with labels and captions.

It needs Pillow alone, since `ip2p` draws sheets where there is no torch.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

PAPER, INK = (255, 255, 255), (32, 32, 32)
# A cell that is not there yet.
BLANK = (224, 224, 224)
SMALLEST, LARGEST = 8, 32  # heights of the font, in pixels

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


class Sheet:
    """Pictures of one size in a grid; `image` is the sheet as it stands.

    columns   labels over the columns; empty strings where there are none
    rows      labels beside the rows, turned; empty strings where there are none
    size      (width, height) of each picture
    captions  words under each picture, row by row; none: no room is left for them
    """

    def __init__(
        self,
        columns: Sequence[str],
        rows: Sequence[str],
        size: tuple[int, int],
        captions: Sequence[str] = (),
    ) -> None:
        self.size = size
        # Legible at the size of the cells, and as wide as the longest label allows.
        longest = max(1, *map(len, (*columns, *rows)))
        height_of_font = max(SMALLEST, min(LARGEST, round(1.6 * min(size) / longest)))
        font = ImageFont.load_default(height_of_font)
        label = 2 * height_of_font
        self.gap = max(2, height_of_font // 4)
        self.left, self.top = label * any(rows), label * any(columns)
        caption_font = ImageFont.load_default(max(12, min(20, size[0] // 20)))
        self.foot = 30 if captions else 0
        self.image = Image.new("RGB", self.place(len(columns), len(rows)), PAPER)
        draw = ImageDraw.Draw(self.image)
        for column, words in enumerate(columns):
            x = self.place(column, 0)[0] + size[0] / 2
            draw.text((x, self.top / 2), words, INK, font, "mm")
        for row, words in enumerate(rows):
            # Pillow writes from left to right only: written on a strip and turned.
            strip = Image.new("RGB", (size[1], self.left), PAPER)
            ImageDraw.Draw(strip).text((size[1] / 2, self.left / 2), words, INK, font, "mm")
            self.image.paste(strip.rotate(90, expand=True), (0, self.place(0, row)[1]))
        for row in range(len(rows)):
            for column in range(len(columns)):
                self.image.paste(BLANK, (*self.place(column, row), *self.place(column, row, 1)))
        for number, words in enumerate(captions):
            x, y = self.place(number % len(columns), number // len(columns), 1)
            words = fitted(words, caption_font, size[0])
            draw.text((x - size[0] / 2, y + self.foot / 2), words, INK, caption_font, "mm")

    def place(self, column: int, row: int, far: int = 0) -> tuple[int, int]:
        """The near corner of a cell, or with `far` 1 the opposite one."""
        return (
            self.left + column * (self.size[0] + self.gap) + far * self.size[0],
            self.top + row * (self.size[1] + self.foot + self.gap) + far * self.size[1],
        )

    def paste(self, picture: Image.Image, column: int, row: int) -> None:
        """Put `picture` in its cell, as large as fits there."""
        if picture.size != self.size:
            picture = ImageOps.pad(picture, self.size, Image.Resampling.BICUBIC, PAPER)
        self.image.paste(picture, self.place(column, row))


def sheet_of(
    pictures: Sequence[Image.Image],
    size: tuple[int, int],
    columns: Sequence[str],
    rows: Sequence[str] = ("",),
    captions: Sequence[str] = (),
) -> Image.Image:
    """The sheet of all its pictures, given row by row; see `Sheet`."""
    sheet = Sheet(columns, rows, size, captions)
    for number, picture in enumerate(pictures):
        sheet.paste(picture, number % len(columns), number // len(columns))
    return sheet.image


def fitted(text: str, font: Font, width: int) -> str:
    """One line of at most `width` pixels, shortened with dots where it must be."""
    line = " ".join(text.split())[:300]
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "...") > width:
        line = line[:-1]
    return line + "..."
