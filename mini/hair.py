"""The hair of a portrait, and the hats that lie on it."""

import numpy as np

from .drawing import Color, Painting, Point, Shape, darker, lighter, smooth, stream
from .heads import Pose

HAIR_COLORS: dict[str, Color] = {
    "black": (44, 40, 50),
    "brown": (118, 72, 44),
    "blonde": (238, 204, 120),
    "red": (196, 70, 34),
    "blue": (52, 100, 220),
    "green": (52, 168, 92),
    "pink": (244, 124, 178),
}
HAIR_STYLES = ("short", "bob", "long", "curly", "bun", "ponytail", "bald")
HATS = ("none", "hat", "beanie")
# Its middle and its radius.
Ball = tuple[float, float, float]
STRAW: Color = (234, 200, 134)
WOOL: Color = (200, 44, 54)


def brim(at: Pose) -> float:
    """The height down to which a hat covers the head."""
    return at.y - at.ry * 0.5


def tucked(art: Painting, at: Pose) -> Shape:
    """Where no hair shows under a hat: above its brim, and less at the sides."""
    low = brim(at) + 0.25
    above = art.shape().polygon([(-0.1, -0.1), (1.1, -0.1), (1.1, low), (-0.1, low)])
    return above.cut(art.shape().ellipse(at.x, low, at.rx + 0.22, 0.25))


