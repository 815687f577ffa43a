"""What objects are made of, and what they stand on.

A figure is built of parts in relief, lit from the upper left and then textured.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .drawing import Color, Painting, Point, Shape, lighter, one, stream

MATERIALS = ("plain", "wood", "marble", "bronze", "glass", "gold")

# The colors of a material from its darkest tone to its brightest, as (tone, color) stops.
# A metal's brightness goes up and down with its tone: that is what reads as a reflection.
RAMPS: dict[str, tuple[tuple[float, Color], ...]] = {
    "wood": (
        (0, (62, 32, 14)),
        (0.45, (164, 98, 46)),
        (0.75, (206, 142, 80)),
        (1, (240, 194, 134)),
    ),
    "marble": (
        (0, (104, 108, 122)),
        (0.4, (206, 208, 214)),
        (0.6, (240, 240, 240)),
        (1, (255,) * 3),
    ),
    "bronze": (
        (0, (20, 20, 14)),
        (0.28, (70, 52, 28)),
        (0.48, (128, 88, 42)),
        (0.6, (84, 62, 32)),
        (0.76, (178, 126, 66)),
        (0.92, (250, 216, 158)),
        (1, (255, 244, 214)),
    ),
    "gold": (
        (0, (112, 58, 0)),
        (0.28, (206, 132, 4)),
        (0.46, (255, 212, 40)),
        (0.58, (226, 156, 10)),
        (0.74, (255, 222, 66)),
        (0.88, (255, 250, 206)),
        (1, (255, 255, 255)),
    ),
}
VEIN: Color = (92, 98, 116)
PATINA: Color = (66, 140, 118)
ICE: Color = (196, 228, 246)
GLASS_SHADE: Color = (44, 104, 168)

# The walls' colors at the top and at the horizon.
BACKDROPS: tuple[tuple[Color, Color], ...] = (
    ((222, 204, 180), (244, 232, 214)),
    ((158, 198, 226), (216, 234, 244)),
    ((166, 208, 194), (220, 238, 228)),
    ((190, 182, 222), (228, 222, 240)),
    ((228, 182, 178), (248, 224, 216)),
    ((112, 130, 156), (168, 182, 198)),
)
WHITE: Color = (248, 247, 244)
INK: Color = (36, 32, 40)
HORIZON = 0.66

# Where the light comes from (x right, y down, z to the viewer), of length 1.
LIGHT = (-0.48, -0.64, 0.6)


@dataclass(frozen=True)
class Place:
    """Where a figure stands: a length of 1 in it is `scale` in the picture."""

    x: float
    foot: float
    scale: float
    turn: int  # 1, or -1 when mirrored

    def __call__(self, u: float, v: float) -> Point:
        """The picture's point of a figure's: u to the right of its middle, v up from its foot."""
        return self.x + self.turn * u * self.scale, self.foot - v * self.scale


class Placed(Shape):
    """A shape in the coordinates of a figure."""

    def __init__(self, side: int, place: Place):
        super().__init__(side)
        self.place = place

    def ellipse(self, x: float, y: float, rx: float, ry: float) -> "Placed":
        x, y = self.place(x, y)
        super().ellipse(x, y, rx * self.place.scale, ry * self.place.scale)
        return self

    def polygon(self, points: Iterable[Point]) -> "Placed":
        super().polygon([self.place(*point) for point in points])
        return self

    def line(self, points: Iterable[Point], width: float) -> "Placed":
        super().line([self.place(*point) for point in points], width * self.place.scale)
        return self


class Figure:
    """An object in the making: a mask, and for each point a color, a tone and a height."""

    def __init__(self, side: int, place: Place):
        self.place = place
        self.outline = Shape(side)
        self.colors = Image.new("RGB", (side, side))
        self.tones = Image.new("L", (side, side), 128)
        self.relief = Image.new("L", (side, side))

    def shape(self) -> Placed:
        return Placed(self.outline.side, self.place)

    def part(self, shape: Shape, color: Color, tone: float = 0.0, height: float = 0.8) -> None:
        """Add `shape`.

        color   where the figure is plain
        tone    how much brighter (to 1) or darker (to -1) where it is of one material
        height  how far it stands out, 0 to 1
        """
        box = shape.mask.getbbox()
        if box is None:
            return
        mask = shape.mask.crop(box)
        self.outline.mask.paste(255, box, mask)
        self.colors.paste(color, box, mask)
        self.tones.paste(round(128 + 127 * tone), box, mask)
        self.relief.paste(round(255 * height), box, mask)


def paint_figure(art: Painting, figure: Figure, material: str) -> None:
    """Paint the figure in the region "object"; what glass lets through stays background too."""
    box = figure.outline.mask.getbbox()
    assert box is not None
    side = art.side
    light, shine = lighting(figure, box)
    ys, xs = np.mgrid[box[1] : box[3], box[0] : box[2]].astype(np.float32) / side
    tones = np.asarray(figure.tones.crop(box), np.float32) / 127 - 128 / 127
    names = "object"
    if material == "plain":
        albedo = np.asarray(figure.colors.crop(box), np.float32)
        colors = albedo * (0.55 + 0.75 * light)[..., None]
        colors = mix(colors, (255, 255, 255), 0.5 * shine)
    elif material == "glass":
        names = "object background"
        behind = np.asarray(art.canvas.crop(box), np.float32)
        colors = mix(behind, ICE, np.full_like(light, 0.42))
        colors = mix(colors, GLASS_SHADE, np.clip(2.6 * (0.54 - light) - 0.6 * tones, 0, 0.9))
        colors = mix(colors, (255, 255, 255), np.clip(2.6 * (light - 0.68), 0, 0.75))
        colors = mix(colors, (255, 255, 255), shine)
    else:
        tone = 0.5 + 0.85 * (light - 0.6) + 0.3 * tones
        rng = stream(0, material)
        if material == "wood":
            x, y = rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7)
            wave = 0.012 * np.sin(9 * ys + rng.uniform(0, 6)) + 0.01 * np.sin(19 * ys + 8 * xs)
            rings = np.hypot(xs - x + wave, 0.2 * (ys - y)) * 16
            tone = tone + 0.1 - 0.15 * (1 + np.cos(2 * np.pi * rings))
        elif material == "marble":
            tone = tone + 0.05 * np.sin(11 * xs + 14 * ys + 2 * np.sin(9 * xs))
        else:
            tone = tone + 0.1 * np.sin(20 * xs + 14 * ys + rng.uniform(0, 6)) + 0.4 * shine
        stops, ramp = zip(*RAMPS[material], strict=True)
        table = np.stack(
            [np.interp(np.linspace(0, 1, 256), stops, band) for band in zip(*ramp, strict=True)], 1
        ).astype(np.float32)
        colors = table[np.clip(tone * 255, 0, 255).astype(np.uint8)]
        if material == "marble":
            veins = np.asarray(marble_veins(side).mask.crop(box), np.float32) / 255
            colors = mix(colors, VEIN, veins)
        elif material == "bronze":
            a, b = rng.uniform(0, 6, 2)
            blots = np.sin(19 * xs + 7 * ys + a) + np.sin(23 * ys - 9 * xs + b)
            blots += 0.8 * np.sin(41 * xs + 3 * np.sin(17 * ys))
            colors = mix(colors, PATINA, np.clip(blots - 1 - 3 * (light - 0.6), 0, 0.7))
    pixels = np.rint(np.clip(colors, 0, 255)).astype(np.uint8)
    art.stamp(names, figure.outline, Image.fromarray(pixels))


def mix(colors: np.ndarray, color: Color, amount: np.ndarray) -> np.ndarray:
    """[h, w, 3] blended towards one color by `amount` [h, w], 0 to 1."""
    return colors + amount[..., None] * (np.asarray(color, np.float32) - colors)


def lighting(figure: Figure, box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Lambert's cosine (0.6 on flat parts) and the highlights (0 to 1), each [h, w] of the box."""
    side = figure.outline.side
    height = np.zeros((box[3] - box[1], box[2] - box[0]), np.float32)
    for radius, amount in ((0.008, 0.012), (0.02, 0.02), (0.05, 0.08)):
        reach = round(radius * side)
        # A margin, so that what lies outside the box is seen as lower.
        wide = (box[0] - 2 * reach, box[1] - 2 * reach, box[2] + 2 * reach, box[3] + 2 * reach)
        relief = np.asarray(figure.relief.crop(wide), np.float32)
        blurred = box_mean(box_mean(relief, reach), reach)
        height += (amount * side / 255) * blurred
    slope_y, slope_x = np.gradient(height)
    length = np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    light = (LIGHT[2] - slope_x * LIGHT[0] - slope_y * LIGHT[1]) / length
    light = np.maximum(light, 0).astype(np.float32)
    return light, np.clip((light - 0.93) * 16, 0, 1)


