"""The clothes of a portrait: one silhouette under every garment."""

import numpy as np

from .drawing import Color, Painting, Point, Shape, darker, lighter, smooth, stream
from .heads import Pose

GARMENTS = ("t-shirt", "sweater", "suit", "dress", "hoodie", "leather jacket", "raincoat")
GARMENT_COLORS: dict[str, Color] = {
    "red": (206, 48, 56),
    "blue": (44, 92, 196),
    "green": (40, 146, 96),
    "yellow": (246, 196, 60),
    "purple": (128, 66, 168),
    "white": (242, 240, 240),
}
SHIRT: Color = (246, 246, 248)
TIES: tuple[Color, ...] = ((40, 40, 56), (96, 26, 36), (30, 60, 90))
STEEL: Color = (222, 226, 232)


def torso(art: Painting, at: Pose) -> Shape:
    """The silhouette of the shoulders and chest."""
    left, right, top = at.x - at.shoulder, at.x + at.shoulder, at.collar
    return art.shape().polygon(
        smooth(
            [
                (at.x - at.neck * 1.1, top - 0.03),
                (at.x + at.neck * 1.1, top - 0.03),
                (right - 0.08, top + 0.035),
                (right + 0.01, top + 0.14),
                (right + 0.05, 1.3),
                (left - 0.05, 1.3),
                (left - 0.01, top + 0.14),
                (left + 0.08, top + 0.035),
            ]
        )
    )


def both(at: Pose, *points: Point) -> list[list[Point]]:
    """Points given from the neck's foot outward, on either side of it."""
    return [[(at.x + side * x, at.collar + y) for x, y in points] for side in (-1, 1)]


def paint_hood(art: Painting, garment: str, color: str, at: Pose) -> None:
    """What of a garment lies behind the neck."""
    if garment != "hoodie":
        return
    cloth = GARMENT_COLORS[color]
    hood = art.shape().ellipse(at.x, at.collar - 0.01, at.neck + 0.14, 0.115)
    art.layer("garment", hood, darker(cloth, 0.14), darker(cloth, 0.3), at.collar - 0.1, at.collar)
    inside = art.shape().ellipse(at.x, at.collar - 0.008, at.neck + 0.08, 0.08)
    art.layer("garment", inside, darker(cloth, 0.5))


def paint_garment(
    art: Painting, seed: int, garment: str, color: str, skin: Color, at: Pose
) -> None:
    cloth = GARMENT_COLORS[color]
    body = torso(art, at)
    if garment == "dress":
        art.layer("garment skin", body, lighter(skin, 0.05), darker(skin, 0.1), at.collar, 1.1)
        dress(art, seed, cloth, at, body)
        return
    shade = darker(cloth, 0.34 if garment == "leather jacket" else 0.22)
    art.layer("garment", body, lighter(cloth, 0.06), shade, at.collar, 1.1)
    drape(art, "garment", cloth, at, body)
    if garment == "t-shirt":
        tshirt(art, cloth, skin, at, body)
    elif garment == "sweater":
        sweater(art, cloth, at, body)
    elif garment == "suit":
        suit(art, seed, cloth, at, body)
    elif garment == "hoodie":
        hoodie(art, cloth, at, body)
    elif garment == "leather jacket":
        jacket(art, cloth, at, body)
    else:
        raincoat(art, cloth, at, body)


def drape(art: Painting, names: str, cloth: Color, at: Pose, body: Shape) -> None:
    """Light on the left shoulder, shade on the right side and in the fold of each arm."""
    light, shade = lighter(cloth, 0.35), darker(cloth, 0.36)
    x, y = at.x - at.shoulder * 0.62, at.collar + 0.12
    art.glow(names, x, y, 0.2, 0.13, light, 0.55, body)
    art.glow(names, at.x + at.shoulder, at.collar + 0.26, 0.16, 0.3, shade, 0.7, body)
    folds = art.shape()
    for points in both(at, (at.shoulder - 0.085, 0.16), (at.shoulder - 0.075, 0.6)):
        folds.stroke(points, 0.018)
    art.layer(names, folds.soften(0.012).within(body).opacity(0.7), shade)
    # The head's shadow.
    art.glow(names, at.x + 0.01, at.collar - 0.02, 0.17, 0.1, shade, 0.6, body)


