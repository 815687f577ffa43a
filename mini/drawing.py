"""Painting in flat, softly shaded layers, with a visible region kept for every name.

Coordinates and lengths are fractions of the picture's side: (0, 0) is the top left corner.
"""

import math
import zlib
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

T = TypeVar("T")
Color = tuple[int, int, int]
Point = tuple[float, float]

# Drawn at this multiple of the size and reduced: the antialiasing.
OVERSAMPLING = 2
# The softness of every edge, as a fraction of the side: half a pixel at 256. A picture that is
# taken to the model's size and back then looks as sharp as it did.
SOFTNESS = 0.002


def stream(seed: int, name: str) -> np.random.Generator:
    """The random numbers of one detail; no other detail's choices can move them."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def one(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, each as likely as any other."""
    return options[int(rng.integers(len(options)))]


def blend(a: Color, b: Color, amount: float) -> Color:
    """`a` at amount 0, `b` at amount 1."""
    red, green, blue = (round(x + (y - x) * amount) for x, y in zip(a, b, strict=True))
    return red, green, blue


def lighter(color: Color, amount: float) -> Color:
    return blend(color, (255, 255, 255), amount)


def darker(color: Color, amount: float) -> Color:
    return blend(color, (12, 12, 24), amount)


def smooth(points: Sequence[Point], rounds: int = 3) -> list[Point]:
    """A closed curve along `points`, corners cut (Chaikin 1974)."""
    curve = np.asarray(points)
    for _ in range(rounds):
        following = np.roll(curve, -1, axis=0)
        curve = np.stack([0.75 * curve + 0.25 * following, 0.25 * curve + 0.75 * following], 1)
        curve = curve.reshape(-1, 2)
    return [(float(x), float(y)) for x, y in curve]


class Shape:
    """A mask in the making: `mask` is an "L" image, 255 inside."""

    def __init__(self, side: int):
        self.side = side
        self.mask = Image.new("L", (side, side))
        self.draw = ImageDraw.Draw(self.mask)

    def ellipse(self, x: float, y: float, rx: float, ry: float) -> "Shape":
        self.draw.ellipse([v * self.side for v in (x - rx, y - ry, x + rx, y + ry)], fill=255)
        return self

    def polygon(self, points: Iterable[Point]) -> "Shape":
        self.draw.polygon([(x * self.side, y * self.side) for x, y in points], fill=255)
        return self

    def line(self, points: Iterable[Point], width: float) -> "Shape":
        self.draw.line(
            [(x * self.side, y * self.side) for x, y in points],
            fill=255,
            width=max(1, round(width * self.side)),
            joint="curve",
        )
        return self

    def stroke(self, points: Iterable[Point], width: float) -> "Shape":
        """A line with round ends and joints."""
        path = list(points)
        for x, y in path:
            self.ellipse(x, y, width / 2, width / 2)
        return self.line(path, width)

    def arch(self, x: float, y: float, radius: float, width: float) -> "Shape":
        """The upper half of a ring around (x, y), `width` wide inwards from `radius`."""
        box = [v * self.side for v in (x - radius, y - radius, x + radius, y + radius)]
        self.draw.arc(box, 180, 360, fill=255, width=max(1, round(width * self.side)))
        return self

    def cut(self, other: "Shape") -> "Shape":
        """Without what lies in `other`."""
        self.mask.paste(0, mask=other.mask)
        return self

    def within(self, other: "Shape") -> "Shape":
        """Only what lies in `other`."""
        box = self.mask.getbbox()
        if box is not None:
            outside = ImageChops.invert(other.mask.crop(box))
            self.mask.paste(0, box, outside)
        return self

    def opacity(self, amount: float) -> "Shape":
        self.mask = self.mask.point([round(v * amount) for v in range(256)])
        return self

    def soften(self, radius: float) -> "Shape":
        """Blur its edge over `radius` to either side."""
        box = self.mask.getbbox()
        if box is not None:
            # Blurred twice, by half the radius each: no steps are seen.
            blur = ImageFilter.BoxBlur(radius * self.side / 2)
            edge = math.ceil(radius * self.side) + 2
            wide = (box[0] - edge, box[1] - edge, box[2] + edge, box[3] + edge)
            self.mask.paste(self.mask.crop(wide).filter(blur).filter(blur), wide[:2])
        return self


