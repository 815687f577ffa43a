"""The head of a portrait: its pose, skin and face, make-up, beard and eyewear."""

from dataclasses import dataclass

import numpy as np

from .drawing import Color, Painting, Point, blend, darker, lighter, smooth, stream

SKINS: dict[str, Color] = {
    "fair": (252, 226, 208),
    "light": (240, 194, 158),
    "tan": (208, 150, 106),
    "brown": (156, 104, 74),
    "dark": (108, 70, 54),
}
LIPS: dict[str, Color | None] = {
    "natural": None,
    "red": (206, 24, 44),
    "pink": (246, 84, 168),
    "purple": (128, 40, 160),
}
EYE_SHADOWS: dict[str, Color | None] = {
    "none": None,
    "blue": (44, 112, 226),
    "green": (30, 156, 96),
    "purple": (146, 56, 190),
}
EYE_COLORS: tuple[Color, ...] = ((104, 66, 40), (58, 112, 172), (72, 132, 92))
INK: Color = (44, 32, 36)
BEARD: Color = (40, 27, 26)
EYE_WHITE: Color = (252, 250, 246)


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
    y, rx, ry = rng.uniform(0.41, 0.43), rng.uniform(0.178, 0.198), rng.uniform(0.212, 0.232)
    return Pose(
        x=rng.uniform(0.475, 0.525),
        y=y,
        rx=rx,
        ry=ry,
        chin=rng.uniform(0.58, 0.76),
        gap=rx * rng.uniform(0.46, 0.5),
        shoulder=rng.uniform(0.345, 0.385),
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
    art.layer("skin", neck, darker(skin, 0.3), darker(skin, 0.1), at.collar - 0.07, at.collar)


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
    """The skin of the head and what make-up and beard lie on: ears, cheeks, nose.

    The light comes from the upper left.
    """
    ears = art.shape()
    for side in (-1, 1):
        ears.ellipse(at.x + side * at.rx * 1.02, at.y + 0.03, 0.03, 0.046)
    art.layer("skin", ears, blend(darker(skin, 0.1), (214, 96, 84), 0.12))
    jewels = stream(seed, "earrings")
    if jewels.random() < 0.35:
        rings = art.shape()
        for side in (-1, 1):
            rings.ellipse(at.x + side * (at.rx * 1.05 + 0.004), at.y + 0.086, 0.02, 0.02)
        art.layer("face", rings, ((246, 202, 88), (238, 242, 248))[jewels.integers(2)])
    face = art.shape().polygon(face_outline(at))
    art.layer("skin face", face, lighter(skin, 0.1), darker(skin, 0.03), at.y, at.y + at.ry)
    shade = blend(darker(skin, 0.3), (150, 52, 40), 0.18)
    lit = art.shape().ellipse(at.x - at.rx * 0.34, at.y - at.ry * 0.16, at.rx * 1.22, at.ry * 1.16)
    shadow = art.shape().polygon(face_outline(at)).cut(lit).soften(0.035)
    art.layer("skin face", shadow.within(face).opacity(0.7), shade)
    glow = lighter(skin, 0.5)
    art.glow("skin face", at.x - at.rx * 0.3, at.y - at.ry * 0.4, 0.13, 0.11, glow, 0.5, face)

    blush = stream(seed, "blush").uniform(0.2, 0.55)
    for side in (-1, 1):
        x, y = at.x + side * at.rx * 0.62, at.y + at.ry * 0.44
        art.glow("skin face", x, y, 0.075, 0.055, blend(skin, (230, 84, 84), 0.7), blush, face)
    foot = at.y + 0.098
    under = art.shape().ellipse(at.x + 0.004, foot, 0.034, 0.02).soften(0.01)
    art.layer("skin face", under.opacity(0.8), shade)
    side_of_nose = [(at.x + 0.014, at.y + 0.02), (at.x + 0.022, foot - 0.02)]
    ridge = art.shape().stroke(side_of_nose, 0.014).soften(0.01)
    art.layer("skin face", ridge.opacity(0.6), shade)
    tip = art.shape().ellipse(at.x, foot - 0.014, 0.03, 0.022).soften(0.008)
    art.layer("skin face", tip, lighter(skin, 0.12))


def paint_beard(art: Painting, beard: str, at: Pose) -> None:
    """Under the mouth, so that the lips show."""
    if beard == "none":
        return
    lip = at.y + at.ry * 0.5
    whiskers = art.shape().polygon(
        smooth(
            [
                (at.x, lip - 0.034),
                (at.x + 0.065, lip - 0.022),
                (at.x + 0.125, lip + 0.052),
                (at.x + 0.06, lip + 0.034),
                (at.x, lip + 0.014),
                (at.x - 0.06, lip + 0.034),
                (at.x - 0.125, lip + 0.052),
                (at.x - 0.065, lip - 0.022),
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
    art.layer("beard", whiskers, lighter(BEARD, 0.06), BEARD, lip, at.y + at.ry * 1.2)


def paint_eyes(art: Painting, seed: int, skin: Color, eye_shadow: str, at: Pose) -> None:
    look = stream(seed, "look")
    eye_color = EYE_COLORS[look.integers(len(EYE_COLORS))]
    height = look.uniform(0.034, 0.039)
    lift, tilt = look.uniform(0.086, 0.094), look.uniform(-0.008, 0.01)
    y = at.y + 0.02
    lids, whites, irises, pupils = (art.shape() for _ in range(4))
    brows, lashes, sparks = art.shape(), art.shape(), art.shape()
    for side in (-1, 1):
        x = at.x + side * at.gap
        lids.ellipse(x + side * 0.004, y - 0.018, 0.062, 0.056)
        whites.ellipse(x, y, 0.046, height)
        irises.ellipse(x, y + 0.002, 0.031, 0.033)
        pupils.ellipse(x, y + 0.002, 0.016, 0.017)
        sparks.ellipse(x - 0.012, y - 0.012, 0.01, 0.01)
        arc = np.linspace(-1, 1, 25)
        lashes.stroke([(x + 0.047 * u, y - height * (1 - u * u) ** 0.5) for u in arc], 0.014)
        brow = [
            (x - side * 0.04, y - lift + tilt),
            (x, y - lift - 0.012),
            (x + side * 0.046, y - lift + 0.006),
        ]
        brows.stroke(smooth_path(brow), 0.022)
    shadow = EYE_SHADOWS[eye_shadow]
    if shadow:
        below = art.shape().polygon([(0, y + 0.008), (1, y + 0.008), (1, 1), (0, 1)])
        art.layer("makeup", lids.cut(below), shadow)
    art.layer("face", whites, (226, 222, 222), EYE_WHITE, y - height, y)
    art.layer(
        "face",
        irises.within(whites),
        darker(eye_color, 0.3),
        lighter(eye_color, 0.18),
        y - 0.03,
        y + 0.03,
    )
    art.layer("face", pupils, INK)
    art.layer("face", sparks, (255, 255, 255))
    art.layer("face", lashes, INK)
    art.layer("skin face", brows, blend(INK, skin, 0.18))


def smooth_path(points: list[Point]) -> list[Point]:
    """A bend through three points: a parabola."""
    (x0, y0), (x1, y1), (x2, y2) = points
    cx, cy = 2 * x1 - (x0 + x2) / 2, 2 * y1 - (y0 + y2) / 2
    return [
        (
            float((1 - t) ** 2 * x0 + 2 * t * (1 - t) * cx + t * t * x2),
            float((1 - t) ** 2 * y0 + 2 * t * (1 - t) * cy + t * t * y2),
        )
        for t in np.linspace(0, 1, 21)
    ]


def paint_mouth(art: Painting, seed: int, skin: Color, lips: str, at: Pose) -> None:
    rng = stream(seed, "mouth")
    y, half = at.y + at.ry * 0.64, rng.uniform(0.074, 0.084)
    smile, is_open = rng.uniform(0.004, 0.018), rng.random() < 0.45
    top, low = 0.029, 0.044 + 0.014 * is_open
    across = np.linspace(-1, 1, 25)
    # The corners rise with the smile; the upper lip dips in its middle.
    corner = smile * (across**2 - 0.5)
    bow = top * (1 - across**2) * (1 - 0.4 * np.exp(-((across / 0.22) ** 2)))
    upper = np.stack([at.x + half * across, y - corner - bow], 1)
    lower = np.stack([at.x + half * across, y - corner + low * (1 - across**2)], 1)
    outline = [(float(u), float(v)) for u, v in [*upper, *lower[::-1]]]
    color = LIPS[lips]
    # Bare lips take after the skin.
    names, color = ("makeup", color) if color else ("makeup skin", blend(skin, (178, 70, 74), 0.5))
    art.layer(
        names, art.shape().polygon(outline), darker(color, 0.1), color, y - top, y + 0.4 * low
    )
    line = y - corner
    if is_open:
        inner = np.stack([at.x + half * 0.78 * across, y - smile * (across**2 - 0.5)], 1)
        edge = np.stack([inner[:, 0], inner[:, 1] + 0.027 * (1 - across**2)], 1)
        teeth = [(float(u), float(v)) for u, v in [*inner, *edge[::-1]]]
        art.layer("face", art.shape().polygon(teeth), (252, 250, 248))
    else:
        seam = zip((at.x + half * 0.9 * across).tolist(), (line + 0.002).tolist(), strict=True)
        art.layer(names, art.shape().stroke(seam, 0.011), darker(color, 0.45))
        shine = (
            art.shape()
            .ellipse(at.x - 0.012, y + 0.5 * low + 0.5 * smile, 0.024, 0.009)
            .soften(0.006)
        )
        art.layer(names, shine.opacity(0.45), lighter(color, 0.6))


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
    y, rx, ry = at.y + 0.024, 0.084, 0.072
    gap = max(at.gap, rx + 0.012)
    frame, holes, shine = (art.shape() for _ in range(3))
    for side in (-1, 1):
        x = at.x + side * gap
        hinge, ear = (x + side * rx * 0.9, y - 0.016), (at.x + side * at.rx * 1.05, y - 0.02)
        frame.polygon(smooth([(x + u * rx, y + v * ry) for u, v in LENS])).stroke(
            [hinge, ear], 0.022
        )
        holes.polygon(smooth([(x + u * rx * 0.74, y + v * ry * 0.7) for u, v in LENS]))
        shine.stroke([(x - 0.034, y + 0.012), (x - 0.004, y - 0.026)], 0.018)
    frame.stroke([(at.x - gap + rx * 0.9, y - 0.02), (at.x + gap - rx * 0.9, y - 0.02)], 0.024)
    if eyewear == "sunglasses":
        art.layer("eyewear", frame, (20, 20, 28), (66, 68, 88), y - ry, y + ry)
        art.layer("eyewear", shine.soften(0.004).opacity(0.55), (214, 226, 244))
    else:
        art.layer("eyewear", frame.cut(holes), (38, 30, 36))
        art.layer("eyewear", holes.opacity(0.14), (226, 242, 255))
        art.layer("eyewear", shine.soften(0.004).within(holes).opacity(0.5), (255, 255, 255))
