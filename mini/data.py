"""The training pairs: groups of renderings of one scene, and edits between two of a group."""

from dataclasses import dataclass

import numpy as np

from .applications import APPLICATIONS
from .drawing import one, stream
from .instructions import EDITED, FAMILY_OF, family_of, instruct, is_edit, single_targets
from .scenes import KINDS, Scene, sample_scene

# Held-out scenes have seeds below this, training scenes from here on.
FIRST_TRAINING_SEED = 100_000

# How often each kind of edit is drawn; those with the most to learn most often.
SHARES = {application.name: application.share for application in APPLICATIONS} | {"none": 0.05}
# Of all edits, those that ask for two changes at once: half of them between any two of a group,
# half from the scene itself, which alone may be of plain material or before a plain wall.
TWO_EDITS = 0.3
# Group, source, target: a pair within a group.
Link = tuple[int, int, int]
# Renderings in a group that two edits lead to.
DOUBLES = 5


def variants(scene: Scene) -> list[Scene]:
    """The renderings of one scene between which there are edits, itself first.

    Of each family of edits that the scene can have one or more, in all a dozen, and DOUBLES more.
    """
    group = [scene]
    for application in APPLICATIONS:
        rng = stream(scene.seed, f"variants {application.name}")
        reached = single_targets(scene, EDITED[application.name])
        for index in rng.permutation(len(reached))[: application.variants]:
            group.append(reached[int(index)])
    return group + doubles(scene)


def doubles(scene: Scene) -> list[Scene]:
    """DOUBLES scenes to which two edits at once lead from `scene`."""
    rng = stream(scene.seed, "doubles")
    names = tuple(FAMILY_OF)
    first, reached = single_targets(scene, names), list[Scene]()
    while len(reached) < DOUBLES:
        second = single_targets(one(rng, first), names)
        if second:
            target = one(rng, second)
            if is_edit(scene, target) and family_of(scene, target) == "two edits":
                reached.append(target)
    return reached


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
        # For each family the pairs within the groups.
        self.edits: dict[str, list[Link]] = {}
        # Of the two edits those of the scene itself, not of one of its variants.
        self.doubles: list[Link] = []
        for index, group in enumerate(scenes):
            for i, source in enumerate(group):
                for j, target in enumerate(group):
                    family = family_of(source, target)
                    if family is not None and is_edit(source, target):
                        self.edits.setdefault(family, []).append((index, i, j))
                        if family == "two edits" and i == 0:
                            self.doubles.append((index, i, j))
        met = {family: share for family, share in SHARES.items() if family in self.edits}
        self.families = tuple(met)
        self.shares = np.array(list(met.values())) / sum(met.values())

    def draw(self, rng: np.random.Generator) -> Pair:
        family = self.families[int(rng.choice(len(self.families), p=self.shares))]
        edits = self.edits[family]
        if family != "none" and rng.random() < TWO_EDITS:
            edits = self.doubles if rng.random() < 0.5 else self.edits["two edits"]
        index, source, target = one(rng, edits)
        group = self.scenes[index]
        text = instruct(group[source], group[target], rng)
        if family == "none" and rng.random() < 0.5:
            # What is asked for is there already.
            asked = self.families[int(rng.choice(len(self.families), p=self.shares))]
            index, other, source = one(rng, self.edits[asked])
            group, target = self.scenes[index], source
            text = instruct(group[other], group[source], rng)
        start = int(self.starts[index])
        return Pair(start + source, start + target, text)
