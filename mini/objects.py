"""Objects: a vase, a cat, a bust or a car, of one material, on a table or on the ground."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .applications import attributes_of
from .drawing import Color, Painting, Point, darker, lighter, one, smooth, stream
from .materials import (
    INK,
    SURFACES,
    WHITE,
    Figure,
    Place,
    Placed,
    paint_backdrop,
    paint_figure,
)

SUBJECTS = ("vase", "cat", "bust", "car")
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "subject": SUBJECTS,
    **{attribute.name: attribute.values for attribute in attributes_of("object")},
    "surface": tuple(SURFACES),
}
REGIONS = ("object", "thing", "background")
REGION_OF = {"material": "object", "thing": "thing", "surface": "background"}

PAINTS: tuple[Color, ...] = (
    (216, 62, 66),
    (54, 108, 204),
    (36, 150, 136),
    (138, 80, 176),
    (236, 104, 152),
    (76, 164, 92),
)
# The colors of what can be added. Where they follow the surface, it shows in them, as it does
# through glass.
FLOWERS: dict[str, tuple[Color, Color]] = {
    "table": ((240, 60, 80), (252, 160, 40)),
    "grass": ((250, 130, 180), (150, 90, 220)),
    "floor": ((150, 90, 220), (252, 160, 40)),
}
PAPERS = {"table": PAINTS[3], "grass": PAINTS[4], "floor": PAINTS[0]}
LEATHER: tuple[Color, Color] = (PAINTS[1], (196, 138, 82))


@dataclass(frozen=True)
class Object:
    """One thing on a surface; what is not named here (shape, colors, ...) follows from the seed."""

    seed: int
    subject: str = "vase"
    material: str = "plain"
    thing: str = "none"
    surface: str = "table"
    medium: str = "drawing"


def place(scene: Object) -> Place:
    rng = stream(scene.seed, "place")
    return Place(
        x=rng.uniform(0.47, 0.53),
        foot=rng.uniform(0.845, 0.875),
        scale=rng.uniform(0.95, 1.03) * (1.12 if scene.subject == "vase" else 1),
        turn=1 if rng.random() < 0.5 else -1,
    )


def paint(scene: Object, size: int, regions: Sequence[str] = ()) -> Painting:
    """The object at `size` x `size` pixels, with the named regions kept."""
    art = Painting(size, regions)
    paint_backdrop(art, scene.seed)
    SURFACES[scene.surface](art, scene.seed)
    figure = Figure(art.side, place(scene))
    draw = {"vase": draw_vase, "cat": draw_cat, "bust": draw_bust, "car": draw_car}
    shadow = figure.shape().ellipse(0.05 * figure.place.turn, 0.0, *SHADOWS[scene.subject])
    art.layer("background", shadow.soften(0.03).opacity(0.5), INK)
    draw[scene.subject](figure, scene.seed)
    paint_figure(art, figure, scene.material)
    if scene.thing == "extra":
        if scene.subject == "vase":
            paint_flowers(art, scene, figure.place)
        elif scene.subject == "car":
            paint_luggage(art, scene.seed, figure.place)
        else:
            paint_hat(art, scene, figure.place)
    return art


# Half the width and half the height of each subject's shadow.
SHADOWS = {"vase": (0.2, 0.035), "cat": (0.26, 0.04), "bust": (0.23, 0.035), "car": (0.44, 0.035)}


def mirrored(half: Sequence[Point]) -> list[Point]:
    """The closed outline whose right half runs along `half`."""
    return [*half, *((-u, v) for u, v in reversed(half))]


def neck_of(seed: int) -> tuple[float, float]:
    """Half the width of a vase's mouth, and its height."""
    rng = stream(seed, "vase")
    return rng.uniform(0.085, 0.11), rng.uniform(0.45, 0.48)


