"""The hair of a portrait, and the hats that lie on it."""

import numpy as np

from .drawing import Color, Painting, Shape, darker, lighter, smooth, stream
from .heads import Pose

HAIR_COLORS: dict[str, Color] = {
    "black": (38, 34, 40),
    "brown": (124, 74, 40),
    "blonde": (240, 208, 112),
    "red": (204, 62, 30),
    "blue": (44, 92, 224),
    "green": (46, 172, 78),
    "pink": (246, 112, 180),
}
HAIR_STYLES = ("short", "bob", "long", "curly", "bun", "ponytail", "bald")
HATS = ("none", "hat", "beanie")
STRAW: Color = (238, 202, 128)
WOOL: Color = (204, 32, 44)


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
        shade = darker(color, 0.34)
        crown = at.y - at.ry - 0.06
        if self.style == "curly":
            cloud = art.shape().ellipse(at.x, at.y - 0.02, at.rx + 0.08, at.ry + 0.06)
            rng = stream(self.seed, "curls")
            for turn in np.linspace(0, 2 * np.pi, 15, endpoint=False):
                radius = rng.uniform(0.055, 0.07)
                x = at.x + (at.rx + 0.085) * np.cos(turn)
                cloud.ellipse(x, at.y - 0.015 + (at.ry + 0.035) * np.sin(turn), radius, radius)
            self.layer(cloud, color, darker(color, 0.28), at.y - 0.05, at.collar + 0.04)
            self.ringlets(cloud)
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
            self.layer(art.shape().polygon(smooth(outline)), color, shade, at.y - 0.05, foot)
        elif self.style == "bun":
            y = at.y - at.ry - 0.075
            knot = art.shape().ellipse(at.x, y, 0.085, 0.072)
            self.layer(knot, lighter(color, 0.14), darker(color, 0.2), y - 0.07, y + 0.07)
            coil = [
                (at.x + 0.05 * np.cos(t), y + 0.005 + 0.042 * np.sin(t))
                for t in np.linspace(2.6, 6.6, 9)
            ]
            if not self.covered:
                art.layer(None, art.shape().line(coil, 0.009), darker(color, 0.3))

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
        self.layer(tail, lighter(color, 0.14), darker(color, 0.2), at.y, foot)
        strands = art.shape()
        for out, low in ((0.045, 0.1), (0.1, 0.05)):
            curve = [
                (at.x + side * (edge + out * 0.6), at.y + 0.07),
                (at.x + side * (edge + out), at.y + 0.17),
                (at.x + side * (edge + out * 0.85), at.y + 0.26),
                (at.x + side * (edge + out * 0.6), foot - low),
            ]
            strands.line(curve, 0.01)
        art.layer(None, strands.within(tail), darker(color, 0.3))
        ties: tuple[Color, ...] = ((250, 214, 96), (240, 240, 246), (228, 76, 120))
        tie = ties[stream(self.seed, "tie").integers(len(ties))]
        band = art.shape().line(
            [
                (at.x + side * (edge + 0.012), at.y + 0.055),
                (at.x + side * (edge + 0.085), at.y + 0.005),
            ],
            0.03,
        )
        art.layer("hair", band, tie)

    def front(self) -> None:
        """The crown and fringe, and for long hair the locks that fall over the shoulders."""
        art, at, color, style = self.art, self.at, self.color, self.style
        if style == "bald":
            gloss = art.shape().ellipse(at.x - at.rx * 0.35, at.y - at.ry * 0.62, 0.05, 0.026)
            art.layer("hair skin face", gloss.opacity(0.4), (255, 255, 255))
            return
        rng = stream(self.seed, "fringe")
        parting, depth = rng.uniform(-0.55, 0.55), rng.uniform(0.42, 0.52)
        sleek = style in ("bun", "ponytail")
        crown = at.y - at.ry - (0.045 if sleek or style == "short" else 0.075)
        side_foot = at.y + {"short": 0.02, "bun": -0.02, "ponytail": 0.0}.get(style, 0.1)
        outer = at.rx + (0.02 if sleek else 0.032)
        hairline = at.y - at.ry * (0.6 if sleek else depth)
        cap = smooth(
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
        shape = art.shape()
        if style == "curly":
            curls = stream(self.seed, "front curls")
            for u in np.linspace(-1, 1, 8):
                radius = curls.uniform(0.05, 0.06)
                lift = at.ry * (0.94 - 0.5 * u**4)
                shape.ellipse(at.x + at.rx * 1.05 * u, at.y - lift + 0.015, radius, radius)
            shape.ellipse(at.x, at.y - at.ry * 0.98, at.rx * 0.95, 0.06)
        else:
            shape.polygon(cap)
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
        self.layer(shape, lighter(color, 0.12), darker(color, 0.16), crown, at.collar + 0.05)
        if style == "curly":
            self.ringlets(shape)
            return
        shine = [
            (at.x + at.rx * u, crown + 0.055 + 0.04 * u * u) for u in np.linspace(-0.6, 0.4, 7)
        ]
        gloss = art.shape().line(shine, 0.024).opacity(0.5)
        art.layer(None, gloss.within(shape), lighter(color, 0.45))

    def ringlets(self, curls: Shape) -> None:
        """The small arcs that lie on `curls`, a part of the cloud."""
        art, at = self.art, self.at
        rng = stream(self.seed, "ringlets")
        arcs = art.shape()
        for turn in np.linspace(0.1, 2 * np.pi + 0.1, 17, endpoint=False):
            x = at.x + (at.rx + 0.07) * np.cos(turn)
            y = at.y - 0.015 + (at.ry + 0.02) * np.sin(turn)
            spread = np.linspace(0, 3.6, 6) + rng.uniform(0, 6.28)
            arcs.line([(x + 0.026 * np.cos(t), y + 0.026 * np.sin(t)) for t in spread], 0.01)
        art.layer(None, arcs.within(curls), darker(self.color, 0.3))


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
        for u in np.linspace(-0.75, 0.75, 6):
            ribs.line([(at.x + half * u, line), (at.x + half * u * 0.4, crown)], 0.01)
        art.layer("hat", ribs.within(knit), darker(WOOL, 0.3))
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
