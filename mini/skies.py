"""What the light does: the sky and what stands or falls in it, and the land's colors under it."""

from typing import TYPE_CHECKING

import numpy as np

from .drawing import Color, Painting, Shape, blend, darker, stream

if TYPE_CHECKING:
    from .landscapes import Landscape

# The sky's colors at the top, halfway down and at the horizon.
WEATHERS: dict[str, tuple[Color, Color, Color]] = {
    "sunny": ((44, 132, 232), (110, 182, 246), (198, 230, 250)),
    "cloudy": ((150, 158, 168), (178, 184, 192), (208, 211, 214)),
    "rainy": ((74, 88, 112), (100, 114, 136), (140, 150, 166)),
    "snowy": ((128, 144, 172), (162, 176, 200), (206, 214, 228)),
    "foggy": ((212, 208, 200), (220, 216, 208), (226, 222, 214)),
    "stormy": ((26, 26, 40), (50, 50, 70), (98, 98, 118)),
}
WINTER_SKY: tuple[Color, Color, Color] = ((132, 188, 234), (174, 212, 242), (222, 238, 250))
SUNSET_SKY: tuple[Color, Color, Color] = ((98, 64, 150), (240, 106, 92), (255, 206, 104))
NIGHT_SKY: tuple[Color, Color, Color] = ((8, 12, 44), (20, 32, 84), (48, 70, 138))
CLOUDS: dict[str, Color] = {
    "sunny": (255, 255, 255),
    "cloudy": (236, 238, 240),
    "rainy": (70, 78, 96),
    "snowy": (216, 223, 234),
    "stormy": (28, 28, 38),
}
SNOW: Color = (246, 249, 254)
FOG: Color = (222, 218, 210)
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
    for reach, opacity in ((0.075, 0.25), (0.035, 0.4)):
        halo = art.shape().ellipse(x, y, radius + reach, radius + reach)
        art.layer("sky", halo.opacity(opacity), glow)
    sun = art.shape().ellipse(x, y, radius, radius)
    art.layer("sky", sun, disc, blend(disc, (255, 170, 40), 0.45), y - radius, y + radius)