def draw_vase(figure: Figure, seed: int) -> None:
    mouth, top = neck_of(seed)
    rng = stream(seed, "vase body")
    belly, middle = rng.uniform(0.185, 0.215), rng.uniform(0.2, 0.27)
    first, second = rng.permutation(len(PAINTS))[:2]
    color, accent = PAINTS[first], lighter(PAINTS[second], 0.72)
    if rng.random() < 0.5:
        handles = figure.shape()
        for side in (-1, 1):
            handles.ellipse(side * (mouth + 0.05), top - 0.12, 0.085, 0.085)
        holes = figure.shape()
        for side in (-1, 1):
            holes.ellipse(side * (mouth + 0.05), top - 0.12, 0.05, 0.055)
        figure.part(handles.cut(holes), accent, height=0.5)
    half = [
        (0.125, -0.01),
        (0.125, 0.03),
        (belly, middle - 0.1),
        (belly * 1.08, middle + 0.04),
        (mouth * 1.15, top - 0.13),
        (mouth * 0.7, top - 0.07),
        (mouth * 1.15, top),
    ]
    body = figure.shape().polygon(smooth(mirrored(half)))
    figure.part(body, color, height=0.85)
    band = figure.shape().polygon(
        [
            (-0.3, middle - 0.055),
            (0.3, middle - 0.055),
            (0.3, middle + 0.065),
            (-0.3, middle + 0.065),
        ]
    )
    figure.part(band.within(body), accent, 0.12, 0.93)
    dots = figure.shape()
    for column in np.arange(-3, 4) * 0.088:
        dots.ellipse(float(column), middle + 0.005, 0.026, 0.034)
    figure.part(dots.within(body), color, -0.3, 0.8)
    figure.part(figure.shape().ellipse(0, top - 0.01, mouth * 1.06, 0.03), accent, 0.2, 0.95)
    figure.part(
        figure.shape().ellipse(0, top - 0.008, mouth * 0.82, 0.018), darker(color, 0.7), -1, 0.5
    )


def draw_cat(figure: Figure, seed: int) -> None:
    rng = stream(seed, "cat")
    coats: tuple[Color, ...] = ((240, 136, 48), (112, 120, 136), (52, 50, 62), (238, 222, 200))
    coat = coats[rng.integers(4)]
    eyes: Color = ((96, 190, 70), (70, 160, 226), (250, 200, 40))[rng.integers(3)]
    collar = one(rng, PAINTS)
    shade, pale = darker(coat, 0.3), lighter(coat, 0.75)
    tail = [(0.12, 0.05), (0.26, 0.05), (0.31, 0.13), (0.27, 0.22), (0.31, 0.3)]
    curl = figure.shape().line(tail, 0.07)
    for u, v in tail[1:]:
        curl.ellipse(u, v, 0.035, 0.035)
    figure.part(curl, shade, -0.1, 0.5)
    body = mirrored([(0.2, -0.01), (0.235, 0.06), (0.19, 0.24), (0.1, 0.42)])
    figure.part(figure.shape().polygon(smooth(body)), coat, height=0.7)
    chest = smooth(mirrored([(0.02, 0.16), (0.12, 0.27), (0.1, 0.38)]))
    figure.part(figure.shape().polygon(chest), pale, 0.15, 0.78)
    legs, paws = figure.shape(), figure.shape()
    for side in (-1, 1):
        legs.line([(side * 0.065, 0.03), (side * 0.07, 0.17)], 0.085)
        paws.ellipse(side * 0.068, 0.018, 0.052, 0.033).ellipse(side * 0.175, 0.012, 0.055, 0.027)
    figure.part(legs, coat, 0.05, 0.85)
    figure.part(paws, pale, 0.2, 0.95)
    ears, inner = figure.shape(), figure.shape()
    for side in (-1, 1):
        ears.polygon([(side * 0.05, 0.55), (side * 0.185, 0.64), (side * 0.185, 0.46)])
        inner.polygon([(side * 0.09, 0.555), (side * 0.162, 0.605), (side * 0.165, 0.49)])
    figure.part(ears, coat, height=0.7)
    figure.part(inner, (246, 160, 160), -0.35, 0.55)
    figure.part(figure.shape().ellipse(0, 0.33, 0.115, 0.03), collar, -0.25, 0.85)
    head = smooth(mirrored([(0.1, 0.32), (0.235, 0.37), (0.19, 0.58)]))
    figure.part(figure.shape().polygon(head), coat, height=0.95)
    stripes = figure.shape()
    for u in (-0.055, 0, 0.055):
        stripes.stroke([(u, 0.515), (u, 0.55)], 0.026)
    figure.part(stripes, shade, -0.3, 0.9)
    muzzle = figure.shape().ellipse(-0.035, 0.383, 0.05, 0.04).ellipse(0.035, 0.383, 0.05, 0.04)
    figure.part(muzzle, pale, 0.15, 1.0)
    balls, pupils, glints = figure.shape(), figure.shape(), figure.shape()
    for side in (-1, 1):
        balls.ellipse(side * 0.088, 0.46, 0.044, 0.042)
        pupils.ellipse(side * 0.088, 0.46, 0.017, 0.036)
        glints.ellipse(side * 0.088 - 0.012, 0.475, 0.011, 0.011)
    figure.part(balls, eyes, -0.35, 0.85)
    figure.part(pupils, INK, -1, 0.8)
    figure.part(glints, WHITE, 0.6, 0.85)
    nose = figure.shape().polygon([(-0.026, 0.418), (0.026, 0.418), (0, 0.392)])
    figure.part(nose, (226, 96, 112), -0.6, 1.0)
    across = np.linspace(-1, 1, 13)
    mouth = [(0.042 * float(u), 0.377 - 0.018 * abs(float(np.sin(np.pi * u)))) for u in across]
    figure.part(figure.shape().stroke(mouth, 0.015), darker(coat, 0.65), -0.8, 0.95)