def box_mean(values: np.ndarray, reach: int) -> np.ndarray:
    """The mean over (2 reach + 1) x (2 reach + 1), [h - 2 reach, w - 2 reach].

    Pillow's blur keeps whole grey levels, which light makes into steps.
    """
    width = 2 * reach + 1
    for axis in (0, 1):
        total = np.cumsum(values, axis, dtype=np.float64)
        total = np.insert(total, 0, 0, axis)
        ends, starts = np.split(total, [width], axis)[1], np.split(total, [-width], axis)[0]
        values = (ends - starts) / width
    return values.astype(np.float32)


def marble_veins(side: int) -> Shape:
    rng = stream(0, "veins")
    veins = Shape(side)
    slope = rng.choice([-1, 1]) * rng.uniform(0.5, 0.9)
    for vein in range(9):
        x, y = -0.05, -0.35 + 0.2 * vein - (slope - 0.5) * 0.5 + rng.uniform(-0.04, 0.04)
        path = [(x, y)]
        while x < 1.05:
            x += rng.uniform(0.04, 0.09)
            y += slope * 0.065 + rng.uniform(-0.055, 0.055)
            path.append((x, y))
        veins.stroke(path, 0.02 if vein % 2 else 0.013)
    return veins.soften(0.008).opacity(0.8)