class Hair:
    """Paints the hair of one head: a hat flattens the part of it that it lies on."""

    def __init__(self, art: Painting, seed: int, style: str, color: str, hat: str, at: Pose):
        self.art = art
        self.seed = seed
        self.style = style
        self.color = HAIR_COLORS[color]
        self.covered = hat != "none"
        self.at = at
        self.tucked = tucked(art, at)

    def layer(self, shape: Shape, top: Color, bottom: Color, start: float, end: float) -> None:
        if self.covered:
            self.art.layer("hair", shape.cut(self.tucked), top, bottom, start, end)
            return
        self.art.layer("hair", shape, top, bottom, start, end)
        if "hat" in self.art.regions:
            loose = self.art.shape()
            loose.mask.paste(shape.mask)
            self.art.layer("hair hat", loose.within(self.tucked), top, bottom, start, end)

    def back(self) -> None:
        """What falls behind the neck and shoulders."""
        art, at, color = self.art, self.at, self.color
        shade = darker(color, 0.4)
        crown = at.y - at.ry - 0.06
        if self.style == "curly":
            cloud = art.shape().ellipse(at.x, at.y - 0.02, at.rx + 0.08, at.ry + 0.06)
            balls = [(x, y, r) for x, y, r in self.curls("curls", 13, 0.0, 2 * np.pi)]
            for x, y, radius in balls:
                cloud.ellipse(x, y, radius, radius)
            self.layer(cloud, darker(color, 0.12), shade, at.y - 0.1, at.collar + 0.04)
            self.shine(balls, cloud)
        elif self.style in ("bob", "long"):
            is_long = self.style == "long"
            width = at.rx + (0.07 if is_long else 0.06)
            foot = at.collar + 0.17 if is_long else at.y + at.ry * 1.04
            outline = [
                (at.x - width * 0.75, crown),
                (at.x + width * 0.75, crown),
                (at.x + width * 1.1, at.y - 0.05),
                (at.x + width * 1.06, foot),
                (at.x - width * 1.06, foot),
                (at.x - width * 1.1, at.y - 0.05),
            ]
            back = art.shape().polygon(smooth(outline))
            self.layer(back, darker(color, 0.2), shade, at.y - 0.05, foot)
        elif self.style == "bun":
            y = at.y - at.ry - 0.075
            knot = art.shape().ellipse(at.x, y, 0.085, 0.072)
            self.layer(knot, lighter(color, 0.1), darker(color, 0.3), y - 0.07, y + 0.07)
            if not self.covered:
                fold = [
                    (at.x + 0.05 * np.cos(t), y + 0.012 + 0.04 * np.sin(t))
                    for t in np.linspace(2.8, 6.4, 9)
                ]
                coil = art.shape().stroke(fold, 0.016).soften(0.008)
                art.layer(None, coil.within(knot).opacity(0.8), darker(color, 0.35))

    def tail(self) -> None:
        """The ponytail, over one shoulder and behind the head."""
        if self.style != "ponytail":
            return
        art, at, color = self.art, self.at, self.color
        side = -1 if stream(self.seed, "tail").random() < 0.5 else 1
        edge, foot = at.rx * 1.02, at.collar + 0.2
        outline = smooth(
            [
                (at.x + side * (edge - 0.06), at.y + 0.0),
                (at.x + side * (edge + 0.03), at.y - 0.02),
                (at.x + side * (edge + 0.15), at.y + 0.06),
                (at.x + side * (edge + 0.16), at.y + 0.26),
                (at.x + side * (edge + 0.06), foot),
                (at.x + side * (edge - 0.03), foot - 0.02),
                (at.x + side * (edge + 0.02), foot - 0.14),
                (at.x + side * (edge + 0.01), at.y + 0.12),
            ]
        )
        tail = art.shape().polygon(outline)
        self.layer(tail, lighter(color, 0.14), darker(color, 0.28), at.y, foot)
        for out, low, tone in (
            (0.05, 0.08, darker(color, 0.3)),
            (0.095, 0.04, lighter(color, 0.3)),
        ):
            curve = [
                (at.x + side * (edge + out * 0.6), at.y + 0.07),
                (at.x + side * (edge + out), at.y + 0.17),
                (at.x + side * (edge + out * 0.85), at.y + 0.26),
                (at.x + side * (edge + out * 0.6), foot - low),
            ]
            strand = art.shape().stroke(curve, 0.02).soften(0.01)
            art.layer(None, strand.within(tail).opacity(0.6), tone)
        ties: tuple[Color, ...] = ((250, 214, 96), (240, 240, 246), (228, 76, 120))
        tie = ties[stream(self.seed, "tie").integers(len(ties))]
        band = art.shape().stroke(
            [
                (at.x + side * (edge + 0.012), at.y + 0.055),
                (at.x + side * (edge + 0.085), at.y + 0.005),
            ],
            0.034,
        )
        art.layer("hair", band, tie)

    def front(self) -> None:
        """The crown and fringe, and for long hair the locks that fall over the shoulders."""
        art, at, color, style = self.art, self.at, self.color, self.style
        if style == "bald":
            x, y = at.x - at.rx * 0.35, at.y - at.ry * 0.66
            art.glow("hair skin face", x, y, 0.09, 0.06, (255, 255, 255), 0.6)
            return
        crown = at.y - at.ry - (0.045 if style in ("bun", "ponytail", "short") else 0.075)
        if style == "curly":
            shape = art.shape().ellipse(at.x, at.y - at.ry * 0.98, at.rx * 0.95, 0.06)
            balls = self.fringe_curls()
            for x, y, radius in balls:
                shape.ellipse(x, y, radius, radius)
            self.layer(shape, color, darker(color, 0.22), crown, at.y)
            self.shine(balls, shape)
            return
        shape = art.shape().polygon(self.cap(crown))
        if style in ("long", "bob"):
            drop = at.collar + 0.17 if style == "long" else at.y + at.ry * 0.86
            for side in (-1, 1):
                x = at.x + side * (at.rx + 0.045)
                lock = [
                    (x - side * 0.045, at.y - 0.02),
                    (x + side * 0.03, at.y - 0.05),
                    (x + side * 0.05, drop - 0.02),
                    (x - side * 0.005, drop + 0.04),
                    (x - side * 0.055, drop - 0.02),
                ]
                shape.polygon(smooth(lock))
        self.layer(shape, lighter(color, 0.1), darker(color, 0.26), crown, at.collar + 0.08)
        self.sheen(shape, crown)

    def cap(self, crown: float) -> list[Point]:
        """The outline of the crown and fringe of straight hair, `crown` the height of its top."""
        at, style = self.at, self.style
        rng = stream(self.seed, "fringe")
        parting, depth = rng.uniform(-0.55, 0.55), rng.uniform(0.42, 0.52)
        sleek = style in ("bun", "ponytail")
        side_foot = at.y + {"short": 0.02, "bun": -0.02, "ponytail": 0.0}.get(style, 0.1)
        outer = at.rx + (0.02 if sleek else 0.032)
        hairline = at.y - at.ry * (0.6 if sleek else depth)
        return smooth(
            [
                (at.x - outer * 0.8, crown),
                (at.x + outer * 0.8, crown),
                (at.x + outer * 1.12, at.y - at.ry * 0.5),
                (at.x + outer, side_foot),
                (at.x + at.rx * 0.95, side_foot - 0.02),
                (at.x + at.rx * 0.82, hairline),
                (at.x + at.rx * parting, hairline - (0.02 if sleek else 0.06)),
                (at.x - at.rx * 0.82, hairline),
                (at.x - at.rx * 0.95, side_foot - 0.02),
                (at.x - outer, side_foot),
                (at.x - outer * 1.12, at.y - at.ry * 0.5),
            ]
        )

    def sheen(self, hair: Shape, crown: float) -> None:
        """A band of light over the crown, and shade on the side away from it."""
        art, at, color = self.art, self.at, self.color
        dark = [
            (at.x + (at.rx + 0.03) * u, at.y - 0.5 * at.ry + 0.5 * t)
            for u, t in ((0.96, 0.0), (1.2, 0.15), (1.22, 0.5), (1.22, 0.9))
        ]
        shade = art.shape().stroke(dark, 0.06).soften(0.04)
        art.layer(None, shade.within(hair).opacity(0.6), darker(color, 0.4))
        bend = [
            (at.x + at.rx * u, crown + 0.062 + 0.06 * u * u) for u in np.linspace(-0.75, 0.35, 7)
        ]
        gloss = art.shape().stroke(bend, 0.03).soften(0.018)
        art.layer(None, gloss.within(hair).opacity(0.75), lighter(color, 0.42))

    def curls(self, name: str, count: int, start: float, turn: float) -> list[Ball]:
        """`count` curls around the head, over `turn` from the angle `start`."""
        at, rng = self.at, stream(self.seed, name)
        return [
            (
                at.x + (at.rx + 0.08) * float(np.cos(t)),
                at.y - 0.015 + (at.ry + 0.035) * float(np.sin(t)),
                rng.uniform(0.062, 0.074),
            )
            for t in np.linspace(start, start + turn, count, endpoint=False)
        ]

    def fringe_curls(self) -> list[Ball]:
        at, rng = self.at, stream(self.seed, "front curls")
        return [
            (
                at.x + at.rx * 1.05 * float(u),
                at.y - at.ry * (0.94 - 0.5 * float(u) ** 4) + 0.015,
                rng.uniform(0.056, 0.064),
            )
            for u in np.linspace(-1, 1, 7)
        ]

    def shine(self, balls: list[Ball], curls: Shape) -> None:
        """Light from the upper left on every one of `balls`, which make up `curls`."""
        if self.covered:
            curls = curls.cut(self.tucked)
        for x, y, radius in balls:
            spot = x - radius * 0.22, y - radius * 0.25, radius * 1.0, radius * 1.0
            self.art.glow(None, *spot, lighter(self.color, 0.34), 0.85, curls)


