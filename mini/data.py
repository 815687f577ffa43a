"""The training pairs: groups of renderings of one scene, and edits between two of a group."""

from dataclasses import dataclass, replace

import numpy as np

from .drawing import stream
from .instructions import instruct
from .landscapes import Landscape
from .portraits import Portrait
from .scenes import KINDS, Scene, sample_scene, values

# Held-out scenes have seeds below this, training scenes from here on.
FIRST_TRAINING_SEED = 100_000
SHARES = {"hair": 0.24, "clothes": 0.43, "weather": 0.23, "none": 0.1}


def some(rng: np.random.Generator, attribute: str, first: str, count: int) -> list[str]:
    """`first` and other values of an attribute, `count` in all."""
    others = [value for value in values(attribute) if value != first]
    return [first, *rng.permutation(others)[: count - 1].tolist()]


def variants(scene: Scene) -> list[Scene]:
    """The renderings of one scene between which there are edits, itself first.

    A landscape in every weather; a portrait with 3 hair colors x 4 outfits: its garment and
    another, each in two colors.
    """
    rng = stream(scene.seed, "variants")
    if isinstance(scene, Landscape):
        weathers = some(rng, "weather", scene.weather, len(values("weather")))
        return [replace(scene, weather=weather) for weather in weathers]
    hair = some(rng, "hair_color", scene.hair_color, 3)
    garments = some(rng, "garment", scene.garment, 2)
    colors = some(rng, "garment_color", scene.garment_color, 2)
    return [
        replace(scene, hair_color=h, garment=g, garment_color=c)
        for h in hair
        for g in garments
        for c in colors
    ]


def groups(portraits: int, landscapes: int, first_seed: int) -> list[list[Scene]]:
    """The variants of so many portraits and landscapes, seeds counted up from `first_seed`."""
    kinds = [KINDS[0]] * portraits + [KINDS[1]] * landscapes
    return [variants(sample_scene(first_seed + i, kind)) for i, kind in enumerate(kinds)]


@dataclass(frozen=True)
class Pair:
    """Two renderings, as indices into the flat list of all variants, and the words between."""

    source: int
    target: int
    instruction: str


class Pairs:
    """Draws training pairs from groups of variants."""

    def __init__(self, scenes: list[list[Scene]]):
        self.scenes = scenes
        self.starts = np.cumsum([0, *(len(group) for group in scenes)])
        self.portraits = [i for i, group in enumerate(scenes) if isinstance(group[0], Portrait)]
        self.landscapes = [i for i, group in enumerate(scenes) if isinstance(group[0], Landscape)]

    def draw(self, rng: np.random.Generator) -> Pair:
        family = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        on_portrait = family in ("hair", "clothes") or (family == "none" and rng.random() < 0.7)
        index = int(rng.choice(self.portraits if on_portrait else self.landscapes))
        group = self.scenes[index]
        source = int(rng.integers(len(group)))
        target = source
        if family != "none":
            target = int(rng.choice(partners(group, source, family)))
            text = instruct(group[source], group[target], rng)
        elif rng.random() < 0.5:
            text = instruct(group[source], group[source], rng)
        else:
            # What is asked for is there already.
            families = ("hair", "clothes") if on_portrait else ("weather",)
            other = int(rng.choice(partners(group, source, str(rng.choice(families)))))
            text = instruct(group[other], group[source], rng)
        start = int(self.starts[index])
        return Pair(start + source, start + target, text)


def partners(group: list[Scene], source: int, family: str) -> list[int]:
    """The variants that differ from the source in what the family names, and in nothing else."""
    return [
        index
        for index, scene in enumerate(group)
        if index != source and differs_in(group[source], scene) == family
    ]


def differs_in(a: Scene, b: Scene) -> str | None:
    """The family of the edit from `a` to `b`; None where it takes two."""
    if isinstance(a, Landscape) or isinstance(b, Landscape):
        return "weather"
    clothes = (a.garment, a.garment_color) != (b.garment, b.garment_color)
    if a.hair_color == b.hair_color:
        return "clothes"
    return None if clothes else "hair"
