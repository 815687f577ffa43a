"""The world of ip2p-mini: scenes of named attributes; the same seed draws the same everywhere.

What an edit brings (a rainbow, a material's veins, a medium's grain) is fixed or follows what is
seen without it. Else no model could know what is right: it would learn the mean, which nothing is.
"""

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from . import landscapes, media, objects, portraits
from .applications import attributes_of
from .drawing import Painting, stream
from .landscapes import Landscape
from .objects import Object
from .portraits import Portrait

Scene = Portrait | Landscape | Object

MODULES: dict[str, ModuleType] = {
    "portrait": portraits,
    "landscape": landscapes,
    "object": objects,
}
KINDS = tuple(MODULES)

# Raised whenever the same scene is drawn differently, so that a model tells what it was trained on.
VERSION = 6


def kind_of(scene: Scene) -> str:
    return type(scene).__name__.lower()


def attributes(scene: Scene) -> dict[str, tuple[str, ...]]:
    """The attributes of a scene and every value that each can take, the plain one first."""
    return {**MODULES[kind_of(scene)].ATTRIBUTES, "medium": media.MEDIA}


def values(attribute: str) -> tuple[str, ...]:
    """Every value that an attribute can take in any scene."""
    if attribute == "medium":
        return media.MEDIA
    every = (module.ATTRIBUTES.get(attribute, ()) for module in MODULES.values())
    return tuple(dict.fromkeys(value for options in every for value in options))


def vary(scene: Scene, **changes: Any) -> Scene:
    """The scene with other values of some of its attributes."""
    return replace(scene, **changes)


def paint(scene: Scene, size: int, regions: Sequence[str] = ()) -> Painting:
    """The scene before its medium, with the named regions kept."""
    painting: Painting = MODULES[kind_of(scene)].paint(scene, size, regions)
    return painting


def render(scene: Scene, size: int) -> np.ndarray:
    """The picture of a scene, uint8 [size, size, 3]."""
    return media.apply(paint(scene, size).pixels(), scene.medium)


def mask(scene: Scene, name: str, size: int) -> np.ndarray:
    """Where a region is seen, or where a change of an attribute may show, bool [size, size].

    name  an attribute: every pixel outside its mask is the same for all its values; or another
          region of the scene's module (hair, face, sky, ...)
    """
    module = MODULES[kind_of(scene)]
    region = module.REGION_OF.get(name)
    if region is None:
        known = name in module.REGIONS
        return paint(scene, size, [name]).region(name) if known else np.ones((size, size), bool)
    # A change of shape may show wherever any of the shapes lies.
    drawn = [vary(scene, **{name: value}) for value in attributes(scene)[name]]
    regions = [paint(variant, size, [region]).region(region) for variant in drawn]
    return np.logical_or.reduce(regions)


def is_natural(scene: Scene) -> bool:
    """Whether everything that the scene says of itself can be seen in it.

    Eye shadow behind sunglasses, blue hair on a blue shirt or blossoms in a storm cannot.
    """
    if isinstance(scene, Portrait):
        hidden = scene.eyewear == "sunglasses" and scene.eye_shadow != "none"
        bearded = scene.beard != "none" and scene.lips != "natural"
        return not hidden and not bearded and portraits.is_plain_to_see(scene)
    if isinstance(scene, Landscape):
        return (scene.time == "noon" or scene.weather == "sunny") and (
            scene.season == "summer" or scene.weather in ("sunny", "cloudy")
        )
    return True


def sample_scene(seed: int, kind: str) -> Scene:
    """The natural scene of a seed: every attribute drawn from its own stream."""
    module = MODULES[kind]
    scene: Scene = getattr(module, kind.capitalize())(seed)
    # What people edit is mostly plain.
    plain_shares = {attribute.name: attribute.plain_share for attribute in attributes_of(kind)}
    for name, options in module.ATTRIBUTES.items():
        rng = stream(seed, name)
        share = plain_shares.get(name) or 1 / len(options)
        plain = rng.random() < share
        value = options[0] if plain else options[1 + int(rng.integers(len(options) - 1))]
        changed = vary(scene, **{name: value})
        # Edits make bald heads, scenes have none: the color of the lost hair cannot be known.
        scene = changed if is_natural(changed) and value != "bald" else scene
    return scene


SAMPLES: dict[str, Scene] = {
    "portrait - long brown hair": Portrait(5, hair_style="long", hair_color="brown"),
    "portrait - short blonde hair": Portrait(
        16, hair_style="short", hair_color="blonde", garment_color="red", skin="tan"
    ),
    "portrait - bob, sweater": Portrait(
        23, hair_style="bob", hair_color="black", garment="sweater", garment_color="green"
    ),
    "portrait - suit": Portrait(
        9,
        hair_color="brown",
        garment="suit",
        garment_color="blue",
        skin="brown",
        hair_style="short",
    ),
    "portrait - at the beach": Portrait(
        31, hair_style="ponytail", hair_color="red", garment_color="white", background="beach"
    ),
    "landscape - sunny house": Landscape(3, landmark="house"),
    "landscape - cloudy lake": Landscape(7, weather="cloudy", landmark="lake"),
    "landscape - snowy road": Landscape(12, weather="snowy", landmark="road"),
    "landscape - summer lake": Landscape(21, landmark="lake"),
    "object - vase": Object(2, subject="vase"),
    "object - cat": Object(4, subject="cat"),
    "object - bust": Object(6, subject="bust"),
    "object - car": Object(8, subject="car"),
}
# What is most asked for of each kind: the mask that comes with a sample.
SAMPLE_REGIONS = {"portrait": "hair", "landscape": "sky", "object": "object"}


def sample_image(name: str, seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture to edit and the mask of what is most asked for: hair, sky or the object.

    name  one of SAMPLES
    seed  0 for the sample itself; any other number for one like it: another person or view

    Returns the picture, uint8 [size, size, 3], and the mask, bool [size, size].
    """
    scene = SAMPLES[name]
    if seed:
        scene = vary(scene, seed=int(stream(seed, name).integers(2**32)))
        if isinstance(scene, Portrait):
            options = portraits.ATTRIBUTES["skin"]
            scene = vary(scene, skin=options[int(stream(seed, "skin").integers(len(options)))])
    return render(scene, size), mask(scene, SAMPLE_REGIONS[kind_of(scene)], size)
