"""Portraits: one person from the chest up, drawn from named attributes and a seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .drawing import Color, Painting, Shape, blend, darker, lighter, smooth, stream

HAIR_COLORS: dict[str, Color] = {
    "black": (38, 34, 40),
    "brown": (124, 74, 40),
    "blonde": (240, 208, 112),
    "red": (204, 62, 30),
    "blue": (44, 92, 224),
    "green": (46, 172, 78),
    "pink": (246, 112, 180),
}
HAIR_STYLES = ("short", "bob", "long")
GARMENTS = ("t-shirt", "sweater", "suit", "dress")
GARMENT_COLORS: dict[str, Color] = {
    "red": (206, 40, 48),
    "blue": (40, 84, 200),
    "green": (38, 148, 84),
    "yellow": (246, 200, 44),
    "purple": (128, 54, 168),
    "white": (240, 240, 242),
}
SKINS: dict[str, Color] = {
    "fair": (250, 220, 196),
    "light": (238, 192, 154),
    "tan": (206, 150, 104),
    "brown": (152, 100, 66),
    "dark": (106, 68, 48),
}
# The colors at the top and at the bottom of the picture.
BACKGROUNDS: dict[str, tuple[Color, Color]] = {
    "sand": ((236, 220, 196), (212, 188, 156)),
    "sky": ((190, 220, 240), (226, 238, 244)),
    "mint": ((196, 228, 212), (226, 240, 230)),
    "lilac": ((212, 204, 234), (236, 228, 242)),
    "slate": ((112, 126, 144), (164, 176, 188)),
    "rose": ((240, 206, 204), (248, 230, 222)),
}

INK: Color = (44, 32, 36)
SHIRT: Color = (246, 246, 248)
REGIONS = ("background", "skin", "face", "hair", "garment")


@dataclass(frozen=True)
class Portrait:
    """One person; what is not named here (pose, face, eyes, ...) follows from the seed."""

    seed: int
    hair_style: str = "long"
    hair_color: str = "brown"
    garment: str = "t-shirt"
    garment_color: str = "blue"
    skin: str = "light"
    background: str = "sky"


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "hair_color": tuple(HAIR_COLORS),
    "hair_style": HAIR_STYLES,
    "garment": GARMENTS,
    "garment_color": tuple(GARMENT_COLORS),
    "skin": tuple(SKINS),
    "background": tuple(BACKGROUNDS),
}


@dataclass(frozen=True)
class Pose:
    """Where the parts lie, as fractions of the side: all of it follows from the seed."""

    x: float  # the middle of the head
    y: float
    rx: float  # half the face's width
    ry: float
    shoulder: float  # half the shoulders' width
    neck: float  # half the neck's width
    collar: float  # the height of the neck's foot


def pose(seed: int) -> Pose:
    rng = stream(seed, "pose")
    y, ry = rng.uniform(0.37, 0.40), rng.uniform(0.185, 0.21)
    return Pose(
        x=rng.uniform(0.47, 0.53),
        y=y,
        rx=rng.uniform(0.145, 0.17),
        ry=ry,
        shoulder=rng.uniform(0.33, 0.39),
        neck=rng.uniform(0.062, 0.075),
        collar=y + ry + rng.uniform(0.055, 0.075),
    )


def paint(scene: Portrait, size: int, regions: Sequence[str] = ()) -> Painting:
    """The portrait at `size` x `size` pixels, with the named regions kept."""
    art = Painting(size, regions)
    at = pose(scene.seed)
    top, bottom = BACKGROUNDS[scene.background]
    art.fill("background", top, bottom)
    spot = stream(scene.seed, "spot")
    x, y, radius = spot.uniform(0.1, 0.9), spot.uniform(0.1, 0.5), spot.uniform(0.15, 0.3)
    art.layer("background", art.shape().ellipse(x, y, radius, radius), lighter(top, 0.22))

    paint_back_hair(art, scene, at)
    skin = SKINS[scene.skin]
    art.layer("skin", neck(art, at), darker(skin, 0.22), darker(skin, 0.1), at.y, at.collar)
    paint_garment(art, scene, at)
    paint_head(art, scene, at)
    paint_front_hair(art, scene, at)
    return art


def neck(art: Painting, at: Pose) -> Shape:
    width, foot = at.neck, at.collar + 0.03
    return art.shape().polygon(
        [(at.x - width, at.y), (at.x + width, at.y), (at.x + width, foot), (at.x - width, foot)]
    )


def paint_head(art: Painting, scene: Portrait, at: Pose) -> None:
    skin = SKINS[scene.skin]
    for side in (-1, 1):
        ear = art.shape().ellipse(at.x + side * at.rx, at.y + 0.02, 0.026, 0.04)
        art.layer("skin", ear, darker(skin, 0.1))
    chin = stream(scene.seed, "chin").uniform(0.62, 0.78)
    outline = smooth(
        [
            (at.x - at.rx * 0.95, at.y - at.ry),
            (at.x + at.rx * 0.95, at.y - at.ry),
            (at.x + at.rx * 1.12, at.y + at.ry * 0.1),
            (at.x + at.rx * chin, at.y + at.ry * 1.02),
            (at.x - at.rx * chin, at.y + at.ry * 1.02),
            (at.x - at.rx * 1.12, at.y + at.ry * 0.1),
        ]
    )
    face = art.shape().polygon(outline)
    art.layer("skin face", face, lighter(skin, 0.12), darker(skin, 0.06), at.y, at.y + at.ry)

    look = stream(scene.seed, "look")
    eye_color = [(88, 56, 36), (52, 104, 160), (62, 124, 78)][look.integers(3)]
    gap, height = at.rx * look.uniform(0.42, 0.5), look.uniform(0.028, 0.034)
    brow_lift, brow_tilt = look.uniform(0.05, 0.06), look.uniform(-0.008, 0.008)
    for side in (-1, 1):
        x, y = at.x + side * gap, at.y + 0.02
        art.layer("face", art.shape().ellipse(x, y, 0.036, height), (250, 248, 246))
        art.layer("face", art.shape().ellipse(x, y, 0.022, 0.027), eye_color)
        art.layer("face", art.shape().ellipse(x, y, 0.011, 0.013), INK)
        brow = [
            (x - side * 0.038, y - brow_lift + side * brow_tilt),
            (x, y - brow_lift - 0.008),
            (x + side * 0.038, y - brow_lift + 0.004),
        ]
        art.layer("skin face", art.shape().line(brow, 0.013), blend(INK, skin, 0.2))
        cheek = art.shape().ellipse(at.x + side * at.rx * 0.62, at.y + at.ry * 0.42, 0.034, 0.026)
        art.layer("skin face", cheek.opacity(0.35), blend(skin, (226, 92, 92), 0.6))
    nose = [(at.x - 0.006, at.y + 0.04), (at.x + 0.014, at.y + 0.085), (at.x - 0.012, at.y + 0.09)]
    art.layer("skin face", art.shape().line(nose, 0.01), darker(skin, 0.25))
    paint_mouth(art, scene, at)


def paint_mouth(art: Painting, scene: Portrait, at: Pose) -> None:
    rng = stream(scene.seed, "mouth")
    y, width = at.y + at.ry * 0.66, rng.uniform(0.045, 0.06)
    smile = rng.uniform(0.012, 0.03)
    lips = blend(SKINS[scene.skin], (184, 52, 60), 0.7)
    curve = [(at.x + width * u, y + smile * (1 - u * u) - smile / 2) for u in np.linspace(-1, 1, 9)]
    art.layer("skin face", art.shape().line(curve, 0.016), lips)


def torso(art: Painting, at: Pose) -> Shape:
    """The silhouette of the shoulders and chest, the same under every garment."""
    left, right = at.x - at.shoulder, at.x + at.shoulder
    top = at.collar
    curve = smooth(
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
    return art.shape().polygon(curve)


def paint_garment(art: Painting, scene: Portrait, at: Pose) -> None:
    color, skin = GARMENT_COLORS[scene.garment_color], SKINS[scene.skin]
    body, top = torso(art, at), at.collar
    shade = darker(color, 0.22)
    if scene.garment == "t-shirt":
        art.layer("garment", body, color, shade, top, 1.1)
        cut_out = art.shape().ellipse(at.x, top - 0.035, at.neck * 1.6, 0.09).within(body)
        art.layer("garment", cut_out, darker(color, 0.3))
        opening = art.shape().ellipse(at.x, top - 0.045, at.neck * 1.3, 0.08).within(body)
        art.layer("garment skin", opening, darker(skin, 0.08))
        for side in (-1, 1):
            seam = [
                (at.x + side * (at.shoulder - 0.1), top + 0.15),
                (at.x + side * (at.shoulder - 0.08), 1.02),
            ]
            art.layer("garment", art.shape().line(seam, 0.012).within(body), darker(color, 0.35))
    elif scene.garment == "sweater":
        art.layer("garment", body, color, shade, top, 1.1)
        stripe = darker(color, 0.62) if scene.garment_color == "white" else SHIRT
        for y in np.arange(top + 0.075, 1.1, 0.125):
            band = art.shape().line([(-0.1, y), (1.1, y)], 0.05).within(body)
            art.layer("garment", band, stripe)
        collar = art.shape().ellipse(at.x, top - 0.005, at.neck * 1.35, 0.04).within(body)
        art.layer("garment", collar, shade)
    elif scene.garment == "suit":
        paint_suit(art, color, at, body)
    else:
        art.layer("garment skin", body, lighter(skin, 0.05), darker(skin, 0.12), top, 1.1)
        width = at.shoulder * 0.62
        bodice = smooth(
            [
                (at.x - width, top + 0.15),
                (at.x - width * 0.45, top + 0.135),
                (at.x, top + 0.2),
                (at.x + width * 0.45, top + 0.135),
                (at.x + width, top + 0.15),
                (at.x + width * 1.05, 1.3),
                (at.x - width * 1.05, 1.3),
            ],
            2,
        )
        straps = art.shape()
        for side in (-1, 1):
            x = at.x + side * width
            straps.line([(x * 0.97 + at.x * 0.03, top + 0.2), (x, top - 0.02)], 0.045)
        art.layer("garment", straps.within(body), color)
        art.layer("garment", art.shape().polygon(bodice).within(body), color, shade, top, 1.1)


def paint_suit(art: Painting, color: Color, at: Pose, body: Shape) -> None:
    top = at.collar
    art.layer("garment", body, color, darker(color, 0.3), top, 1.1)
    shirt = [(at.x - 0.1, top - 0.03), (at.x + 0.1, top - 0.03), (at.x, 0.98)]
    art.layer("garment", art.shape().polygon(shirt).within(body), SHIRT)
    for side in (-1, 1):
        lapel = [
            (at.x + side * 0.085, top - 0.03),
            (at.x + side * 0.16, top + 0.1),
            (at.x + side * 0.1, top + 0.16),
            (at.x, 1.0),
            (at.x + side * 0.035, 0.85),
        ]
        art.layer("garment", art.shape().polygon(lapel).within(body), darker(color, 0.45))
    tie = [
        (at.x - 0.03, top + 0.005),
        (at.x + 0.03, top + 0.005),
        (at.x + 0.018, top + 0.05),
        (at.x + 0.036, 0.9),
        (at.x, 0.96),
        (at.x - 0.036, 0.9),
        (at.x - 0.018, top + 0.05),
    ]
    art.layer("garment", art.shape().polygon(tie).within(body), (40, 40, 56))


def paint_back_hair(art: Painting, scene: Portrait, at: Pose) -> None:
    """What falls behind the neck and shoulders."""
    if scene.hair_style == "short":
        return
    color = HAIR_COLORS[scene.hair_color]
    width = at.rx + (0.06 if scene.hair_style == "bob" else 0.075)
    foot = at.y + at.ry * 1.02 if scene.hair_style == "bob" else at.collar + 0.16
    crown = at.y - at.ry - 0.085
    outline = smooth(
        [
            (at.x - width * 0.75, crown),
            (at.x + width * 0.75, crown),
            (at.x + width * 1.12, at.y - 0.05),
            (at.x + width * 1.06, foot),
            (at.x - width * 1.06, foot),
            (at.x - width * 1.12, at.y - 0.05),
        ]
    )
    shade = darker(color, 0.34)
    art.layer("hair", art.shape().polygon(outline), color, shade, at.y - 0.05, foot)


def paint_front_hair(art: Painting, scene: Portrait, at: Pose) -> None:
    """The crown and fringe, and for long hair the locks that fall over the shoulders."""
    color = HAIR_COLORS[scene.hair_color]
    rng = stream(scene.seed, "fringe")
    parting, depth = rng.uniform(-0.6, 0.6), rng.uniform(0.3, 0.45)
    crown = at.y - at.ry - (0.06 if scene.hair_style == "short" else 0.085)
    side_foot = at.y + (-0.02 if scene.hair_style == "short" else 0.1)
    outer, brow = at.rx + 0.035, at.y - at.ry * depth
    cap = smooth(
        [
            (at.x - outer * 0.8, crown),
            (at.x + outer * 0.8, crown),
            (at.x + outer * 1.12, at.y - at.ry * 0.5),
            (at.x + outer, side_foot),
            (at.x + at.rx * 0.95, side_foot - 0.02),
            (at.x + at.rx * 0.8, brow),
            (at.x + at.rx * parting, brow - 0.06),
            (at.x - at.rx * 0.8, brow),
            (at.x - at.rx * 0.95, side_foot - 0.02),
            (at.x - outer, side_foot),
            (at.x - outer * 1.12, at.y - at.ry * 0.5),
        ]
    )
    shape = art.shape().polygon(cap)
    if scene.hair_style == "long":
        for side in (-1, 1):
            x, foot = at.x + side * (at.rx + 0.05), at.collar + 0.17
            lock = [
                (x - side * 0.045, at.y),
                (x + side * 0.035, at.y - 0.04),
                (x + side * 0.045, foot - 0.02),
                (x - side * 0.005, foot + 0.04),
                (x - side * 0.05, foot - 0.03),
            ]
            shape.polygon(smooth(lock))
    art.layer("hair", shape, lighter(color, 0.1), darker(color, 0.14), crown, at.collar + 0.1)
    shine = [(at.x + at.rx * u, crown + 0.065 + 0.035 * u * u) for u in np.linspace(-0.55, 0.35, 7)]
    gloss = art.shape().line(shine, 0.022).opacity(0.45)
    art.layer("hair", gloss.within(shape), lighter(color, 0.4))