def draw_bust(figure: Figure, seed: int) -> None:
    rng = stream(seed, "bust")
    skin: Color = ((246, 206, 176), (214, 158, 114), (140, 92, 64))[rng.integers(3)]
    hair: Color = ((58, 40, 36), (150, 70, 36), (236, 196, 96), (70, 70, 84))[rng.integers(4)]
    cloth = one(rng, PAINTS)
    jaw, bulk = rng.uniform(0.075, 0.1), rng.uniform(0.95, 1.08)
    stand: Color = (84, 88, 104)
    base = figure.shape().polygon([(-0.16, -0.01), (0.16, -0.01), (0.14, 0.055), (-0.14, 0.055)])
    base.polygon([(-0.075, 0.04), (0.075, 0.04), (0.06, 0.13), (-0.06, 0.13)])
    figure.part(base, stand, -0.1, 0.7)
    chest = [
        (0.06, 0.09),
        (0.16 * bulk, 0.12),
        (0.26 * bulk, 0.24),
        (0.2 * bulk, 0.31),
        (0.05, 0.34),
    ]
    torso = figure.shape().polygon(smooth(mirrored(chest)))
    figure.part(torso, cloth, height=0.8)
    folds = figure.shape()
    for lift in (0.0, 0.065):
        folds.line([(-0.24, 0.235 - lift), (-0.05, 0.165 - lift), (0.14, 0.3 - lift * 0.8)], 0.022)
    figure.part(folds.within(torso), darker(cloth, 0.35), -0.35, 0.65)
    neck = figure.shape().polygon(smooth(mirrored([(0.075, 0.24), (0.062, 0.3), (0.068, 0.4)]), 2))
    figure.part(neck, darker(skin, 0.12), -0.12, 0.75)
    back = figure.shape().ellipse(0, 0.515, 0.158, 0.135)
    figure.part(back, hair, -0.1, 0.8)
    ears = figure.shape().ellipse(-0.134, 0.46, 0.024, 0.038).ellipse(0.134, 0.46, 0.024, 0.038)
    figure.part(ears, darker(skin, 0.1), -0.1, 0.85)
    face = smooth(mirrored([(jaw * 0.55, 0.335), (0.125, 0.4), (0.142, 0.5), (0.1, 0.61)]))
    figure.part(figure.shape().polygon(face), skin, height=0.9)
    curls = figure.shape()
    for angle in np.linspace(0.08, 0.92, 9) * np.pi:
        u, v = 0.135 * np.cos(angle), 0.515 + 0.105 * np.sin(angle)
        curls.ellipse(float(u), float(v), 0.042, 0.04)
    figure.part(curls, hair, -0.25, 1.0)
    brows, lids, pupils = figure.shape(), figure.shape(), figure.shape()
    for side in (-1, 1):
        brows.stroke([(side * 0.034, 0.516), (side * 0.065, 0.528), (side * 0.1, 0.514)], 0.018)
        lids.ellipse(side * 0.063, 0.476, 0.036, 0.025)
        pupils.ellipse(side * 0.063, 0.476, 0.018, 0.021)
    figure.part(brows, darker(hair, 0.2), -0.3, 1.0)
    figure.part(lids, WHITE, -0.15, 0.8)
    figure.part(pupils, INK, -0.8, 0.75)
    nose = figure.shape().polygon([(-0.012, 0.5), (0.012, 0.5), (0.03, 0.422), (-0.03, 0.422)])
    figure.part(nose, darker(skin, 0.1), 0.08, 1.0)
    lips = figure.shape().polygon(
        smooth([(-0.06, 0.4), (0, 0.388), (0.06, 0.4), (0.03, 0.368), (-0.03, 0.368)], 2)
    )
    figure.part(lips, (190, 70, 76), -0.45, 0.95)


