"""What the light does: the sky and what stands or falls in it, and the land's colors under it."""

from typing import TYPE_CHECKING

import numpy as np

from .drawing import Color, Painting, Shape, blend, darker, lighter, stream

if TYPE_CHECKING:
    from .landscapes import Landscape

# The sky's colors at the top, halfway down and at the horizon.
WEATHERS: dict[str, tuple[Color, Color, Color]] = {
    "sunny": ((58, 142, 226), (122, 190, 242), (208, 234, 248)),
    "cloudy": ((150, 160, 174), (178, 186, 196), (208, 212, 216)),
    "rainy": ((76, 92, 118), (104, 120, 142), (146, 158, 172)),
    "snowy": ((138, 154, 184), (170, 184, 208), (212, 220, 234)),
    "foggy": ((210, 208, 204), (220, 217, 211), (228, 224, 217)),
    "stormy": ((34, 34, 54), (56, 56, 80), (104, 104, 126)),
}
WINTER_SKY: tuple[Color, Color, Color] = ((136, 188, 230), (178, 214, 240), (226, 239, 248))
SUNSET_SKY: tuple[Color, Color, Color] = ((104, 72, 156), (238, 116, 102), (255, 208, 124))
NIGHT_SKY: tuple[Color, Color, Color] = ((14, 20, 58), (26, 42, 98), (56, 80, 148))
CLOUDS: dict[str, Color] = {
    "sunny": (255, 255, 255),
    "cloudy": (238, 240, 243),
    "rainy": (76, 86, 106),
    "snowy": (222, 228, 238),
    "stormy": (38, 38, 52),
}
SNOW: Color = (246, 249, 254)
FOG: Color = (224, 220, 213)
RAINBOW: tuple[Color, ...] = (
    (232, 44, 52),
    (250, 142, 30),
    (254, 226, 44),
    (52, 182, 76),
    (44, 110, 228),
    (142, 62, 190),
)
SPARKS: tuple[Color, ...] = ((255, 52, 96), (255, 214, 50), (206, 96, 255))


def timed(color: Color, time: str) -> Color:
    """`color` in the warm light of sunset or the blue one of night."""
    gain, glow = {
        "noon": ((1.0, 1.0, 1.0), (0, 0, 0)),
        "sunset": ((0.92, 0.68, 0.6), (26, 8, 14)),
        "night": ((0.38, 0.38, 0.5), (4, 10, 32)),
    }[time]
    red, green, blue = (
        min(255, round(c * g + a)) for c, g, a in zip(color, gain, glow, strict=True)
    )
    return red, green, blue


def seen(scene: "Landscape", color: Color, depth: float = 0.0, snow: float = 0.0) -> Color:
    """`color` as season, weather and time show it.

    depth  0 near to 1 far
    snow   how much of it lies there when there is any, 0 to 1
    """
    weather = scene.weather
    if scene.season == "winter" or weather == "snowy":
        color = blend(color, darker(SNOW, 0.1 * depth), snow)
    if weather == "cloudy":
        color = blend(darker(color, 0.12), (130, 136, 142), 0.26)
    elif weather == "rainy":
        color = blend(darker(color, 0.3), (70, 82, 104), 0.36)
    elif weather == "stormy":
        color = blend(darker(color, 0.5), (44, 46, 66), 0.4)
    elif weather == "snowy":
        color = blend(color, (178, 192, 214), 0.2)
    elif weather == "foggy":
        color = blend(color, FOG, 0.45 + 0.45 * depth)
    return timed(color, scene.time)


def sky_colors(scene: "Landscape") -> tuple[Color, Color, Color]:
    if scene.weather == "sunny" and scene.time != "noon":
        return SUNSET_SKY if scene.time == "sunset" else NIGHT_SKY
    if scene.weather == "sunny" and scene.season == "winter":
        return WINTER_SKY
    top, middle, horizon = (timed(color, scene.time) for color in WEATHERS[scene.weather])
    return top, middle, horizon


def paint_sky(art: Painting, scene: "Landscape") -> None:
    """All that lies behind the land, up to the thing in the sky."""
    top, middle, horizon = sky_colors(scene)
    art.fill("sky", top, middle, 0.3)
    low = art.shape().polygon([(0, 0.3), (1, 0.3), (1, 1), (0, 1)])
    art.layer("sky", low, middle, horizon, 0.3, 0.56)
    clear = scene.weather in ("sunny", "cloudy")
    if clear and scene.time == "night":
        paint_stars(art, scene)
    elif scene.weather == "sunny" or (clear and scene.time == "sunset"):
        paint_sun(art, scene)
    if scene.weather != "foggy":
        paint_clouds(art, scene)
    if scene.weather == "stormy":
        paint_lightning(art, scene)
    if scene.thing == "rainbow":
        paint_rainbow(art, scene)
    elif scene.thing == "fireworks":
        paint_fireworks(art, scene)