def tshirt(art: Painting, cloth: Color, skin: Color, at: Pose, body: Shape) -> None:
    top = at.collar
    hem = art.shape().ellipse(at.x, top - 0.035, at.neck * 1.65, 0.092).within(body)
    art.layer("garment", hem, darker(cloth, 0.2))
    opening = art.shape().ellipse(at.x, top - 0.045, at.neck * 1.3, 0.08).within(body)
    art.layer("garment skin", opening, darker(skin, 0.08))
    # The sleeves end above the elbows.
    arms, seams, inner = art.shape(), art.shape(), at.shoulder - 0.085
    for points in both(at, (inner, 0.21), (at.shoulder + 0.1, 0.165), (0.6, 0.6), (inner, 0.6)):
        arms.polygon(points)
        seams.line(points[:2], 0.026)
    bare = arms.within(body)
    art.layer("garment skin", bare, lighter(skin, 0.04), darker(skin, 0.12), 0.85, 1.05)
    art.layer("garment", seams.within(body), darker(cloth, 0.2))


def sweater(art: Painting, cloth: Color, at: Pose, body: Shape) -> None:
    """Wide stripes and a rolled collar."""
    stripes = art.shape()
    for y in np.arange(at.collar + 0.085, 1.1, 0.125):
        stripes.line([(-0.1, y), (1.1, y)], 0.055)
    stripe = (86, 92, 112) if min(cloth) > 200 else SHIRT
    art.layer("garment", stripes.within(body).opacity(0.94), stripe)
    collar = art.shape().polygon(
        smooth(
            [
                (at.x - at.neck * 1.2, at.collar - 0.045),
                (at.x + at.neck * 1.2, at.collar - 0.045),
                (at.x + at.neck * 1.5, at.collar + 0.05),
                (at.x - at.neck * 1.5, at.collar + 0.05),
            ],
            2,
        )
    )
    art.layer("garment", collar, lighter(cloth, 0.04), darker(cloth, 0.26), at.collar - 0.04, 0.75)


def suit(art: Painting, seed: int, cloth: Color, at: Pose, body: Shape) -> None:
    top = at.collar
    shirt = [(at.x - 0.105, top - 0.03), (at.x + 0.105, top - 0.03), (at.x, 1.02)]
    art.layer("garment", art.shape().polygon(shirt).within(body), SHIRT)
    lapels = art.shape()
    edge = (0.09, -0.03), (0.17, 0.09), (0.11, 0.15), (0.0, 0.34), (0.035, 0.17)
    for points in both(at, *edge):
        lapels.polygon(points)
    art.layer(
        "garment", lapels.within(body), darker(cloth, 0.3), darker(cloth, 0.5), at.collar, 1.0
    )
    tie = art.shape()
    for points in both(at, (0.0, 0.0), (0.032, 0.0), (0.02, 0.05), (0.04, 0.2), (0.0, 0.27)):
        tie.polygon(points)
    art.layer("garment", tie.within(body), TIES[stream(seed, "tie").integers(len(TIES))])


def dress(art: Painting, seed: int, cloth: Color, at: Pose, body: Shape) -> None:
    """A bodice with straps; on half of them dots."""
    width = at.shoulder * 0.64
    half = (0.0, 0.17), (width * 0.45, 0.105), (width, 0.125), (width * 1.06, 0.6), (0.0, 0.6)
    bodice = art.shape()
    for points in both(at, *half):
        bodice.polygon(points)
    for points in both(at, (width * 0.9, 0.2), (width * 0.86, -0.03)):
        bodice.line(points, 0.055)
    shape = bodice.within(body)
    art.layer("garment", shape, lighter(cloth, 0.06), darker(cloth, 0.2), at.collar, 1.1)
    drape(art, "garment", cloth, at, shape)
    if stream(seed, "dots").random() < 0.5:
        dots = art.shape()
        for row in range(3):
            for column in range(-3, 4):
                x = at.x + (column + 0.5 * (row % 2)) * 0.11
                dots.ellipse(x, at.collar + 0.17 + 0.085 * row, 0.022, 0.022)
        dot = darker(cloth, 0.3) if min(cloth) > 200 else lighter(cloth, 0.7)
        art.layer("garment", dots.within(shape), dot)