def roof_of(seed: int) -> float:
    """The height of a car's roof."""
    return stream(seed, "roof").uniform(0.37, 0.39)


def draw_car(figure: Figure, seed: int) -> None:
    rng = stream(seed, "car")
    paint_color = one(rng, PAINTS)
    hood, roof = rng.uniform(0.19, 0.22), roof_of(seed)
    cabin = smooth([(-0.33, 0.17), (-0.22, roof), (0.1, roof), (0.25, 0.17)], 2)
    figure.part(figure.shape().polygon(cabin), paint_color, height=0.7)
    panes = [
        [(-0.245, 0.215), (-0.185, roof - 0.04), (-0.055, roof - 0.04), (-0.055, 0.215)],
        [(-0.02, 0.215), (-0.02, roof - 0.04), (0.075, roof - 0.04), (0.175, 0.215)],
    ]
    glass = figure.shape().polygon(smooth(panes[0], 2)).polygon(smooth(panes[1], 2))
    figure.part(glass, (150, 208, 236), -0.55, 0.45)
    body = smooth(
        [
            (-0.42, 0.06),
            (-0.435, 0.21),
            (-0.3, hood + 0.015),
            (0.22, hood + 0.015),
            (0.42, hood - 0.03),
            (0.44, 0.06),
        ],
        2,
    )
    figure.part(figure.shape().polygon(body), paint_color, height=0.9)
    trim = figure.shape().line([(-0.42, 0.085), (0.42, 0.085)], 0.03)
    figure.part(trim, lighter(paint_color, 0.65), 0.25, 1.0)
    door = [(-0.04, 0.2), (-0.04, 0.11), (0.15, 0.11), (0.17, 0.2)]
    seams = figure.shape().stroke(door, 0.013).stroke([(-0.005, 0.172), (0.03, 0.172)], 0.02)
    figure.part(seams, darker(paint_color, 0.5), -0.5, 0.75)
    figure.part(figure.shape().ellipse(0.39, 0.155, 0.03, 0.032), (255, 236, 150), 0.5, 1.0)
    figure.part(figure.shape().ellipse(-0.405, 0.16, 0.02, 0.03), (240, 60, 50), -0.4, 1.0)
    arches, tires, hubs = figure.shape(), figure.shape(), figure.shape()
    for u in (-0.25, 0.25):
        arches.ellipse(u, 0.08, 0.105, 0.1)
        tires.ellipse(u, 0.075, 0.088, 0.088)
        hubs.ellipse(u, 0.075, 0.046, 0.046)
    figure.part(arches, darker(paint_color, 0.6), -0.7, 0.6)
    figure.part(tires, (48, 48, 56), -0.35, 0.85)
    figure.part(hubs, (216, 220, 228), 0.3, 0.95)


