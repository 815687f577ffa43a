"""Landscapes: sky, hills, trees, a house, a lake or a road, under one weather."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .drawing import Color, Painting, blend, darker, lighter, smooth, stream

# The sky's colors at the top and at the horizon.
WEATHERS: dict[str, tuple[Color, Color]] = {
    "sunny": ((64, 148, 236), (190, 226, 250)),
    "cloudy": ((150, 160, 172), (202, 206, 210)),
    "rainy": ((66, 76, 96), (118, 128, 144)),
    "snowy": ((188, 200, 218), (232, 236, 242)),
    "foggy": ((206, 202, 194), (226, 222, 214)),
}
LANDMARKS = ("house", "lake", "road")
GREENS: tuple[Color, ...] = ((104, 168, 72), (134, 176, 74), (86, 158, 96))
SNOW: Color = (244, 247, 252)
FOG: Color = (220, 216, 208)
REGIONS = ("sky", "ground")


@dataclass(frozen=True)
class Landscape:
    """One view; what is not named here (the hills, the trees, ...) follows from the seed."""

    seed: int
    weather: str = "sunny"
    landmark: str = "house"


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "weather": tuple(WEATHERS),
    "landmark": LANDMARKS,
}


def weathered(color: Color, weather: str, depth: float, snow: float = 0.9) -> Color:
    """`color` as the weather shows it; depth 0 near to 1 far, snow: how much of it lies on it."""
    if weather == "cloudy":
        return blend(darker(color, 0.12), (130, 136, 140), 0.3)
    if weather == "rainy":
        return blend(darker(color, 0.36), (70, 80, 100), 0.36)
    if weather == "snowy":
        return blend(color, darker(SNOW, 0.12 * depth), snow)
    if weather == "foggy":
        return blend(color, FOG, 0.5 + 0.42 * depth)
    return color


def paint(scene: Landscape, size: int, regions: Sequence[str] = ()) -> Painting:
    """The landscape at `size` x `size` pixels, with the named regions kept."""
    art = Painting(size, regions)
    top, bottom = WEATHERS[scene.weather]
    art.fill("sky", top, bottom, 0.6)
    if scene.weather == "sunny":
        paint_sun(art, scene)
    if scene.weather != "foggy":
        paint_clouds(art, scene)
    for hill in range(3):
        paint_hill(art, scene, hill)
        if hill == 1:
            paint_landmark(art, scene)
            paint_trees(art, scene, "far", 4, 0.6, 0.1, 0.4)
    paint_trees(art, scene, "near", 2, 0.86, 0.2, 0.0)
    if scene.weather == "rainy":
        paint_rain(art, scene)
    if scene.weather == "snowy":
        paint_flakes(art, scene)
    return art


def paint_sun(art: Painting, scene: Landscape) -> None:
    rng = stream(scene.seed, "sun")
    x, y = rng.uniform(0.15, 0.85), rng.uniform(0.12, 0.24)
    for radius, opacity in ((0.15, 0.25), (0.115, 0.4)):
        glow = art.shape().ellipse(x, y, radius, radius).opacity(opacity)
        art.layer("sky", glow, (255, 246, 190))
    art.layer("sky", art.shape().ellipse(x, y, 0.085, 0.085), (255, 222, 70))


def paint_clouds(art: Painting, scene: Landscape) -> None:
    """Two white ones in the sun; else a whole deck, of which those two are a part."""
    color = {
        "sunny": (255, 255, 255),
        "cloudy": (232, 234, 237),
        "rainy": (62, 68, 82),
        "snowy": (214, 220, 230),
    }[scene.weather]
    rng = stream(scene.seed, "clouds")
    for cloud in range(6):
        x, y = (cloud * 0.37 + rng.uniform(0, 0.2)) % 1.0, rng.uniform(0.1, 0.3)
        scale = rng.uniform(0.8, 1.2)
        if cloud >= 2 and scene.weather == "sunny":
            break
        puffs = art.shape()
        if scene.weather != "sunny":
            scale *= 1.5
        for dx, dy, radius in ((-0.08, 0.01, 0.045), (0, -0.015, 0.06), (0.085, 0.012, 0.042)):
            puffs.ellipse(x + dx * scale, y + dy * scale, radius * 1.25 * scale, radius * scale)
        art.layer("sky", puffs, color, darker(color, 0.14), y - 0.06, y + 0.1)


def paint_hill(art: Painting, scene: Landscape, hill: int) -> None:
    """Hill 0 is the farthest."""
    rng = stream(scene.seed, f"hill {hill}")
    level, height = (0.5, 0.58, 0.76)[hill], (0.1, 0.05, 0.05)[hill]
    waves = rng.uniform(0.6, 1.5, 2)
    phases = rng.uniform(0, 2 * np.pi, 2)
    xs = np.linspace(-0.02, 1.02, 40)
    ridge = level - height * sum(
        0.5 * np.sin(2 * np.pi * wave * xs + phase)
        for wave, phase in zip(waves, phases, strict=True)
    )
    green = GREENS[rng.integers(len(GREENS))]
    depth = 1 - hill / 2
    color = weathered(blend(green, (110, 150, 190), 0.5 * depth), scene.weather, depth)
    outline = [(-0.02, 1.1), *zip(xs.tolist(), ridge.tolist(), strict=True), (1.02, 1.1)]
    shade = darker(color, 0.06 if scene.weather == "snowy" else 0.2)
    art.layer("ground", art.shape().polygon(outline), color, shade, level - height, level + 0.3)


def paint_landmark(art: Painting, scene: Landscape) -> None:
    rng = stream(scene.seed, "landmark")
    x = rng.uniform(0.3, 0.7)
    weather = scene.weather
    if scene.landmark == "house":
        wall = weathered((244, 224, 190), weather, 0.2, 0.15)
        roof = weathered((192, 74, 54), weather, 0.2, 0.92)
        y = 0.64
        body = [(x - 0.11, y - 0.1), (x + 0.11, y - 0.1), (x + 0.11, y + 0.05)]
        art.layer("ground", art.shape().polygon([*body, (x - 0.11, y + 0.05)]), wall)
        gable = [(x - 0.15, y - 0.09), (x, y - 0.21), (x + 0.15, y - 0.09)]
        art.layer("ground", art.shape().polygon(gable), roof, darker(roof, 0.15), y - 0.2, y)
        door = weathered((118, 76, 50), weather, 0.2, 0.0)
        opening = art.shape().line([(x + 0.04, y - 0.05), (x + 0.04, y + 0.05)], 0.05)
        art.layer("ground", opening, door)
        window = weathered((120, 172, 214), weather, 0.2, 0.0)
        pane = art.shape().line([(x - 0.07, y - 0.03), (x - 0.02, y - 0.03)], 0.05)
        art.layer("ground", pane, window)
    elif scene.landmark == "lake":
        water = weathered((70, 148, 212), weather, 0.1, 0.45)
        lake = art.shape().ellipse(x, 0.69, 0.3, 0.075)
        art.layer("ground", lake, lighter(water, 0.25), water, 0.62, 0.76)
    else:
        stone = weathered((206, 182, 146), weather, 0.1, 0.5)
        bend = rng.uniform(-0.15, 0.15)
        road = [(x - 0.02, 0.57), (x + 0.02, 0.57), (x + bend + 0.08, 0.7), (0.68, 1.1)]
        road += [(0.3, 1.1), (x + bend - 0.06, 0.7)]
        art.layer("ground", art.shape().polygon(smooth(road, 2)), stone)


def paint_trees(
    art: Painting, scene: Landscape, row: str, count: int, foot: float, height: float, depth: float
) -> None:
    """`count` trees around the height `foot`; those of the far row keep off the middle."""
    rng = stream(scene.seed, f"{row} trees")
    for tree in range(count):
        x = rng.uniform(0.03, 0.28) if tree % 2 else rng.uniform(0.72, 0.97)
        y = foot + rng.uniform(-0.03, 0.05)
        tall = height * rng.uniform(0.85, 1.2)
        conifer = rng.random() < 0.5
        green = blend((40, 112, 62), (84, 142, 52), rng.random())
        leaves = weathered(green, scene.weather, depth, 0.62)
        trunk = weathered((104, 72, 48), scene.weather, depth, 0.0)
        art.layer("ground", art.shape().line([(x, y - tall * 0.3), (x, y)], tall * 0.16), trunk)
        if conifer:
            crown = art.shape()
            for lift, width in ((0.15, 0.36), (0.45, 0.29), (0.72, 0.2)):
                base, tip = y - tall * lift, y - tall * (lift + 0.5)
                half = tall * width
                crown.polygon([(x - half, base), (x, tip), (x + half, base)])
        else:
            crown = art.shape().ellipse(x, y - tall * 0.68, tall * 0.36, tall * 0.4)
        bright = lighter(leaves, 0.5 if scene.weather == "snowy" else 0.14)
        art.layer("ground", crown, bright, darker(leaves, 0.15), y - tall, y - tall * 0.2)


def paint_rain(art: Painting, scene: Landscape) -> None:
    rng = stream(scene.seed, "rain")
    streaks = art.shape()
    for row in range(6):
        for column in range(5):
            x = (column + 0.2 + 0.6 * rng.random() + 0.5 * (row % 2)) / 5
            y = (row + rng.random()) / 6
            streaks.line([(x, y), (x - 0.04, y + 0.12)], 0.018)
    art.layer(None, streaks.opacity(0.8), (196, 210, 232))


def paint_flakes(art: Painting, scene: Landscape) -> None:
    rng = stream(scene.seed, "flakes")
    flakes = art.shape()
    for row in range(6):
        for column in range(6):
            x, y = (column + rng.random()) / 6, (row + rng.random()) / 6
            radius = rng.uniform(0.013, 0.021)
            flakes.ellipse(x, y, radius, radius)
    art.layer(None, flakes, (255, 255, 255))
