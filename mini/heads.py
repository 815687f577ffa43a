"""The head of a portrait: its pose, skin and face, make-up, beard and eyewear."""

from dataclasses import dataclass

import numpy as np

from .drawing import Color, Painting, Point, blend, darker, lighter, smooth, stream

SKINS: dict[str, Color] = {
    "fair": (253, 228, 210),
    "light": (236, 182, 138),
    "tan": (192, 130, 82),
    "brown": (146, 92, 58),
    "dark": (96, 60, 44),
}
LIPS: dict[str, Color | None] = {
    "natural": None,
    "red": (214, 16, 36),
    "pink": (255, 72, 178),
    "purple": (132, 30, 172),
}
EYE_SHADOWS: dict[str, Color | None] = {
    "none": None,
    "blue": (36, 110, 240),
    "green": (24, 168, 88),
    "purple": (158, 48, 206),
}
EYE_COLORS: tuple[Color, ...] = ((88, 56, 36), (52, 104, 160), (62, 124, 78))
INK: Color = (40, 30, 34)
BEARD: Color = (34, 22, 20)


@dataclass(frozen=True)
class Pose:
    """Where the parts lie, as fractions of the side: all of it follows from the seed."""

    x: float  # the middle of the head
    y: float
    rx: float  # half the face's width
    ry: float
    chin: float  # the chin's width as a share of the face's
    gap: float  # from the middle of the face to an eye
    shoulder: float  # half the shoulders' width
    neck: float  # half the neck's width
    collar: float  # the height of the neck's foot


def pose(seed: int) -> Pose:
    rng = stream(seed, "pose")
    y, rx, ry = rng.uniform(0.41, 0.43), rng.uniform(0.17, 0.195), rng.uniform(0.21, 0.235)
    return Pose(
        x=rng.uniform(0.475, 0.525),
        y=y,
        rx=rx,
        ry=ry,
        chin=rng.uniform(0.58, 0.76),
        gap=rx * rng.uniform(0.46, 0.5),
        shoulder=rng.uniform(0.35, 0.4),
        neck=rng.uniform(0.07, 0.08),
        collar=y + ry + rng.uniform(0.04, 0.055),
    )


def paint_neck(art: Painting, skin: Color, at: Pose) -> None:
    foot = at.collar + 0.03
    neck = art.shape().polygon(
        [
            (at.x - at.neck, at.y),
            (at.x + at.neck, at.y),
            (at.x + at.neck, foot),
            (at.x - at.neck, foot),
        ]
    )
    art.layer("skin", neck, darker(skin, 0.26), darker(skin, 0.12), at.collar - 0.06, at.collar)


def face_outline(at: Pose) -> list[Point]:
    return smooth(
        [
            (at.x - at.rx * 0.95, at.y - at.ry),
            (at.x + at.rx * 0.95, at.y - at.ry),
            (at.x + at.rx * 1.12, at.y + at.ry * 0.1),
            (at.x + at.rx * at.chin, at.y + at.ry * 1.04),
            (at.x - at.rx * at.chin, at.y + at.ry * 1.04),
            (at.x - at.rx * 1.12, at.y + at.ry * 0.1),
        ]
    )


