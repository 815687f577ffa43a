"""Portraits: one person from the chest up, drawn from named attributes and a seed."""

from collections.abc import Sequence
from dataclasses import dataclass

from .backdrops import BACKGROUNDS, paint_backdrop
from .drawing import Painting
from .garments import GARMENT_COLORS, GARMENTS, paint_garment, paint_hood
from .hair import HAIR_COLORS, HAIR_STYLES, HATS, Hair, paint_hat
from .heads import (
    EYE_SHADOWS,
    LIPS,
    SKINS,
    paint_beard,
    paint_eyes,
    paint_eyewear,
    paint_head,
    paint_mouth,
    paint_neck,
    pose,
)

REGIONS = (
    "background",
    "skin",
    "face",
    "hair",
    "garment",
    "eyewear",
    "hat",
    "makeup",
    "beard",
)


@dataclass(frozen=True)
class Portrait:
    """One person; what is not named here (pose, smile, eyes, ...) follows from the seed."""

    seed: int
    hair_style: str = "long"
    hair_color: str = "brown"
    garment: str = "t-shirt"
    garment_color: str = "blue"
    skin: str = "light"
    background: str = "studio"
    eyewear: str = "none"
    hat: str = "none"
    beard: str = "none"
    lips: str = "natural"
    eye_shadow: str = "none"
    medium: str = "drawing"


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "hair_color": tuple(HAIR_COLORS),
    "hair_style": HAIR_STYLES,
    "garment": GARMENTS,
    "garment_color": tuple(GARMENT_COLORS),
    "eyewear": ("none", "glasses", "sunglasses"),
    "hat": HATS,
    "beard": ("none", "beard", "mustache"),
    "lips": tuple(LIPS),
    "eye_shadow": tuple(EYE_SHADOWS),
    "skin": tuple(SKINS),
    "background": BACKGROUNDS,
}
REGION_OF = {
    "hair_color": "hair",
    "hair_style": "hair",
    "garment": "garment",
    "garment_color": "garment",
    "eyewear": "eyewear",
    "hat": "hat",
    "beard": "beard",
    "lips": "makeup",
    "eye_shadow": "makeup",
    "skin": "skin",
    "background": "background",
}


def paint(scene: Portrait, size: int, regions: Sequence[str] = ()) -> Painting:
    """The portrait at `size` x `size` pixels, with the named regions kept.

    Without a hat, the hair that a hat would flatten is of the region "hat" too.
    """
    art = Painting(size, regions)
    seed, skin, at = scene.seed, SKINS[scene.skin], pose(scene.seed)
    hair = Hair(art, seed, scene.hair_style, scene.hair_color, scene.hat, at)
    paint_backdrop(art, seed, scene.background)
    hair.back()
    paint_hood(art, scene.garment, scene.garment_color, at)
    paint_neck(art, skin, at)
    paint_garment(art, seed, scene.garment, scene.garment_color, skin, at)
    hair.tail()
    paint_head(art, seed, skin, at)
    paint_beard(art, scene.beard, at)
    paint_mouth(art, seed, skin, scene.lips, at)
    paint_eyes(art, seed, skin, scene.eye_shadow, at)
    hair.front()
    paint_eyewear(art, scene.eyewear, at)
    paint_hat(art, seed, scene.hat, at)
    return art
