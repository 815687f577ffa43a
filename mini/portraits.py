"""Portraits: one person from the chest up, drawn from named attributes and a seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .applications import attributes_of
from .backdrops import BEHIND, paint_backdrop
from .drawing import Painting
from .garments import GARMENT_COLORS, paint_garment, paint_hood
from .hair import HAIR_COLORS, Hair, paint_hat
from .heads import (
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
    garment_color: str = "white"
    skin: str = "light"
    background: str = "studio"
    eyewear: str = "none"
    hat: str = "none"
    beard: str = "none"
    lips: str = "natural"
    eye_shadow: str = "none"
    medium: str = "drawing"


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    **{attribute.name: attribute.values for attribute in attributes_of("portrait")},
    "skin": tuple(SKINS),
}
REGION_OF = {attribute.name: attribute.region for attribute in attributes_of("portrait")} | {
    "skin": "skin"
}


# Colors nearer than this, as a distance of RGB, cannot be told apart side by side; less is enough
# for the face, whose edge the light draws.
ALIKE, ALIKE_TO_SKIN = 70.0, 30.0


def is_plain_to_see(scene: Portrait) -> bool:
    """Whether the hair can be told from the face, the clothes and what is behind it."""
    hair = np.asarray(HAIR_COLORS[scene.hair_color], float)
    beside = [GARMENT_COLORS[scene.garment_color], BEHIND.get(scene.background)]
    distances = [np.linalg.norm(hair - other) for other in beside if other]
    to_skin = np.linalg.norm(hair - SKINS[scene.skin])
    return bool(min(distances) >= ALIKE and to_skin >= ALIKE_TO_SKIN)


def paint(scene: Portrait, size: int, regions: Sequence[str] = ()) -> Painting:
    """The portrait at `size` x `size` pixels, with the named regions kept.

    Without a hat, the hair that a hat would flatten is of the region "hat" too.
    """
    art = Painting(size, regions)
    seed, skin, at = scene.seed, SKINS[scene.skin], pose(scene.seed)
    hair = Hair(art, seed, scene.hair_style, scene.hair_color, scene.hat, at)
    paint_backdrop(art, seed, scene.background)
    art.defocus(0.01)
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