def paint_head(art: Painting, seed: int, skin: Color, at: Pose) -> None:
    """The skin of the head and what make-up and beard lie on: ears, cheeks, nose."""
    ears = art.shape()
    for side in (-1, 1):
        ears.ellipse(at.x + side * at.rx * 1.03, at.y + 0.025, 0.027, 0.042)
    art.layer("skin", ears, darker(skin, 0.12))
    jewels = stream(seed, "earrings")
    if jewels.random() < 0.35:
        rings = art.shape()
        for side in (-1, 1):
            rings.ellipse(at.x + side * (at.rx * 1.05 + 0.004), at.y + 0.078, 0.015, 0.017)
        art.layer("face", rings, ((248, 206, 84), (236, 240, 246))[jewels.integers(2)])
    face = art.shape().polygon(face_outline(at))
    art.layer("skin face", face, lighter(skin, 0.14), darker(skin, 0.08), at.y, at.y + at.ry)

    blush = stream(seed, "blush").uniform(0.15, 0.6)
    cheeks = art.shape()
    for side in (-1, 1):
        cheeks.ellipse(at.x + side * at.rx * 0.62, at.y + at.ry * 0.42, 0.038, 0.028)
    art.layer("skin face", cheeks.opacity(blush), blend(skin, (232, 84, 92), 0.6))
    nose = [(at.x - 0.006, at.y + 0.035), (at.x + 0.016, at.y + 0.08), (at.x - 0.012, at.y + 0.086)]
    art.layer("skin face", art.shape().line(nose, 0.011), darker(skin, 0.25))


def paint_beard(art: Painting, beard: str, at: Pose) -> None:
    """Under the mouth, so that the lips show."""
    if beard == "none":
        return
    lip = at.y + at.ry * 0.5
    whiskers = art.shape().polygon(
        smooth(
            [
                (at.x, lip - 0.03),
                (at.x + 0.06, lip - 0.016),
                (at.x + 0.125, lip + 0.052),
                (at.x + 0.06, lip + 0.034),
                (at.x, lip + 0.014),
                (at.x - 0.06, lip + 0.034),
                (at.x - 0.125, lip + 0.052),
                (at.x - 0.06, lip - 0.016),
            ],
            2,
        )
    )
    if beard == "beard":
        jaw, low = at.rx * 1.1, at.y + at.ry * 1.22
        half = smooth(
            [
                (at.x - jaw, at.y + 0.05),
                (at.x - jaw * 0.8, at.y + 0.07),
                (at.x - jaw * 0.62, lip + 0.01),
                (at.x, lip - 0.005),
                (at.x + jaw * 0.62, lip + 0.01),
                (at.x + jaw * 0.8, at.y + 0.07),
                (at.x + jaw, at.y + 0.05),
                (at.x + jaw * 1.0, at.y + at.ry * 0.7),
                (at.x + at.rx * at.chin, low),
                (at.x - at.rx * at.chin, low),
                (at.x - jaw * 1.0, at.y + at.ry * 0.7),
            ],
            2,
        )
        whiskers.polygon(half)
    art.layer("beard", whiskers, lighter(BEARD, 0.05), BEARD, lip, at.y + at.ry * 1.2)


def paint_eyes(art: Painting, seed: int, skin: Color, eye_shadow: str, at: Pose) -> None:
    look = stream(seed, "look")
    eye_color = EYE_COLORS[look.integers(len(EYE_COLORS))]
    height = look.uniform(0.03, 0.035)
    lift, tilt = look.uniform(0.082, 0.09), look.uniform(-0.008, 0.01)
    y = at.y + 0.022
    lids, whites, irises, pupils = (art.shape() for _ in range(4))
    brows, lashes, sparks = art.shape(), art.shape(), art.shape()
    for side in (-1, 1):
        x = at.x + side * at.gap
        lids.ellipse(x + side * 0.005, y - 0.014, 0.058, 0.052)
        whites.ellipse(x, y, 0.041, height)
        irises.ellipse(x, y, 0.024, 0.028)
        pupils.ellipse(x, y, 0.012, 0.014)
        sparks.ellipse(x + 0.008, y - 0.01, 0.006, 0.006)
        arc = np.linspace(-1, 1, 7)
        lashes.line([(x + 0.043 * u, y - height * (1 - u * u) ** 0.5) for u in arc], 0.011)
        brow = [
            (x - side * 0.042, y - lift + tilt),
            (x, y - lift - 0.01),
            (x + side * 0.046, y - lift + 0.006),
        ]
        brows.line(brow, 0.015)
    shadow = EYE_SHADOWS[eye_shadow]
    if shadow:
        below = art.shape().polygon([(0, y + 0.008), (1, y + 0.008), (1, 1), (0, 1)])
        art.layer("makeup", lids.cut(below), shadow)
    art.layer("face", whites, (250, 248, 246))
    art.layer("face", irises.within(whites), eye_color)
    art.layer("face", pupils, INK)
    art.layer("face", sparks, (255, 255, 255))
    art.layer("face", lashes, INK)
    art.layer("skin face", brows, blend(INK, skin, 0.15))