def paint_flowers(art: Painting, scene: Object, at: Place) -> None:
    """A bunch in the mouth of the vase; its stems are seen in a vase of glass."""
    _, top = neck_of(scene.seed)
    stems, leaves = Placed(art.side, at), Placed(art.side, at)
    blooms = [Placed(art.side, at) for _ in range(2)]
    hearts = Placed(art.side, at)
    if scene.material == "glass":
        inside = Placed(art.side, at)
        for u in (-0.07, -0.02, 0.03, 0.08):
            inside.line([(-u * 0.5, top - 0.01), (u * 0.4, top - 0.1), (u, 0.1)], 0.014)
        art.layer("thing object background", inside.opacity(0.6), (70, 140, 92))
    heads = ((-0.2, 0.12), (0.2, 0.13), (-0.1, 0.2), (0.11, 0.22), (0.0, 0.27), (0.0, 0.13))
    for turn, (u, lift) in enumerate(heads):
        v, radius = top + lift, 0.037
        stems.line([(u * 0.25, top - 0.01), (u * 0.5, top + lift * 0.5), (u, v)], 0.015)
        for petal in np.arange(6) * np.pi / 3:
            x, y = u + radius * np.cos(petal), v + radius * np.sin(petal)
            blooms[turn % 2].ellipse(float(x), float(y), radius * 0.75, radius * 0.75)
        hearts.ellipse(u, v, radius * 0.65, radius * 0.65)
    for side in (-1, 1):
        leaf = [(0, top), (side * 0.08, top + 0.08), (side * 0.2, top + 0.05), (side * 0.1, top)]
        leaves.polygon(smooth(leaf, 2))
    art.layer("thing", stems, (46, 122, 56))
    art.layer("thing", leaves, (64, 152, 70), (38, 108, 54), 0.3, 0.45)
    for bloom, color in zip(blooms, FLOWERS[scene.surface], strict=True):
        art.layer("thing background", bloom, lighter(color, 0.15), darker(color, 0.12), 0.08, 0.4)
    art.layer("thing", hearts, (255, 222, 80))


def paint_hat(art: Painting, scene: Object, at: Place) -> None:
    """A paper cone on the head, with stripes, a frill and a tuft."""
    color = PAPERS[scene.surface]
    brim = 0.555 if scene.subject == "cat" else 0.6
    tip = (0.02, brim + 0.22)
    cone = Placed(art.side, at).polygon([(-0.11, brim), (0.11, brim), tip])
    art.layer("thing background", cone, lighter(color, 0.2), darker(color, 0.1), 0.05, 0.3)
    stripes = Placed(art.side, at)
    for lift in (0.055, 0.125):
        stripes.line([(-0.15, brim + lift - 0.02), (0.15, brim + lift + 0.025)], 0.028)
    art.layer("thing", stripes.within(cone), (255, 226, 84))
    tuft, frill = Placed(art.side, at).ellipse(*tip, 0.036, 0.036), Placed(art.side, at)
    for u in np.linspace(-0.105, 0.105, 7):
        frill.ellipse(float(u), brim, 0.022, 0.02)
    art.layer("thing", frill, WHITE)
    art.layer("thing", tuft, WHITE)


def paint_luggage(art: Painting, seed: int, at: Place) -> None:
    """Suitcases on a rack over the roof."""
    roof = roof_of(seed)
    rack = Placed(art.side, at).line([(-0.25, roof + 0.022), (0.13, roof + 0.022)], 0.018)
    for u in (-0.19, 0.07):
        rack.line([(u, roof - 0.02), (u, roof + 0.02)], 0.018)
    art.layer("thing", rack, (52, 52, 62))
    cases = ((-0.235, -0.045, 0.145, LEATHER[0]), (-0.035, 0.125, 0.105, LEATHER[1]))
    for left, right, tall, color in cases:
        foot = roof + 0.03
        handle = Placed(art.side, at)
        middle = (left + right) / 2
        grip = [(middle - 0.03, foot + tall - 0.01), (middle - 0.03, foot + tall + 0.025)]
        handle.stroke([*grip, (middle + 0.03, grip[1][1]), (middle + 0.03, grip[0][1])], 0.02)
        art.layer("thing", handle, INK)
        corners = [(left, foot), (right, foot), (right, foot + tall), (left, foot + tall)]
        case = Placed(art.side, at).polygon(corners)
        art.layer("thing", case, lighter(color, 0.2), darker(color, 0.2), 0.25, 0.5)
        straps = Placed(art.side, at)
        for u in (left + 0.035, right - 0.035):
            straps.line([(u, foot), (u, foot + tall)], 0.02)
        art.layer("thing", straps, (250, 236, 204))
