"""The training pairs: groups of renderings of one scene, and edits between two of a group."""

from dataclasses import dataclass

import numpy as np

from .drawing import stream
from .instructions import EDITED, family_of, instruct, is_edit, single_targets
from .scenes import KINDS, Scene, sample_scene

# Held-out scenes have seeds below this, training scenes from here on.
FIRST_TRAINING_SEED = 100_000

# How often each kind of edit is drawn; those with the most to learn most often.
SHARES = {
    "hair color": 0.06,
    "hairstyle": 0.09,
    "clothes": 0.12,
    "glasses": 0.04,
    "hat": 0.05,
    "beard": 0.05,
    "make-up": 0.08,
    "background": 0.04,
    "weather": 0.07,
    "season": 0.04,
    "time of day": 0.04,
    "material": 0.06,
    "add or remove": 0.13,
    "art medium": 0.08,
    "none": 0.05,
}
# Of all edits, those that ask for two changes at once.
TWO_EDITS = 0.25
# Renderings of each family in a group, besides the scene itself.
VARIANTS = {"hair color": 2, "hairstyle": 2, "clothes": 3, "weather": 3, "material": 3} | {
    "make-up": 2,
    "season": 2,
    "time of day": 2,
    "art medium": 2,
    "background": 2,
}


def variants(scene: Scene) -> list[Scene]:
    """The renderings of one scene between which there are edits, itself first.

    Of each family of edits that the scene can have one or more, in all a dozen.
    """
    group = [scene]
    for family, names in EDITED.items():
        rng = stream(scene.seed, f"variants {family}")
        reached = single_targets(scene, names)
        for index in rng.permutation(len(reached))[: VARIANTS.get(family, 1)]:
            group.append(reached[int(index)])
    return group


def groups(counts: dict[str, int], first_seed: int) -> list[list[Scene]]:
    """The variants of so many scenes of each kind, seeds counted up from `first_seed`."""
    kinds = [kind for kind in KINDS for _ in range(counts[kind])]
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
        # For each family the pairs within the groups: group, source, target.
        self.edits: dict[str, list[tuple[int, int, int]]] = {}
        for index, group in enumerate(scenes):
            for i, source in enumerate(group):
                for j, target in enumerate(group):
                    family = family_of(source, target)
                    if family is not None and is_edit(source, target):
                        self.edits.setdefault(family, []).append((index, i, j))
        met = {family: share for family, share in SHARES.items() if family in self.edits}
        self.families = tuple(met)
        self.shares = np.array(list(met.values())) / sum(met.values())

    def draw(self, rng: np.random.Generator) -> Pair:
        family = self.families[int(rng.choice(len(self.families), p=self.shares))]
        if family != "none" and rng.random() < TWO_EDITS:
            family = "two edits"
        index, source, target = self.any_of(family, rng)
        group = self.scenes[index]
        text = instruct(group[source], group[target], rng)
        if family == "none" and rng.random() < 0.5:
            # What is asked for is there already.
            asked = self.families[int(rng.choice(len(self.families), p=self.shares))]
            index, other, source = self.any_of(asked, rng)
            group, target = self.scenes[index], source
            text = instruct(group[other], group[source], rng)
        start = int(self.starts[index])
        return Pair(start + source, start + target, text)

    def any_of(self, family: str, rng: np.random.Generator) -> tuple[int, int, int]:
        edits = self.edits[family]
        return edits[int(rng.integers(len(edits)))]