def hoodie(art: Painting, cloth: Color, at: Pose, body: Shape) -> None:
    """The hood's folds meet under the chin; cords hang from them, a pocket lies below."""
    folds = art.shape()
    edge = (at.neck + 0.005, -0.06), (at.neck + 0.115, -0.02), (at.neck + 0.07, 0.06), (0.0, 0.115)
    for points in both(at, *edge, (0.0, 0.05)):
        folds.polygon(smooth(points, 2))
    art.layer("garment", folds, lighter(cloth, 0.14), darker(cloth, 0.3), at.collar - 0.05, 0.85)
    pocket = art.shape()
    for points in both(at, (0.0, 0.19), (0.115, 0.19), (0.17, 0.29), (0.17, 0.6), (0.0, 0.6)):
        pocket.polygon(points)
    art.layer("garment", pocket, darker(cloth, 0.3), darker(cloth, 0.44), at.collar + 0.19, 1.05)
    cords = art.shape()
    for points in both(at, (0.052, 0.07), (0.06, 0.2)):
        cords.stroke(points, 0.024)
        cords.ellipse(*points[1], 0.02, 0.026)
    art.layer("garment", cords, (86, 92, 112) if min(cloth) > 200 else SHIRT)


def jacket(art: Painting, cloth: Color, at: Pose, body: Shape) -> None:
    """Shiny leather over a black shirt: wide lapels with studs, a slanting zip."""
    shine = art.shape()
    for points in both(at, (at.shoulder - 0.13, 0.06), (at.shoulder - 0.05, 0.125)):
        shine.stroke(points, 0.035)
    for points in both(at, (at.shoulder - 0.11, 0.24), (at.shoulder - 0.1, 0.5)):
        shine.stroke(points, 0.026)
    glint = shine.soften(0.016).within(body).opacity(0.85)
    art.layer("garment", glint, lighter(cloth, 0.7))
    shirt = [(at.x - 0.1, at.collar - 0.03), (at.x + 0.1, at.collar - 0.03), (at.x, 0.92)]
    art.layer("garment", art.shape().polygon(shirt).within(body), (36, 36, 44))
    zips = art.shape().line([(at.x, at.collar + 0.19), (at.x - 0.05, 1.05)], 0.032)
    art.layer("garment", zips, STEEL)
    lapels, studs = art.shape(), art.shape()
    edge = (0.08, -0.04), (0.15, -0.01), (0.215, 0.115), (0.15, 0.135), (0.03, 0.23), (0.02, 0.16)
    for points in both(at, *edge):
        lapels.polygon(points)
    lapels.within(body)
    art.layer("garment", lapels, darker(cloth, 0.46), darker(cloth, 0.62), at.collar, 0.9)
    for points in both(at, (0.135, 0.04), (0.165, 0.1), (0.1, 0.135)):
        for x, y in points:
            studs.ellipse(x, y, 0.017, 0.017)
    art.layer("garment", studs, STEEL)


def raincoat(art: Painting, cloth: Color, at: Pose, body: Shape) -> None:
    """Glossy: a round collar, a cape over the shoulders and big buttons down the front."""
    dark = darker(cloth, 0.3)
    cape = art.shape().ellipse(at.x, at.collar - 0.03, at.shoulder + 0.06, 0.24)
    art.layer("garment", cape.within(body), dark)
    upper = art.shape().ellipse(at.x, at.collar - 0.045, at.shoulder + 0.06, 0.228)
    art.layer(
        "garment", upper.within(body), lighter(cloth, 0.16), cloth, at.collar, at.collar + 0.2
    )
    gloss = art.shape()
    for points in both(at, (0.15, 0.065), (at.shoulder - 0.09, 0.11)):
        gloss.stroke(points, 0.03)
    for points in both(at, (at.shoulder - 0.11, 0.26), (at.shoulder - 0.1, 0.5)):
        gloss.stroke(points, 0.026)
    art.layer("garment", gloss.soften(0.012).within(body).opacity(0.9), lighter(cloth, 0.72))
    placket = art.shape().line([(at.x, at.collar), (at.x, 1.1)], 0.1)
    art.layer("garment", placket, dark)
    art.layer(
        "garment", art.shape().line([(at.x, at.collar), (at.x, 1.1)], 0.07), lighter(cloth, 0.05)
    )
    edge = (0.006, 0.02), (at.neck - 0.01, -0.06), (at.neck + 0.06, -0.03), (0.165, 0.06)
    collar, rim = art.shape(), art.shape()
    for points in both(at, *edge, (0.075, 0.12)):
        collar.polygon(points)
        rim.stroke([*points[2:], points[0]], 0.018)
    art.layer("garment", rim.soften(0.006), dark)
    art.layer("garment", collar, lighter(cloth, 0.34), cloth, at.collar - 0.05, at.collar + 0.12)
    buttons = art.shape()
    for y in (0.135, 0.215, 0.295):
        buttons.ellipse(at.x, at.collar + y, 0.024, 0.024)
    art.layer("garment", buttons, (52, 46, 60))
