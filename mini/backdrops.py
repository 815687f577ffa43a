"""What lies behind a portrait."""

import numpy as np

from .drawing import Color, Painting, darker, lighter, one, smooth, stream

BACKGROUNDS = ("studio", "beach", "forest", "city", "mountains", "library")
# The color that is mostly seen behind the head, where it could be one of hair.
BEHIND: dict[str, Color] = {
    "beach": (120, 200, 240),
    "forest": (54, 124, 62),
    "city": (34, 34, 74),
    "mountains": (150, 170, 200),
    "library": (104, 74, 52),
}
# The studio's colors at the top and at the bottom of the picture.
STUDIOS: tuple[tuple[Color, Color], ...] = (
    ((226, 214, 200), (206, 190, 172)),
    ((184, 214, 232), (212, 230, 238)),
    ((180, 214, 202), (210, 230, 222)),
    ((206, 198, 228), (228, 222, 238)),
    ((148, 164, 184), (182, 194, 206)),
    ((232, 200, 192), (242, 220, 210)),
)
SPINES: tuple[Color, ...] = (
    (150, 52, 48),
    (48, 84, 112),
    (62, 100, 70),
    (198, 156, 84),
    (206, 190, 164),
)


def paint_backdrop(art: Painting, seed: int, background: str) -> None:
    {
        "studio": studio,
        "beach": beach,
        "forest": forest,
        "city": city,
        "mountains": mountains,
        "library": library,
    }[background](art, stream(seed, background))


def studio(art: Painting, rng: np.random.Generator) -> None:
    top, bottom = one(rng, STUDIOS)
    art.fill("background", top, bottom)
    x, y = rng.uniform(0.3, 0.7), rng.uniform(0.25, 0.45)
    art.glow("background", x, y, 0.75, 0.75, lighter(top, 0.6), 0.85)


def beach(art: Painting, rng: np.random.Generator) -> None:
    art.fill("background", (96, 190, 238), (214, 240, 248), 0.5)
    side = -1 if rng.random() < 0.5 else 1
    sun = 0.5 - side * rng.uniform(0.3, 0.38)
    art.layer("background", art.shape().ellipse(sun, 0.14, 0.075, 0.075), (255, 232, 110))
    shore = rng.uniform(0.62, 0.68)
    sea = art.shape().polygon([(0, 0.47), (1, 0.47), (1, 0.8), (0, 0.8)])
    art.layer("background", sea, (20, 124, 186), (74, 208, 206), 0.47, shore)
    waves = [(x, shore + 0.02 * np.sin(9 * x + 6 * side)) for x in np.linspace(-0.02, 1.02, 20)]
    sand = art.shape().polygon([*waves, (1.02, 1.1), (-0.02, 1.1)])
    art.layer("background", sand, (250, 226, 168), (228, 190, 124), shore, 1.0)
    art.layer("background", art.shape().line(waves, 0.028), (250, 252, 250))
    # A palm at the side away from the sun.
    foot, top = 0.5 + side * 0.43, 0.5 + side * rng.uniform(0.33, 0.38)
    trunk = smooth(
        [(foot - 0.03, 0.86), (top - 0.014, 0.2), (top + 0.014, 0.2), (foot + 0.03, 0.86)], 1
    )
    art.layer("background", art.shape().polygon(trunk), (150, 108, 66))
    leaves = art.shape()
    for reach, drop in ((-0.24, 0.1), (-0.2, -0.07), (-0.02, -0.16), (0.19, -0.08), (0.24, 0.09)):
        leaf = [
            (top, 0.215),
            (top + reach * 0.25, 0.15 + drop * 0.3),
            (top + reach * 0.75, 0.15 + drop * 0.6),
            (top + reach * 1.1, 0.2 + drop),
            (top + reach * 0.6, 0.215 + drop * 0.5),
        ]
        leaves.polygon(smooth(leaf, 2))
    art.layer("background", leaves, (52, 158, 74), (28, 116, 62), 0.08, 0.3)