def landmark_x(scene: "Landscape") -> float:
    """Where the landmark stands, and what is in the sky finds its place by it."""
    return float(stream(scene.seed, "landmark").uniform(0.36, 0.64))


def beside_landmark(scene: "Landscape") -> float:
    """In the wider half of the sky."""
    x = landmark_x(scene)
    return x - 0.28 if x > 0.5 else x + 0.28


def paint_sun(art: Painting, scene: "Landscape") -> None:
    x, y = beside_landmark(scene), 0.17
    glow, disc, radius = (255, 246, 190), (255, 224, 72), 0.085
    if scene.time == "sunset":
        y = 0.34
        glow, disc, radius = (255, 190, 90), (236, 44, 38), 0.105
    art.glow("sky", x, y, 0.3, 0.3, glow, 0.9)
    sun = art.shape().ellipse(x, y, radius, radius)
    art.layer(
        "sky", sun, lighter(disc, 0.3), blend(disc, (255, 160, 40), 0.4), y - radius, y + radius
    )


def paint_stars(art: Painting, scene: "Landscape") -> None:
    """Stars and the moon."""
    rng = stream(0, "stars")
    stars = art.shape()
    for star in range(18):
        x, y = (star % 6 + rng.random()) / 6, (star // 6 + rng.random()) * 0.14
        radius = rng.uniform(0.009, 0.014)
        tips = [(0, -1.7), (0.45, -0.45), (1.7, 0), (0.45, 0.45)]
        tips += [(-u, -v) for u, v in tips]
        stars.polygon([(x + radius * u, y + radius * v) for u, v in tips])
    art.layer("sky", stars, (255, 250, 224))
    x, y = beside_landmark(scene), 0.165
    art.glow("sky", x, y, 0.24, 0.24, (176, 196, 255), 0.75)
    moon = art.shape().ellipse(x, y, 0.085, 0.085)
    moon.cut(art.shape().ellipse(x + 0.046, y - 0.02, 0.073, 0.073))
    art.layer("sky", moon, (255, 253, 236), (238, 230, 208), y - 0.08, y + 0.08)


def puff(shape: Shape, x: float, y: float, scale: float) -> None:
    """One cloud, about 0.24 times `scale` wide."""
    parts = (
        (-0.1, 0.018, 0.03),
        (-0.05, -0.008, 0.044),
        (0.012, -0.022, 0.056),
        (0.07, -0.002, 0.042),
        (0.115, 0.02, 0.028),
    )
    for dx, dy, radius in parts:
        shape.ellipse(x + dx * scale, y + dy * scale, radius * 1.2 * scale, radius * scale)


def paint_clouds(art: Painting, scene: "Landscape") -> None:
    """A few white ones in clear weather; else a whole deck in two tones."""
    color = timed(CLOUDS[scene.weather], scene.time)
    if scene.weather == "sunny" and scene.time == "sunset":
        color = (255, 178, 150)
    elif scene.weather == "sunny" and scene.time == "night":
        color = (74, 90, 148)
    rng = stream(scene.seed, "clouds")
    spots = rng.uniform([0, 0.08, 0.85], [0.2, 0.3, 1.2], (8, 3))
    spots[:, 0] = (np.arange(8) * 0.37 + spots[:, 0]) % 1.0
    shade = blend(color, sky_colors(scene)[1], 0.5)
    if scene.weather == "sunny":
        for x, y, scale in spots[:3]:
            cloud = art.shape()
            puff(cloud, x, y, 1.05 * scale)
            art.layer("sky", cloud.opacity(0.96), color, shade, y - 0.02, y + 0.075)
        return
    tones = (darker(color, 0.2), color)
    if scene.weather in ("rainy", "stormy"):
        tones = (color, blend(color, (128, 134, 156), 0.26))
    for tone, row in zip(tones, (spots[:4], spots[4:]), strict=True):
        deck = art.shape()
        for x, y, scale in row:
            puff(deck, x, 0.05 + 0.8 * y, 1.75 * scale)
        art.layer("sky", deck, lighter(tone, 0.12), darker(tone, 0.22), 0.02, 0.36)


def paint_lightning(art: Painting, scene: "Landscape") -> None:
    x = beside_landmark(scene)
    lean = 0.05 if x < 0.5 else -0.05
    bolt = [(x, 0.14), (x - lean, 0.3), (x + lean * 0.8, 0.29), (x - lean * 0.9, 0.5)]
    art.glow("sky", x, 0.3, 0.26, 0.32, (182, 172, 244), 0.75)
    art.layer("sky", art.shape().stroke(bolt, 0.07).soften(0.04).opacity(0.6), (214, 204, 255))
    zigzag = [
        (x - 0.025, 0.12),
        (x + 0.04, 0.12),
        (x - lean * 0.1, 0.265),
        (x + lean * 1.4, 0.255),
        (x - lean * 0.9, 0.53),
        (x + lean * 0.0, 0.335),
        (x - lean * 1.3, 0.345),
    ]
    art.layer("sky", art.shape().polygon(zigzag), (255, 248, 184))


def paint_rainbow(art: Painting, scene: "Landscape") -> None:
    x, y, band = landmark_x(scene), 0.575, 0.03
    for index, color in enumerate(RAINBOW):
        bow = art.shape().arch(x, y, 0.47 - band * index, band * 1.15).opacity(0.85)
        art.layer("thing", bow, color)


def paint_fireworks(art: Painting, scene: "Landscape") -> None:
    """Three bursts, each on smoke that sets it off against a bright sky."""
    bursts = ((0.19, 0.24, 0.125), (0.5, 0.18, 0.14), (0.81, 0.25, 0.12))
    for color, (x, y, radius) in zip(SPARKS, bursts, strict=True):
        smoke = art.shape().ellipse(x, y, radius * 1.05, radius * 1.05).soften(0.025)
        art.layer("thing", smoke.opacity(0.6), (30, 26, 66))
        art.glow("thing", x, y, radius, radius, color, 0.6)
        rays, tips = art.shape(), art.shape()
        for angle in (np.arange(10) + 0.5) * np.pi / 5:
            way = np.array([np.cos(angle), np.sin(angle)])
            (x0, y0), (x1, y1), (x2, y2) = (
                np.array([x, y]) + radius * r * way for r in (0.34, 0.74, 1.0)
            )
            rays.stroke([(x0, y0), (x1, y1)], 0.019)
            tips.ellipse(x2, y2, 0.014, 0.014)
        art.layer("thing", rays, color)
        art.layer("thing", tips.ellipse(x, y, 0.026, 0.026), blend(color, (255, 255, 240), 0.6))


def paint_air(art: Painting, scene: "Landscape") -> None:
    """What falls or drifts before everything: rain, snow, mist."""
    if scene.weather in ("rainy", "stormy"):
        paint_rain(art, scene)
    elif scene.weather == "snowy":
        paint_flakes(art, scene)
    elif scene.weather == "foggy":
        paint_mist(art, scene)


def paint_rain(art: Painting, scene: "Landscape") -> None:
    slant = 0.03 if scene.weather == "rainy" else 0.1
    rng = stream(0, "rain")
    streaks = art.shape()
    for row in range(5):
        for column in range(5):
            x = (column + 0.2 + 0.6 * rng.random() + 0.5 * (row % 2)) / 5
            y = (row + rng.random()) / 5
            streaks.stroke([(x, y), (x - slant, y + 0.1)], 0.02)
    color = timed((214, 226, 244), scene.time)
    art.layer(
        None, streaks.soften(0.003).opacity(0.72 if scene.weather == "rainy" else 0.55), color
    )


def paint_flakes(art: Painting, scene: "Landscape") -> None:
    rng = stream(0, "flakes")
    flakes = art.shape()
    for row in range(6):
        for column in range(6):
            x, y = (column + rng.random()) / 6, (row + rng.random()) / 6
            radius = rng.uniform(0.015, 0.024)
            flakes.ellipse(x, y, radius, radius)
    art.layer(None, flakes.soften(0.006), timed((255, 255, 255), scene.time))


def paint_mist(art: Painting, scene: "Landscape") -> None:
    rng = stream(0, "mist")
    veils = art.shape()
    for y in (0.5, 0.63, 0.8):
        veils.ellipse(rng.uniform(0.1, 0.9), y + rng.uniform(-0.02, 0.02), 0.5, 0.04)
    art.layer(None, veils.soften(0.05).opacity(0.8), timed((236, 233, 227), scene.time))