def paint_hat(art: Painting, seed: int, hat: str, at: Pose) -> None:
    line, crown = brim(at), at.y - at.ry - 0.1
    if hat == "hat":
        half = at.rx * 0.98
        dome = [
            (at.x - half * 1.06, line + 0.02),
            (at.x - half * 0.92, crown),
            (at.x - half * 0.3, crown - 0.025),
            (at.x + half * 0.3, crown - 0.025),
            (at.x + half * 0.92, crown),
            (at.x + half * 1.06, line + 0.02),
        ]
        cover = art.shape().polygon(smooth(dome, 2))
        cover.polygon(
            [
                (at.x - half, line - 0.07),
                (at.x + half, line - 0.07),
                (at.x + half * 1.12, line),
                (at.x - half * 1.12, line),
            ]
        )
        shade = darker(STRAW, 0.12)
        art.layer("hat", cover, lighter(STRAW, 0.2), shade, crown, line)
        art.glow("hat", at.x - half * 0.4, crown + 0.05, 0.12, 0.1, lighter(STRAW, 0.6), 0.7, cover)
        band = art.shape().line([(0, line - 0.05), (1, line - 0.05)], 0.052).within(cover)
        ribbons: tuple[Color, ...] = ((180, 40, 52), (36, 64, 128), (60, 48, 44))
        art.layer("hat", band, ribbons[stream(seed, "ribbon").integers(len(ribbons))])
        wide = art.shape().ellipse(at.x, line + 0.01, at.rx + 0.16, 0.052)
        art.layer("hat", wide, lighter(STRAW, 0.25), shade, line - 0.04, line + 0.06)
    elif hat == "beanie":
        half = at.rx + 0.035
        turns = np.linspace(np.pi, 2 * np.pi, 15)
        height = line - crown + 0.005
        dome = [(at.x + half * np.cos(t), line + height * np.sin(t)) for t in turns]
        knit = art.shape().polygon(dome)
        art.layer("hat", knit, lighter(WOOL, 0.1), darker(WOOL, 0.2), crown, line)
        ribs = art.shape()
        for u in np.linspace(-0.72, 0.72, 5):
            ribs.stroke([(at.x + half * u, line), (at.x + half * u * 0.45, crown)], 0.018)
        art.layer("hat", ribs.soften(0.008).within(knit).opacity(0.8), darker(WOOL, 0.35))
        art.glow("hat", at.x - half * 0.4, line - 0.1, 0.13, 0.12, lighter(WOOL, 0.4), 0.5, knit)
        cuff = art.shape().polygon(
            smooth(
                [
                    (at.x - half * 1.08, line - 0.06),
                    (at.x + half * 1.08, line - 0.06),
                    (at.x + half * 1.1, line + 0.035),
                    (at.x - half * 1.1, line + 0.035),
                ],
                2,
            )
        )
        art.layer("hat", cuff, lighter(WOOL, 0.28), WOOL, line - 0.06, line + 0.05)
        art.layer("hat", art.shape().ellipse(at.x, crown - 0.01, 0.055, 0.052), (250, 244, 240))
