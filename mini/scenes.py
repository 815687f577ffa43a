"""The world of ip2p-mini: scenes of named attributes; the same seed draws the same everywhere."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import landscapes, portraits
from .drawing import Painting, stream
from .landscapes import Landscape
from .portraits import Portrait

Scene = Portrait | Landscape

KINDS = ("portrait", "landscape")

REGION_OF = {
    "hair_color": "hair",
    "hair_style": "hair",
    "garment_color": "garment",
    "landmark": "ground",
}

# Raised whenever the same scene is drawn differently, so that a model tells what it was trained on.
VERSION = 1


def attributes(scene: Scene) -> dict[str, tuple[str, ...]]:
    """The attributes of a scene and every value that each can take."""
    module = portraits if isinstance(scene, Portrait) else landscapes
    return module.ATTRIBUTES


def values(attribute: str) -> tuple[str, ...]:
    """Every value of an attribute."""
    return (portraits.ATTRIBUTES | landscapes.ATTRIBUTES)[attribute]


def vary(scene: Scene, **changes: Any) -> Scene:
    """The scene with other values of some of its attributes."""
    return replace(scene, **changes)


def paint(scene: Scene, size: int, regions: Sequence[str] = ()) -> Painting:
    if isinstance(scene, Portrait):
        return portraits.paint(scene, size, regions)
    return landscapes.paint(scene, size, regions)


def render(scene: Scene, size: int) -> np.ndarray:
    """The picture of a scene, uint8 [size, size, 3]."""
    return paint(scene, size).pixels()


def mask(scene: Scene, name: str, size: int) -> np.ndarray:
    """Where a region is seen, or where a change of an attribute may show, bool [size, size].

    name  a region (hair, face, skin, garment, background; sky, ground) or an attribute:
          every pixel outside an attribute's mask is the same for all its values.
    """
    if name == "weather":
        return np.ones((size, size), bool)
    region = REGION_OF.get(name, name)
    # A change of shape may show wherever any of the shapes lies.
    shapes = values(name) if name in ("hair_style", "landmark") else ()
    drawn = [vary(scene, **{name: value}) for value in shapes] or [scene]
    regions = [paint(variant, size, [region]).region(region) for variant in drawn]
    return np.logical_or.reduce(regions)


def sample_scene(seed: int, kind: str) -> Scene:
    """The scene of a seed: every attribute drawn from its own stream."""
    chosen = {
        name: options[int(stream(seed, name).integers(len(options)))]
        for name, options in (
            portraits.ATTRIBUTES if kind == "portrait" else landscapes.ATTRIBUTES
        ).items()
    }
    return Portrait(seed, **chosen) if kind == "portrait" else Landscape(seed, **chosen)


SAMPLES: dict[str, Scene] = {
    "portrait - long brown hair": Portrait(5, "long", "brown", "t-shirt", "blue", "light", "sky"),
    "portrait - short blonde hair": Portrait(
        16, "short", "blonde", "t-shirt", "red", "tan", "mint"
    ),
    "portrait - bob, sweater": Portrait(23, "bob", "black", "sweater", "green", "fair", "sand"),
    "portrait - suit": Portrait(9, "short", "brown", "suit", "blue", "brown", "lilac"),
    "landscape - sunny house": Landscape(3, "sunny", "house"),
    "landscape - cloudy lake": Landscape(7, "cloudy", "lake"),
    "landscape - snowy road": Landscape(12, "snowy", "road"),
}


def sample_image(name: str, seed: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture to edit and the mask of what is most asked for: the hair or the sky.

    name  one of SAMPLES
    seed  0 for the sample itself; any other number for one like it: another person or view

    Returns the picture, uint8 [size, size, 3], and the mask, bool [size, size].
    """
    scene = SAMPLES[name]
    if seed:
        scene = vary(scene, seed=int(stream(seed, name).integers(2**32)))
        if isinstance(scene, Portrait):
            for free in ("skin", "background"):
                options = portraits.ATTRIBUTES[free]
                choice = int(stream(seed, free).integers(len(options)))
                scene = vary(scene, **{free: options[choice]})
    region = "hair" if isinstance(scene, Portrait) else "sky"
    return render(scene, size), mask(scene, region, size)