def forest(art: Painting, rng: np.random.Generator) -> None:
    art.fill("background", (168, 208, 120), (92, 148, 76), 0.8)
    for depth, bark in ((0, (116, 130, 84)), (1, (84, 62, 44))):
        trunks = art.shape()
        for place in range(4 - depth):
            x = (place + rng.uniform(0.15, 0.85)) / (4 - depth)
            if depth:
                x = (0.09, 0.92, 0.72)[place] + rng.uniform(-0.05, 0.05)
            half = rng.uniform(0.018, 0.028) * (1 + depth)
            trunks.polygon(
                [(x - half, -0.02), (x + half, -0.02), (x + half * 1.4, 0.9), (x - half * 1.4, 0.9)]
            )
        art.layer("background", trunks, bark, darker(bark, 0.2), 0.1, 0.9)
    for row, green in ((0, (34, 96, 52)), (1, (54, 128, 62))):
        crowns = art.shape()
        for place in range(8):
            x, radius = (place + rng.random()) / 8, rng.uniform(0.08, 0.12)
            crowns.ellipse(x, 0.1 - 0.08 * row + rng.uniform(0, 0.05), radius * 1.2, radius)
        art.layer("background", crowns, green, darker(green, 0.15), 0.0, 0.25)
    ground = art.shape().ellipse(0.5, 1.0, 0.9, 0.24)
    art.layer("background", ground, (66, 128, 58), (36, 84, 44), 0.76, 1.0)
    bushes = art.shape()
    for x in (0.02, 0.14, 0.86, 0.98):
        bushes.ellipse(x + rng.uniform(-0.03, 0.03), 0.78, 0.1, rng.uniform(0.06, 0.1))
    art.layer("background", bushes, (48, 118, 60), (28, 76, 44), 0.7, 0.88)


def city(art: Painting, rng: np.random.Generator) -> None:
    art.fill("background", (22, 26, 66), (92, 74, 140), 0.8)
    x = rng.choice([0.14, 0.86])
    art.layer("background", art.shape().ellipse(x, 0.12, 0.06, 0.06), (250, 244, 214))
    for row, wall in ((0, (48, 52, 104)), (1, (28, 30, 66))):
        blocks, lit = art.shape(), art.shape()
        left = -0.02
        while left < 1.0:
            width = rng.uniform(0.13, 0.19)
            roof = rng.uniform(0.2, 0.42) + 0.14 * row
            blocks.polygon([(left, roof), (left + width, roof), (left + width, 1.1), (left, 1.1)])
            columns = 2 if width < 0.16 else 3
            for y in np.arange(roof + 0.05, 1.0, 0.075):
                for column in range(columns):
                    if rng.random() < 0.62:
                        middle = left + width * (column + 0.6) / (columns + 0.2)
                        lit.line([(middle, y - 0.019), (middle, y + 0.019)], 0.032)
            left += width + 0.012
        art.layer("background", blocks, wall)
        art.layer("background", lit.within(blocks), ((224, 168, 92), (255, 216, 104))[row])


def mountains(art: Painting, rng: np.random.Generator) -> None:
    art.fill("background", (104, 168, 226), (226, 238, 246), 0.6)
    for row, rock in ((0, (136, 152, 184)), (1, (92, 106, 134))):
        for left in ((-0.12, 0.3, 0.68), (-0.3, 0.52))[row]:
            half = rng.uniform(0.3, 0.36)
            peak = (left + half * 0.8 + rng.uniform(0, 0.06), rng.uniform(0.14, 0.24) + 0.13 * row)
            slope = (0.78 - peak[1]) / half
            base = [(peak[0] - half, 0.78), (peak[0] + half, 0.78)]
            art.layer(
                "background", art.shape().polygon([peak, *base]), rock, lighter(rock, 0.2), 0.2, 0.7
            )
            snow = [peak]
            for u, low in ((-1, 0.12), (-0.45, 0.09), (-0.1, 0.14), (0.35, 0.09), (1, 0.13)):
                snow.append((peak[0] + u * low / slope, peak[1] + low))
            art.layer("background", art.shape().polygon(snow), (250, 252, 255))
    meadow = art.shape().ellipse(rng.uniform(0.3, 0.7), 1.0, 0.95, 0.3)
    art.layer("background", meadow, (120, 178, 86), (76, 138, 66), 0.7, 1.0)


def library(art: Painting, rng: np.random.Generator) -> None:
    art.fill("background", (64, 42, 30), (46, 30, 22))
    books = [art.shape() for _ in SPINES]
    boards = art.shape()
    for shelf in range(5):
        foot = 0.2 * shelf + 0.17
        boards.polygon([(-0.1, foot), (1.1, foot), (1.1, foot + 0.03), (-0.1, foot + 0.03)])
        left = rng.uniform(-0.04, 0.0)
        while left < 1.0:
            width, height = rng.uniform(0.052, 0.078), rng.uniform(0.115, 0.155)
            spine = one(rng, books)
            right = left + width - 0.008
            spine.polygon(
                [(left, foot - height), (right, foot - height), (right, foot), (left, foot)]
            )
            left += width if rng.random() < 0.92 else width + 0.05
    for spine, color in zip(books, SPINES, strict=True):
        art.layer("background", spine, color)
    art.layer("background", boards, (150, 102, 62))
