"""Edits of the drawn scenes, asked for as people ask for them: `wordings` filled in."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from .drawing import one
from .landscapes import Landscape
from .objects import Object
from .portraits import Portrait
from .scenes import Scene, attributes, is_natural, kind_of, vary
from .wordings import (
    ADD,
    BACKGROUND,
    BALD,
    BEARD,
    CLOTHES,
    EYE_SHADOW,
    HAIR_COLOR,
    HAIR_STYLE,
    LIPS,
    MATERIAL,
    MEDIUM,
    NOTHING,
    PUT_ON,
    RECOLOR,
    REMOVE,
    SEASON,
    SHAVE,
    TAKE_OFF,
    TIME,
    WEATHER,
    WEATHER_VERBS,
    Wordings,
)

# The attributes that each family of edits changes, one of them or, of clothes, both.
EDITED: dict[str, tuple[str, ...]] = {
    "hair color": ("hair_color",),
    "hairstyle": ("hair_style",),
    "clothes": ("garment", "garment_color"),
    "glasses": ("eyewear",),
    "hat": ("hat",),
    "beard": ("beard",),
    "make-up": ("lips", "eye_shadow"),
    "background": ("background",),
    "weather": ("weather",),
    "season": ("season",),
    "time of day": ("time",),
    "material": ("material",),
    "add or remove": ("thing",),
    "art medium": ("medium",),
}
FAMILY_OF = {name: family for family, names in EDITED.items() for name in names}
FAMILIES = (*EDITED, "two edits", "none")

# No edit leads to these: the colors that would come back cannot be known from the picture.
NO_TARGETS = {("background", "studio"), ("material", "plain"), ("medium", "drawing")}

NOUNS: dict[str, dict[str, tuple[str, ...]]] = {
    "hair_style": {
        "short": ("short hair", "a short haircut"),
        "bob": ("a bob", "a bob haircut"),
        "long": ("long hair", "long straight hair"),
        "curly": ("curly hair", "curls"),
        "bun": ("a bun", "a hair bun"),
        "ponytail": ("a ponytail",),
        "bald": ("a bald head",),
    },
    "garment": {
        "t-shirt": ("t-shirt", "shirt", "tee"),
        "sweater": ("striped sweater", "sweater", "jumper"),
        "suit": ("suit and tie", "suit"),
        "dress": ("dress", "summer dress"),
        "hoodie": ("hoodie", "hooded sweatshirt"),
        "leather jacket": ("leather jacket", "biker jacket"),
        "raincoat": ("raincoat", "rain jacket"),
    },
    "eyewear": {
        "glasses": ("glasses", "spectacles", "eyeglasses"),
        "sunglasses": ("sunglasses", "shades", "dark glasses"),
    },
    "hat": {
        "hat": ("a hat", "a straw hat", "a sun hat"),
        "beanie": ("a beanie", "a woolly hat", "a knitted cap"),
    },
    "beard": {"beard": ("a beard", "a full beard"), "mustache": ("a mustache", "a moustache")},
    "background": {
        "beach": ("a beach", "the beach", "a sandy beach"),
        "forest": ("a forest", "the woods"),
        "city": ("a city at night", "a city", "a skyline at night"),
        "mountains": ("mountains", "the mountains"),
        "library": ("a library", "bookshelves"),
    },
    "season": {"autumn": ("autumn", "fall"), "winter": ("winter", "wintertime")},
    "time": {
        "noon": ("noon", "daytime", "midday"),
        "sunset": ("sunset", "dusk"),
        "night": ("night", "nighttime", "midnight"),
    },
    "material": {
        "wood": ("wood", "carved wood"),
        "marble": ("marble", "white marble"),
        "bronze": ("bronze",),
        "glass": ("glass", "clear glass"),
        "gold": ("gold", "solid gold"),
    },
    "medium": {
        "pencil sketch": ("a pencil sketch", "a pencil drawing"),
        "watercolor": ("a watercolor painting", "a watercolor"),
        "oil painting": ("an oil painting",),
        "mosaic": ("a mosaic",),
        "black and white": ("a black and white picture", "black and white"),
        "comic": ("a comic", "a comic book"),
    },
}
ANY_GARMENT = ("clothes", "outfit")
PEOPLE = (("her", "her", "she"), ("his", "him", "he"), ("the", "them", "they"))

# Whoever types makes a mistake in so many of the instructions.
TYPOS = 0.05


@dataclass(frozen=True)
class Edit:
    """What is asked of a source scene and the scene that it asks for."""

    family: str
    instruction: str
    source: Scene
    target: Scene


def noun(rng: np.random.Generator, attribute: str, value: str) -> str:
    return one(rng, NOUNS.get(attribute, {}).get(value, (value,)))


def bare(text: str) -> str:
    """A noun without its article."""
    return re.sub(r"^(an?|the) ", "", text)


def changes(source: Scene, target: Scene) -> tuple[str, ...]:
    """The attributes in which two scenes of a kind differ."""
    return tuple(n for n in attributes(source) if getattr(source, n) != getattr(target, n))


def is_edit(source: Scene, target: Scene) -> bool:
    """Whether words can lead from `source` to `target`: what they must bring is known."""
    changed = changes(source, target)
    if getattr(source, "hair_style", "") == "bald" or getattr(source, "medium", "") != "drawing":
        return False
    if any((name, getattr(target, name)) in NO_TARGETS for name in changed):
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


def thing_words(scene: Scene, rng: np.random.Generator) -> tuple[str, str, str]:
    """What the scene has that could be taken away, where it is put and where it is taken from."""
    if isinstance(scene, Landscape):
        name = "fireworks" if scene.thing == "fireworks" else "a rainbow"
        return name, one(rng, ("to the sky", "in the sky")), "from the sky"
    if not isinstance(scene, Object):
        raise ValueError(f"a {kind_of(scene)} has no things to add")
    if scene.subject == "vase":
        return one(rng, ("flowers", "a bunch of flowers")), "in the vase", "from the vase"
    if scene.subject == "car":
        return one(rng, ("luggage", "suitcases")), "on the car", "from the car"
    place = f"the {scene.subject}"
    return one(rng, ("a party hat", "a hat")), f"on {place}", f"from {place}"


def phrase(source: Any, target: Any, name: str, rng: np.random.Generator, held_out: bool) -> str:
    """One wording of the change of one attribute; of clothes, of the garment and its color.

    source, target  scenes of the kind that has the attribute
    """
    old, new = getattr(source, name), getattr(target, name)
    words = {"old": noun(rng, name, old), "new": noun(rng, name, new)}
    words["whose"], words["them"], words["they"] = one(rng, PEOPLE)
    wordings: Wordings
    if name == "hair_color":
        wordings = HAIR_COLOR
    elif name == "hair_style":
        wordings = BALD if new == "bald" else HAIR_STYLE
    elif name == "garment":
        wordings = CLOTHES
        color = target.garment_color
        if color != source.garment_color:
            words["new"] = f"{color} {words['new']}"
    elif name == "garment_color":
        wordings = RECOLOR
        garment = source.garment
        words |= {"new": new, "old": one(rng, NOUNS["garment"][garment] + ANY_GARMENT)}
    elif name in ("eyewear", "hat"):
        wordings = TAKE_OFF if new == "none" else PUT_ON
    elif name == "beard":
        wordings = SHAVE if new == "none" else BEARD
    elif name == "lips":
        wordings = TAKE_OFF if new == "natural" else LIPS
        words["old"] = one(rng, ("lipstick", f"{old} lipstick"))
    elif name == "eye_shadow":
        wordings = TAKE_OFF if new == "none" else EYE_SHADOW
        words["old"] = one(rng, ("eye shadow", f"{old} eye shadow"))
    elif name == "weather":
        wordings = WEATHER_VERBS[new] if rng.random() < 0.3 else WEATHER
    elif name == "material":
        wordings = MATERIAL
        words["it"] = one(rng, ("it", f"the {source.subject}"))
    elif name == "thing":
        wordings = REMOVE if new == "none" else ADD
        words["new"], words["place"], words["from_place"] = thing_words(
            source if new == "none" else target, rng
        )
        words["old"] = words["new"]
    else:
        plain = {"background": BACKGROUND, "season": SEASON, "time": TIME, "medium": MEDIUM}
        wordings = plain[name]
    words["old"] = bare(words["old"])
    options = wordings.held_out if held_out else wordings.trained
    return one(rng, options).format(**words)


def instruct(source: Scene, target: Scene, rng: np.random.Generator, held_out: bool = False) -> str:
    """One wording, chosen by `rng`, of the edit that leads from `source` to `target`.

    Held-out wordings are typed without mistakes, so that only the wording is new.
    """
    changed = list(changes(source, target))
    if "garment" in changed and "garment_color" in changed:
        changed.remove("garment_color")
    rng.shuffle(changed)
    options = NOTHING.held_out if held_out else NOTHING.trained
    phrases = [phrase(source, target, name, rng, held_out) for name in changed]
    text = " and ".join(phrases) or one(rng, options)
    if not held_out and rng.random() < TYPOS:
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
