"""Edits of the drawn scenes, asked for as people ask for them: the wordings of `applications`."""

import re
from dataclasses import dataclass

import numpy as np

from .applications import APPLICATIONS, attributes_of
from .applications.application import Attribute, Wordings
from .drawing import one
from .portraits import Portrait
from .scenes import KINDS, Scene, attributes, is_natural, kind_of, vary

# The attributes that each family of edits changes, one of them or, of clothes, both.
EDITED: dict[str, tuple[str, ...]] = {
    application.name: tuple(dict.fromkeys(a.name for a in application.attributes))
    for application in APPLICATIONS
}
FAMILY_OF = {name: family for family, names in EDITED.items() for name in names}
FAMILIES = (*EDITED, "two edits", "none")

# By the kind of a scene and the attribute's name.
ATTRIBUTES: dict[tuple[str, str], Attribute] = {
    (kind, attribute.name): attribute
    for kind in KINDS
    for attribute in (*attributes_of(kind), *attributes_of(""))
}
NOTHING = Wordings(
    (
        "do nothing",
        "change nothing",
        "no change",
        "keep it as it is",
        "keep everything the same",
        "leave it as it is",
        "leave the picture alone",
        "the same picture",
        "don't change anything",
        "nothing",
        "stay the same",
        "do not edit the picture",
    ),
    ("leave everything the same", "do not change the picture"),
)

# The share of instructions with a typing mistake.
TYPOS = 0.05


@dataclass(frozen=True)
class Edit:
    """What is asked of a source scene and the scene that it asks for."""

    family: str
    instruction: str
    source: Scene
    target: Scene


def changes(source: Scene, target: Scene) -> tuple[str, ...]:
    """The attributes in which two scenes of a kind differ."""
    return tuple(n for n in attributes(source) if getattr(source, n) != getattr(target, n))


def is_edit(source: Scene, target: Scene) -> bool:
    """Whether words can lead from `source` to `target`: what they must bring is known."""
    changed = changes(source, target)
    if getattr(source, "hair_style", "") == "bald" or getattr(source, "medium", "") != "drawing":
        return False
    edited = [ATTRIBUTES.get((kind_of(source), name)) for name in changed]
    if any(a and a.one_way and getattr(target, a.name) == a.values[0] for a in edited):
        return False
    if "hair_color" in changed and getattr(target, "hair_style", "") == "bald":
        return False
    hats = {getattr(scene, "hat", "none") for scene in (source, target)}
    if hats != {"none"} and {"hair_color", "hair_style"} & set(changed):
        return False  # hidden, but for a few pixels
    things = {getattr(scene, "thing", "none") for scene in (source, target)}
    if "thing" in changed and "none" not in things:
        return False
    return is_natural(target)


def family_of(source: Scene, target: Scene) -> str | None:
    """The family of the edit from `source` to `target`; None where it takes more than two."""
    changed = changes(source, target)
    phrases = {"garment" if name == "garment_color" else name for name in changed}
    if len(phrases) > 1:
        return "two edits" if len(phrases) == 2 else None
    return FAMILY_OF[changed[0]] if changed else "none"


def instruct(
    source: Scene,
    target: Scene,
    rng: np.random.Generator,
    held_out: bool = False,
    typos: float = TYPOS,
) -> str:
    """One wording, chosen by `rng`, of the edit that leads from `source` to `target`.

    typos  the share of wordings with a mistake in typing

    Held-out wordings are typed without mistakes, so that only the wording is new.
    """
    changed = list(changes(source, target))
    if "garment" in changed and "garment_color" in changed:
        changed.remove("garment_color")
    rng.shuffle(changed)
    options = NOTHING.held_out if held_out else NOTHING.trained
    kind = kind_of(source)
    phrases = [ATTRIBUTES[kind, name].phrase(source, target, rng, held_out) for name in changed]
    text = " and ".join(phrases) or one(rng, options)
    if not held_out and rng.random() < typos:
        text = mistyped(text, rng)
    return spoken(text, rng)


def spoken(text: str, rng: np.random.Generator) -> str:
    """`text` in one of the ways in which people type: in capitals, with a full stop, or plain."""
    text = re.sub(r"\ba (?=[aeiou])", "an ", text)
    text = re.sub(r"\ba ((striped|summer) )?(clothes|outfit)\b", r"\1\3", text)
    way = rng.random()
    if way < 0.25:
        text = text[0].upper() + text[1:]
    if way < 0.1 and text[-1].isalpha():
        text += "."
    return text.upper() if way > 0.98 else text


def mistyped(text: str, rng: np.random.Generator) -> str:
    """`text` with two letters swapped, one left out or one doubled, in a word of four or more."""
    places = [m.start() for m in re.finditer(r"(?<=\w)\w(?=\w\w)", text)]
    if not places:
        return text
    at = one(rng, places)
    way = int(rng.integers(3))
    letters = (text[at + 1] + text[at], text[at + 1], text[at] * 2 + text[at + 1])[way]
    return text[:at] + letters + text[at + 2 :]


def sample_edit(
    source: Scene, family: str, rng: np.random.Generator, held_out: bool = False
) -> Edit:
    """An edit of one of FAMILIES that the scene can have.

    Raises ValueError where it can have none: a landscape has no hair, a picture in one medium is
    not brought into another.
    """
    reachable = targets(source, family)
    if not reachable:
        raise ValueError(f"{source} has no edit of the family {family!r}")
    target = one(rng, reachable)
    return Edit(family, instruct(source, target, rng, held_out), source, target)


def targets(source: Scene, family: str) -> list[Scene]:
    """The scenes to which an edit of the family can lead."""
    if family == "none":
        return [source]
    if family != "two edits":
        return single_targets(source, EDITED[family])
    names = tuple(FAMILY_OF)
    return [
        second
        for first in single_targets(source, names)
        for second in single_targets(first, names)
        if is_edit(source, second) and family_of(source, second) == family
    ]


def single_targets(source: Scene, names: tuple[str, ...]) -> list[Scene]:
    """The scenes to which one phrase leads that changes one of the attributes."""
    options = attributes(source)
    reached = [
        vary(source, **{name: value})
        for name in names
        for value in options.get(name, ())
        if value != getattr(source, name)
    ]
    if "garment" in names and isinstance(source, Portrait):
        reached += [
            vary(source, garment=garment, garment_color=color)
            for garment in options["garment"]
            for color in options["garment_color"]
            if garment != source.garment and color != source.garment_color
        ]
    return [target for target in reached if is_edit(source, target)]
