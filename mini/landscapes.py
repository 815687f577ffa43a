"""Landscapes: hills, trees, a house, a lake or a road, under one sky."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .applications import attributes_of
from .drawing import Color, Painting, Point, blend, darker, lighter, one, stream
from .skies import landmark_x, paint_air, paint_sky, seen, sky_colors

# The meadows of each season, and the crowns of its trees.
MEADOWS: dict[str, tuple[Color, ...]] = {
    "summer": ((106, 168, 82), (124, 176, 78), (88, 158, 92)),
    "spring": ((158, 212, 104), (172, 218, 112), (146, 206, 112)),
    "autumn": ((212, 164, 82), (204, 150, 76), (218, 174, 100)),
    "winter": ((158, 172, 164), (164, 174, 156), (154, 170, 170)),
}
CROWNS: dict[str, tuple[Color, ...]] = {
    "summer": ((58, 130, 74), (80, 144, 68), (46, 120, 84)),
    "spring": ((250, 172, 204), (252, 214, 230), (244, 148, 188)),
    "autumn": ((226, 108, 44), (202, 64, 48), (238, 164, 54)),
    "winter": ((128, 116, 116), (120, 112, 116), (134, 122, 118)),
}
CONIFERS: dict[str, Color] = {
    "summer": (44, 106, 80),
    "spring": (76, 156, 92),
    "autumn": (218, 148, 54),
    "winter": (60, 108, 98),
}
BLOSSOMS: tuple[Color, ...] = ((255, 255, 255), (246, 96, 154), (255, 216, 66))
LEAVES: tuple[Color, ...] = ((196, 66, 42), (238, 140, 46), (156, 86, 44))
WALLS: tuple[Color, ...] = ((248, 234, 208), (250, 244, 236), (242, 210, 176), (212, 226, 234))
ROOFS: tuple[Color, ...] = ((196, 80, 64), (162, 72, 76), (92, 102, 140), (150, 98, 68))
REGIONS = ("sky", "ground", "thing")
REGION_OF = {"thing": "thing", "landmark": "ground"}


@dataclass(frozen=True)
class Landscape:
    """One view; what is not named here (the hills, the trees, ...) follows from the seed."""

    seed: int
    weather: str = "sunny"
    landmark: str = "house"
    season: str = "summer"
    time: str = "noon"
    thing: str = "none"
    medium: str = "drawing"


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    **{attribute.name: attribute.values for attribute in attributes_of("landscape")},
    "landmark": ("house", "lake", "road"),
}


def paint(scene: Landscape, size: int, regions: Sequence[str] = ()) -> Painting:
    """The landscape at `size` x `size` pixels, with the named regions kept."""
    art = Painting(size, regions)
    paint_sky(art, scene)
    paint_peaks(art, scene)
    paint_hill(art, scene, 0)
    paint_hill(art, scene, 1)
    if scene.landmark == "lake":
        paint_lake(art, scene)
    paint_trees(art, scene, "far", 4, 0.6, 0.15, 0.4)
    if scene.landmark == "house":
        paint_house(art, scene)
    paint_hill(art, scene, 2)
    paint_meadow(art, scene)
    if scene.landmark == "road":
        paint_road(art, scene)
    paint_trees(art, scene, "near", 2, 0.86, 0.32, 0.0)
    paint_air(art, scene)
    return art


def paint_peaks(art: Painting, scene: Landscape) -> None:
    """Mountains behind the hills, in some views."""
    rng = stream(scene.seed, "peaks")
    if rng.random() < 0.6:
        return
    rock = seen(scene, (126, 140, 176), 0.9, 0.55)
    cap = seen(scene, (250, 252, 255), 0.7)
    ridges, caps = art.shape(), art.shape()
    for peak in range(3):
        x, y = (peak + 0.2 + 0.6 * rng.random()) / 3, rng.uniform(0.34, 0.42)
        ridges.polygon([(x - 0.26, 0.66), (x, y), (x + 0.26, 0.66)])
        edge = [(x + 0.075, y + 0.075), (x + 0.03, y + 0.058), (x - 0.015, y + 0.085)]
        caps.polygon([(x, y), *edge, (x - 0.07, y + 0.07)])
    art.layer("ground", ridges, rock, lighter(rock, 0.2), 0.36, 0.56)
    art.layer("ground", caps, cap)


def paint_hill(art: Painting, scene: Landscape, hill: int) -> None:
    """Hill 0 is the farthest."""
    rng = stream(scene.seed, f"hill {hill}")
    level, height = (0.5, 0.58, 0.76)[hill], (0.08, 0.05, 0.05)[hill]
    waves = rng.uniform(0.6, 1.5, 2)
    phases = rng.uniform(0, 2 * np.pi, 2)
    xs = np.linspace(-0.02, 1.02, 40)
    ridge = level - height * sum(
        0.5 * np.sin(2 * np.pi * wave * xs + phase)
        for wave, phase in zip(waves, phases, strict=True)
    )
    meadow = MEADOWS[scene.season][int(rng.integers(3))]
    depth = 1 - hill / 2
    color = seen(scene, blend(meadow, (110, 150, 190), 0.4 * depth), depth, 0.92)
    outline = [(-0.02, 1.1), *zip(xs.tolist(), ridge.tolist(), strict=True), (1.02, 1.1)]
    white = scene.season == "winter" or scene.weather == "snowy"
    shade = blend(color, seen(scene, (70, 104, 156) if white else (30, 70, 62)), 0.3)
    land = art.shape().polygon(outline)
    art.layer("ground", land, lighter(color, 0.1), shade, level - height, level + 0.3)
    # Light along the ridge.
    rim = art.shape().stroke(list(zip(xs.tolist(), ridge.tolist(), strict=True)), 0.03)
    art.layer("ground", rim.soften(0.02).within(land).opacity(0.55), lighter(color, 0.28))


def paint_meadow(art: Painting, scene: Landscape) -> None:
    """Flowers in spring, fallen leaves in autumn."""
    if scene.season not in ("spring", "autumn"):
        return
    rng = stream(scene.seed, "meadow")
    spots = rng.uniform([0, 0.83, 0.017], [1, 0.98, 0.024], (18, 3))
    for index, color in enumerate(BLOSSOMS if scene.season == "spring" else LEAVES):
        dots = art.shape()
        for x, y, radius in spots[index::3]:
            dots.ellipse(x, y, radius, radius * (0.9 if scene.season == "spring" else 0.6))
        art.layer("ground", dots, seen(scene, color, 0.1, 0.5))


def paint_house(art: Painting, scene: Landscape) -> None:
    x = landmark_x(scene)
    rng = stream(scene.seed, "house")
    wall = seen(scene, one(rng, WALLS), 0.1, 0.12)
    tiles = one(rng, ROOFS)
    roof, brick = seen(scene, tiles, 0.1, 0.9), seen(scene, darker(tiles, 0.3), 0.1, 0.1)
    foot, eaves, half = 0.7, 0.545, 0.125
    side = 1 if rng.random() < 0.5 else -1
    art.layer(
        "ground",
        art.shape().ellipse(x + 0.02, foot, 0.17, 0.022).soften(0.012).opacity(0.35),
        seen(scene, (30, 50, 50), 0.1),
    )
    stack = [(x + side * 0.07, eaves), (x + side * 0.07, eaves - 0.15)]
    art.layer("ground", art.shape().line(stack, 0.042), brick)
    body = art.shape().line([(x, eaves - 0.02), (x, foot)], 2 * half)
    art.layer("ground", body, wall, darker(wall, 0.2), eaves, foot)
    gable = [(x - half - 0.045, eaves), (x, eaves - 0.15), (x + half + 0.045, eaves)]
    art.layer("ground", art.shape().polygon(gable), roof, darker(roof, 0.14), eaves - 0.14, eaves)
    door = art.shape().line([(x + side * 0.072, foot - 0.1), (x + side * 0.072, foot)], 0.058)
    art.layer("ground", door, seen(scene, darker(tiles, 0.35), 0.1))
    frames, panes = art.shape(), art.shape()
    for pane in (x - side * 0.078, x - side * 0.008):
        frames.line([(pane, eaves + 0.03), (pane, eaves + 0.1)], 0.058)
        panes.line([(pane, eaves + 0.041), (pane, eaves + 0.089)], 0.038)
    glass = (255, 216, 96) if scene.time == "night" else seen(scene, (110, 168, 214), 0.1)
    art.layer("ground", frames, lighter(wall, 0.45))
    art.layer("ground", panes, glass)


def paint_lake(art: Painting, scene: Landscape) -> None:
    x = landmark_x(scene)
    frozen = scene.season == "winter" or scene.weather == "snowy"
    sky = sky_colors(scene)
    water = seen(scene, (170, 210, 236) if frozen else (34, 116, 204), 0.2)
    water = blend(water, sky[1], 0.3)
    shore = art.shape().ellipse(x, 0.7, 0.4, 0.088)
    art.layer("ground", shore, seen(scene, (222, 204, 158), 0.2, 0.6))
    lake = art.shape().ellipse(x, 0.705, 0.375, 0.078)
    art.layer("ground", lake, blend(water, sky[2], 0.45), water, 0.63, 0.74)
    rng = stream(scene.seed, "lake")
    glints = art.shape()
    for y in (0.668, 0.712):
        start, length = x + rng.uniform(-0.22, 0.08), rng.uniform(0.1, 0.16)
        glints.stroke([(start, y), (start + length, y)], 0.014)
    art.layer("ground", glints.soften(0.004).opacity(0.8), lighter(water, 0.5))
    if not frozen:
        mast = x + rng.uniform(-0.15, 0.15)
        sail = art.shape().polygon([(mast, 0.53), (mast + 0.07, 0.648), (mast, 0.648)])
        sail.polygon([(mast - 0.012, 0.56), (mast - 0.012, 0.648), (mast - 0.06, 0.648)])
        art.layer("ground", sail, seen(scene, (255, 252, 244)))
        hull = [(mast - 0.07, 0.655), (mast + 0.076, 0.655), (mast + 0.05, 0.69)]
        hull += [(mast - 0.05, 0.69)]
        art.layer("ground", art.shape().polygon(hull), seen(scene, (176, 56, 48)))


def paint_road(art: Painting, scene: Landscape) -> None:
    """From the near edge over the hills, narrowing and bending."""
    x = landmark_x(scene)
    rng = stream(scene.seed, "road")
    bend, near = rng.uniform(0.06, 0.12) * (1 if x < 0.5 else -1), rng.uniform(0.42, 0.58)
    heights = np.linspace(0, 1, 9)
    middle = x + (near - x) * heights + bend * np.sin(2 * np.pi * heights) * (0.4 + 0.6 * heights)
    ys, widths = 0.575 + 0.45 * heights, 0.016 + 0.15 * heights**1.3
    left: list[Point] = list(zip((middle - widths).tolist(), ys.tolist(), strict=True))
    right: list[Point] = list(zip((middle + widths).tolist(), ys.tolist(), strict=True))
    verge = art.shape().polygon(
        [(a - 0.012, y) for a, y in left] + [(a + 0.012, y) for a, y in reversed(right)]
    )
    art.layer("ground", verge, seen(scene, (226, 208, 170), 0.1, 0.6))
    stone = seen(scene, (128, 124, 128), 0.1, 0.22)
    pavement = art.shape().polygon(left + right[::-1])
    art.layer("ground", pavement, lighter(stone, 0.2), stone, 0.58, 0.9)
    dashes = art.shape()
    for low, high in ((3, 4), (5, 6), (7, 8)):
        ends = [(float(middle[i]), float(ys[i])) for i in (low, high)]
        dashes.stroke(ends, 0.01 + 0.016 * float(heights[high]))
    art.layer("ground", dashes, seen(scene, (255, 244, 206)))


def paint_trees(
    art: Painting, scene: Landscape, row: str, count: int, foot: float, height: float, depth: float
) -> None:
    """`count` trees around the height `foot`, which keep off the middle."""
    rng = stream(scene.seed, f"{row} trees")
    for tree in range(count):
        x = rng.uniform(0.03, 0.24) if tree % 2 else rng.uniform(0.76, 0.97)
        y = foot + rng.uniform(-0.02, 0.05)
        tall = height * rng.uniform(0.85, 1.2)
        conifer, kind = rng.random() < 0.4, int(rng.integers(3))
        if tree == 0:  # every view has one that tells the season
            conifer = False
        if conifer:
            paint_conifer(art, scene, x, y, tall, depth)
        elif scene.season == "winter":
            paint_bare_tree(art, scene, x, y, tall, depth)
        else:
            paint_leafy_tree(art, scene, x, y, tall, depth, CROWNS[scene.season][kind])


def paint_conifer(
    art: Painting, scene: Landscape, x: float, y: float, tall: float, depth: float
) -> None:
    trunk = seen(scene, (104, 72, 48), depth)
    art.layer("ground", art.shape().line([(x, y - tall * 0.3), (x, y)], tall * 0.13), trunk)
    needles = seen(scene, CONIFERS[scene.season], depth, 0.25)
    crown, caps = art.shape(), art.shape()
    for lift, width in ((0.15, 0.34), (0.42, 0.27), (0.68, 0.19)):
        base, tip, half = y - tall * lift, y - tall * (lift + 0.46), tall * width
        crown.polygon([(x - half, base), (x, tip), (x + half, base)])
        caps.polygon(
            [(x - half * 0.62, base - tall * 0.12), (x, tip), (x + half * 0.5, base - tall * 0.2)]
        )
    art.layer(
        "ground", crown, lighter(needles, 0.1), darker(needles, 0.25), y - tall, y - tall * 0.2
    )
    if scene.season == "winter" or scene.weather == "snowy":
        art.layer("ground", caps, seen(scene, (250, 252, 255), depth))


def paint_leafy_tree(
    art: Painting, scene: Landscape, x: float, y: float, tall: float, depth: float, leaves: Color
) -> None:
    trunk = seen(scene, (112, 76, 50), depth)
    art.layer("ground", art.shape().line([(x, y - tall * 0.45), (x, y)], tall * 0.12), trunk)
    color = seen(scene, leaves, depth, 0.5)
    crown = art.shape()
    parts = ((-0.2, 0.52, 0.2), (0.2, 0.54, 0.2), (0, 0.56, 0.26), (-0.1, 0.76, 0.21))
    for dx, lift, radius in (*parts, (0.12, 0.74, 0.2)):
        crown.ellipse(x + dx * tall, y - lift * tall, radius * tall, radius * tall)
    art.layer("ground", crown, color, darker(color, 0.3), y - tall, y - tall * 0.3)
    # Snow lies on top; else the light falls on every ball of leaves.
    white = scene.weather == "snowy"
    bright = seen(scene, (252, 253, 255), depth) if white else lighter(color, 0.38)
    for dx, lift, radius in (*parts, (0.12, 0.74, 0.2)):
        spot = x + (dx - 0.06) * tall, y - (lift + 0.07) * tall
        art.glow(
            "ground", *spot, radius * tall, radius * tall, bright, 1.0 if white else 0.8, crown
        )


def paint_bare_tree(
    art: Painting, scene: Landscape, x: float, y: float, tall: float, depth: float
) -> None:
    bark = seen(scene, (96, 72, 64), depth)
    frost = art.shape().ellipse(x, y - tall * 0.68, tall * 0.38, tall * 0.36).soften(0.05 * tall)
    art.layer("ground", frost.opacity(0.6), seen(scene, (222, 230, 246), depth))
    branches, snow = art.shape(), art.shape()
    branches.stroke([(x, y), (x, y - tall * 0.95)], tall * 0.1)
    for side, low, out, high in (
        (-1, 0.35, 0.3, 0.68),
        (1, 0.45, 0.3, 0.78),
        (-1, 0.62, 0.2, 0.94),
    ):
        tip = (x + side * out * tall, y - high * tall)
        branches.stroke([(x, y - low * tall), tip], tall * 0.075)
        snow.ellipse(tip[0], tip[1] - 0.01 * tall, tall * 0.13, tall * 0.08)
    snow.ellipse(x + 0.02 * tall, y - 0.96 * tall, tall * 0.12, tall * 0.075)
    art.layer("ground", branches, bark)
    art.layer(
        "ground", snow.ellipse(x, y, tall * 0.16, tall * 0.04), seen(scene, (252, 253, 255), depth)
    )