class Painting:
    """A picture of `size` x `size` pixels and the regions that are seen in it.

    Every layer names the regions that it belongs to; it hides the others where it is painted.
    """

    def __init__(self, size: int, regions: Sequence[str] = ()):
        self.size = size
        self.side = size * OVERSAMPLING
        self.canvas = Image.new("RGB", (self.side, self.side))
        self.regions = {name: Image.new("L", (self.side, self.side)) for name in regions}

    def shape(self) -> Shape:
        return Shape(self.side)

    def fill(self, names: str, top: Color, bottom: Color, until: float = 1.0) -> None:
        """Cover the picture with a gradient that is `bottom` from the height `until` down."""
        full = Shape(self.side)
        full.mask.paste(255, (0, 0, self.side, self.side))
        self.layer(names, full, top, bottom, 0.0, until)

    def layer(
        self,
        names: str | None,
        shape: Shape,
        top: Color,
        bottom: Color | None = None,
        start: float = 0.0,
        end: float = 1.0,
    ) -> None:
        """Paint `shape`; the color runs from `top` at the height `start` to `bottom` at `end`.

        names  the regions that it belongs to, separated by blanks; None: those that it lies on
        """
        box = shape.mask.getbbox()
        if box is None:
            return
        mask = shape.mask.crop(box)
        if bottom is None:
            self.canvas.paste(top, box, mask)
        else:
            heights = (np.arange(box[1], box[3]) + 0.5) / self.side
            amount = np.clip((heights - start) / (end - start), 0, 1)[:, None]
            colors = np.asarray(top) + amount * (np.asarray(bottom) - np.asarray(top))
            rows = np.rint(colors).astype(np.uint8)[:, None]
            gradient = Image.fromarray(np.repeat(rows, box[2] - box[0], 1))
            self.canvas.paste(gradient, box, mask)
        if names is not None:
            self._claim(names, box, mask)

    def stamp(self, names: str, shape: Shape, image: Image.Image) -> None:
        """Paint `shape` with `image`, an "RGB" image as large as the box around the shape."""
        box = shape.mask.getbbox()
        if box is None:
            return
        mask = shape.mask.crop(box)
        self.canvas.paste(image, box, mask)
        self._claim(names, box, mask)

    def _claim(self, names: str, box: tuple[int, int, int, int], mask: Image.Image) -> None:
        for name, region in self.regions.items():
            region.paste(255 if name in names.split() else 0, box, mask)

    def glow(
        self,
        names: str | None,
        x: float,
        y: float,
        rx: float,
        ry: float,
        color: Color,
        strength: float = 1.0,
        within: Shape | None = None,
    ) -> None:
        """Soft light or shade around (x, y), `strength` in its middle and nothing at its rim.

        names   as in `layer`
        within  the shape that it stays in
        """
        left, top = math.floor((x - rx) * self.side), math.floor((y - ry) * self.side)
        right, bottom = math.ceil((x + rx) * self.side), math.ceil((y + ry) * self.side)
        across = ((np.arange(left, right) + 0.5) / self.side - x) / rx
        down = ((np.arange(top, bottom) + 0.5) / self.side - y) / ry
        reach = np.clip(1 - (down[:, None] ** 2 + across[None] ** 2), 0, 1)
        spot = Image.fromarray(np.rint(255 * strength * reach**2).astype(np.uint8))
        shape = self.shape()
        shape.mask.paste(spot, (left, top))
        self.layer(names, shape if within is None else shape.within(within), color)

    def defocus(self, radius: float) -> None:
        """Blur all that is painted so far, as a lens does with what lies behind its subject."""
        blur = ImageFilter.BoxBlur(radius * self.side / 2)
        self.canvas = self.canvas.filter(blur).filter(blur)

    def pixels(self) -> np.ndarray:
        """uint8 [size, size, 3]"""
        soft = self.canvas.filter(ImageFilter.BoxBlur(SOFTNESS * self.side))
        return np.asarray(soft.reduce(OVERSAMPLING))

    def region(self, name: str) -> np.ndarray:
        """bool [size, size]: the pixels in which any of the region is seen."""
        reach = math.ceil(SOFTNESS * self.side)
        mask = np.asarray(self.regions[name].filter(ImageFilter.MaxFilter(2 * reach + 1)))
        blocks = mask.reshape(self.size, OVERSAMPLING, self.size, OVERSAMPLING)
        return blocks.max(axis=(1, 3)) > 0