def paint_mouth(art: Painting, seed: int, skin: Color, lips: str, at: Pose) -> None:
    rng = stream(seed, "mouth")
    y, half = at.y + at.ry * 0.64, rng.uniform(0.08, 0.09)
    smile, is_open = rng.uniform(0.0, 0.014), rng.random() < 0.45
    top, low = 0.028, 0.046 + 0.012 * is_open
    across = np.linspace(-1, 1, 17)
    # The corners rise with the smile; the upper lip dips in its middle.
    corner = smile * (across**2 - 0.5)
    bow = top * (1 - across**2) * (1 - 0.4 * np.exp(-((across / 0.18) ** 2)))
    upper = np.stack([at.x + half * across, y - corner - bow], 1)
    lower = np.stack([at.x + half * across, y - corner + low * (1 - across**2)], 1)
    outline = [(float(u), float(v)) for u, v in [*upper, *lower[::-1]]]
    color = LIPS[lips]
    # Bare lips take after the skin.
    names, color = ("makeup", color) if color else ("makeup skin", blend(skin, (166, 72, 66), 0.45))
    art.layer(names, art.shape().polygon(outline), color, darker(color, 0.12), y - top, y + low)
    inner = [(at.x + half * 0.86 * u, y - smile * (u * u - 0.5) + 0.002) for u in across]
    if is_open:
        teeth = [
            (at.x + half * 0.74 * u, y - smile * (u * u - 0.5) + 0.02 * (1 - u * u)) for u in across
        ]
        art.layer("face", art.shape().polygon([*inner, *teeth[::-1]]), (252, 250, 248))
    else:
        seam = art.shape().line(inner, 0.007)
        art.layer(names, seam, darker(color, 0.45))


# One lens around its middle, in halves of its size.
LENS: tuple[Point, ...] = (
    (-0.8, -1.05),
    (0.8, -1.05),
    (1.12, -0.6),
    (1.1, 0.5),
    (0.65, 1.1),
    (-0.65, 1.1),
    (-1.1, 0.5),
    (-1.12, -0.6),
)


def paint_eyewear(art: Painting, eyewear: str, at: Pose) -> None:
    if eyewear == "none":
        return
    y, rx, ry = at.y + 0.024, 0.08, 0.066
    gap = max(at.gap, rx + 0.008)
    frame, holes, shine = (art.shape() for _ in range(3))
    for side in (-1, 1):
        x = at.x + side * gap
        hinge, ear = (x + side * rx * 0.9, y - 0.014), (at.x + side * at.rx * 1.06, y - 0.02)
        frame.polygon(smooth([(x + u * rx, y + v * ry) for u, v in LENS])).line([hinge, ear], 0.017)
        holes.polygon(smooth([(x + u * rx * 0.78, y + v * ry * 0.75) for u, v in LENS]))
        shine.line([(x - 0.036, y + 0.014), (x + 0.004, y - 0.034)], 0.014)
    frame.line([(at.x - gap + rx * 0.9, y - 0.018), (at.x + gap - rx * 0.9, y - 0.018)], 0.02)
    if eyewear == "sunglasses":
        art.layer("eyewear", frame, (12, 12, 18), (56, 58, 76), y - ry, y + ry)
        art.layer("eyewear", shine.opacity(0.6), (220, 230, 244))
    else:
        art.layer("eyewear", frame.cut(holes), (24, 20, 28))
        art.layer("eyewear", holes.opacity(0.16), (226, 242, 255))
        art.layer("eyewear", shine.within(holes).opacity(0.6), (255, 255, 255))