def paint_stars(art: Painting, scene: "Landscape") -> None:
    """Stars and the moon."""
    rng = stream(0, "stars")
    stars = art.shape()
    for star in range(28):
        x, y = (star % 7 + rng.random()) / 7, (star // 7 + rng.random()) * 0.11
        radius = rng.uniform(0.005, 0.01)
        stars.polygon(
            [(x, y - radius * 1.5), (x + radius, y), (x, y + radius * 1.5), (x - radius, y)]
        )
    art.layer("sky", stars, (255, 250, 224))
    x, y = beside_landmark(scene), 0.165
    for radius, opacity in ((0.135, 0.14), (0.11, 0.2)):
        halo = art.shape().ellipse(x, y, radius, radius).opacity(opacity)
        art.layer("sky", halo, (190, 206, 255))
    moon = art.shape().ellipse(x, y, 0.08, 0.08)
    moon.cut(art.shape().ellipse(x + 0.045, y - 0.02, 0.07, 0.07))
    art.layer("sky", moon, (255, 252, 232), (226, 224, 214), y - 0.08, y + 0.08)


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
    shade = darker(color, 0.16)
    if scene.weather == "sunny":
        for x, y, scale in spots[:3]:
            cloud = art.shape()
            puff(cloud, x, y, 0.9 * scale)
            art.layer("sky", cloud.opacity(0.94), color, shade, y - 0.03, y + 0.07)
        return
    tones = (darker(color, 0.2), color)
    if scene.weather in ("rainy", "stormy"):
        tones = (color, blend(color, (128, 134, 156), 0.26))
    for tone, row in zip(tones, (spots[:4], spots[4:]), strict=True):
        deck = art.shape()
        for x, y, scale in row:
            puff(deck, x, 0.05 + 0.8 * y, 1.75 * scale)
        art.layer("sky", deck, tone, darker(tone, 0.22), 0.04, 0.36)


def paint_lightning(art: Painting, scene: "Landscape") -> None:
    x = beside_landmark(scene)
    lean = 0.05 if x < 0.5 else -0.05
    bolt = [(x, 0.14), (x - lean, 0.3), (x + lean * 0.8, 0.29), (x - lean * 0.9, 0.5)]
    art.layer("sky", art.shape().line(bolt, 0.085).soften(0.03).opacity(0.5), (176, 170, 236))
    zigzag = [
        (x - 0.02, 0.13),
        (x + 0.035, 0.13),
        (x - lean * 0.2, 0.27),
        (x + lean * 1.3, 0.26),
        (x - lean * 0.9, 0.52),
        (x + lean * 0.1, 0.325),
        (x - lean * 1.2, 0.335),
    ]
    art.layer("sky", art.shape().polygon(zigzag), (255, 248, 176))


def paint_rainbow(art: Painting, scene: "Landscape") -> None:
    x, y, band = landmark_x(scene), 0.575, 0.026
    for index, color in enumerate(RAINBOW):
        bow = art.shape().arch(x, y, 0.46 - band * index, band * 1.15).opacity(0.88)
        art.layer("thing", bow, color)


def paint_fireworks(art: Painting, scene: "Landscape") -> None:
    """Three bursts, each on smoke that sets it off against a bright sky."""
    bursts = ((0.19, 0.24, 0.125), (0.5, 0.18, 0.14), (0.81, 0.25, 0.12))
    for color, (x, y, radius) in zip(SPARKS, bursts, strict=True):
        smoke = art.shape().ellipse(x, y, radius * 1.05, radius * 1.05).soften(0.025)
        art.layer("thing", smoke.opacity(0.62), (24, 20, 58))
        rays, tips = art.shape(), art.shape()
        for angle in (np.arange(10) + 0.5) * np.pi / 5:
            way = np.array([np.cos(angle), np.sin(angle)])
            (x0, y0), (x1, y1) = (np.array([x, y]) + radius * r * way for r in (0.2, 0.95))
            rays.line([(x0, y0), (x1, y1)], 0.016)
            tips.ellipse(x1, y1, 0.015, 0.015)
        art.layer("thing", rays, color)
        art.layer("thing", tips.ellipse(x, y, 0.022, 0.022), blend(color, (255, 255, 240), 0.6))


def paint_air(art: Painting, scene: "Landscape") -> None:
    """What falls or drifts before everything: rain, snow, mist."""
    if scene.weather in ("rainy", "stormy"):
        paint_rain(art, scene)
    elif scene.weather == "snowy":
        paint_flakes(art, scene)
    elif scene.weather == "foggy":
        paint_mist(art, scene)


def paint_rain(art: Painting, scene: "Landscape") -> None:
    slant, width = (0.025, 0.016) if scene.weather == "rainy" else (0.09, 0.012)
    rng = stream(0, "rain")
    streaks = art.shape()
    for row in range(6):
        for column in range(6):
            x = (column + 0.2 + 0.6 * rng.random() + 0.5 * (row % 2)) / 6
            y = (row + rng.random()) / 6
            streaks.line([(x, y), (x - slant, y + 0.115)], width)
    color = timed((206, 220, 242), scene.time)
    art.layer(None, streaks.opacity(0.85 if scene.weather == "rainy" else 0.6), color)


def paint_flakes(art: Painting, scene: "Landscape") -> None:
    rng = stream(0, "flakes")
    flakes = art.shape()
    for row in range(7):
        for column in range(7):
            x, y = (column + rng.random()) / 7, (row + rng.random()) / 7
            radius = rng.uniform(0.012, 0.021)
            flakes.ellipse(x, y, radius, radius)
    art.layer(None, flakes, timed((255, 255, 255), scene.time))


def paint_mist(art: Painting, scene: "Landscape") -> None:
    rng = stream(0, "mist")
    veils = art.shape()
    for y in (0.5, 0.63, 0.8):
        veils.ellipse(rng.uniform(0.1, 0.9), y + rng.uniform(-0.02, 0.02), 0.5, 0.03)
    art.layer(None, veils.soften(0.03).opacity(0.75), timed((236, 233, 227), scene.time))
