"""A contact sheet: pictures in rows and columns, with both axes labelled."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

PAPER, INK = (255, 255, 255), (32, 32, 32)
# A cell that is not there yet.
BLANK = (224, 224, 224)


class Sheet:
    """Pictures of one size in a grid; `image` is the sheet as it stands.

    columns, rows  the labels of both axes
    size           (width, height) of each picture
    """

    def __init__(self, columns: list[str], rows: list[str], size: tuple[int, int]) -> None:
        self.size = size
        # Legible at the size of the cells, and as wide as the longest label allows.
        longest = max(map(len, columns + rows))
        height_of_font = max(8, min(32, round(1.6 * min(size) / longest)))
        font = ImageFont.load_default(height_of_font)
        self.margin = 2 * height_of_font
        self.gap = max(2, height_of_font // 4)
        width, height = self.place(len(columns), len(rows))
        self.image = Image.new("RGB", (width, height), PAPER)
        draw = ImageDraw.Draw(self.image)
        for column, label in enumerate(columns):
            x = self.place(column, 0)[0] + size[0] / 2
            draw.text((x, self.margin / 2), label, INK, font, "mm")
        for row, label in enumerate(rows):
            # Pillow writes from left to right only: written on a strip and turned.
            strip = Image.new("RGB", (size[1], self.margin), PAPER)
            middle = (size[1] / 2, self.margin / 2)
            ImageDraw.Draw(strip).text(middle, label, INK, font, "mm")
            self.image.paste(strip.rotate(90, expand=True), (0, self.place(0, row)[1]))
        for row in range(len(rows)):
            for column in range(len(columns)):
                self.image.paste(BLANK, (*self.place(column, row), *self.place(column, row, 1)))

    def place(self, column: int, row: int, far: int = 0) -> tuple[int, int]:
        """The near corner of a cell, or with `far` 1 the opposite one."""
        return (
            self.margin + column * (self.size[0] + self.gap) + far * self.size[0],
            self.margin + row * (self.size[1] + self.gap) + far * self.size[1],
        )

    def paste(self, picture: Image.Image, column: int, row: int) -> None:
        """Put `picture` in its cell, scaled to it."""
        self.image.paste(picture.resize(self.size), self.place(column, row))