def paint_backdrop(art: Painting, seed: int) -> None:
    rng = stream(seed, "backdrop")
    top, bottom = one(rng, BACKDROPS)
    art.fill("background", top, bottom, HORIZON)
    art.glow("background", rng.uniform(0.3, 0.6), 0.3, 0.7, 0.6, lighter(top, 0.6), 0.8)


def paint_table(art: Painting, seed: int) -> None:
    """A table with a checked cloth, and its hem."""
    cloth = art.shape().polygon([(-0.1, 0.7), (1.1, 0.7), (1.1, 1.1), (-0.1, 1.1)])
    art.layer("background", cloth, (246, 236, 222), (255, 248, 238), 0.7, 1.0)
    rng = stream(seed, "cloth")
    color: Color = ((208, 92, 88), (92, 130, 196), (216, 160, 84))[rng.integers(3)]
    stripes = art.shape()
    for column in np.arange(-6, 7) * 0.16 + 0.5:
        near = 0.5 + (column - 0.5) * 1.7
        stripes.line([(column, 0.7), (near, 0.94), (near, 1.02)], 0.045)
    for y, width in ((0.735, 0.022), (0.8, 0.03), (0.885, 0.036)):
        stripes.line([(-0.1, y), (1.1, y)], width)
    art.layer("background", stripes.within(cloth).opacity(0.5), color)
    hem = art.shape().polygon([(-0.1, 0.94), (1.1, 0.94), (1.1, 1.1), (-0.1, 1.1)])
    art.layer("background", hem.opacity(0.3), INK)


def paint_grass(art: Painting, seed: int) -> None:
    rng = stream(seed, "grass")
    blades = [(-0.05, 1.1), (-0.05, HORIZON)]
    for x in np.arange(-0.05, 1.05, 0.07):
        blades += [(x, HORIZON + 0.012), (x + 0.035, HORIZON - rng.uniform(0.025, 0.05))]
    meadow = art.shape().polygon([*blades, (1.1, HORIZON), (1.1, 1.1)])
    art.layer("background", meadow, (128, 186, 74), (62, 136, 54), HORIZON, 1.0)
    tufts, daisies, hearts = art.shape(), art.shape(), art.shape()
    for tuft in range(12):
        x, y = (tuft * 0.381 + rng.uniform(0, 0.1)) % 1, rng.uniform(0.75, 1.02)
        for lean in (-0.035, 0.0, 0.035):
            tufts.polygon([(x - 0.014, y), (x + lean, y - 0.06), (x + 0.014, y)])
    for daisy in range(6):
        x, y = (daisy * 0.381 + rng.uniform(0, 0.1)) % 1, rng.uniform(0.78, 0.97)
        daisies.ellipse(x, y, 0.024, 0.02)
        hearts.ellipse(x, y, 0.011, 0.009)
    art.layer("background", tufts.opacity(0.8), (60, 130, 62))
    art.layer("background", daisies, WHITE)
    art.layer("background", hearts, (248, 196, 40))


def paint_floor(art: Painting, seed: int) -> None:
    """Tiles in perspective, under a skirting board."""
    light: Color = (206, 210, 218)
    ground = art.shape().polygon([(-0.1, HORIZON), (1.1, HORIZON), (1.1, 1.1), (-0.1, 1.1)])
    art.layer("background", ground, light, lighter(light, 0.3), HORIZON, 1.0)
    shift = stream(seed, "tiles").uniform(-0.5, 0.5)
    rows = (HORIZON, 0.71, 0.775, 0.86, 0.98, 1.15)
    tiles = art.shape()
    for row, (far, near) in enumerate(zip(rows, rows[1:], strict=False)):
        # The vanishing point lies at the height 0.4.
        a, b = (far - 0.4) * 0.5, (near - 0.4) * 0.5
        for column in range(-5, 6):
            if (column + row) % 2:
                u, v = column + shift, column + 1 + shift
                tiles.polygon(
                    [
                        (0.5 + u * a, far),
                        (0.5 + v * a, far),
                        (0.5 + v * b, near),
                        (0.5 + u * b, near),
                    ]
                )
    art.layer("background", tiles, (112, 124, 148), (138, 150, 172), HORIZON, 1.0)
    board = art.shape().line([(-0.1, HORIZON - 0.015), (1.1, HORIZON - 0.015)], 0.035)
    art.layer("background", board, WHITE)


SURFACES: dict[str, Callable[[Painting, int], None]] = {
    "table": paint_table,
    "grass": paint_grass,
    "floor": paint_floor,
}
