"""Edits of the drawn scenes, asked for as people ask for them.

Every family has wordings for training and others that are held out for the evaluation.
"""

import re
from dataclasses import dataclass

import numpy as np

from .landscapes import Landscape
from .portraits import Portrait
from .scenes import Scene, values, vary

FAMILIES = ("hair", "clothes", "weather", "none")

# {whose} is her, his, the or their; {old} is what the picture shows before the edit.
HAIR: tuple[str, ...] = (
    "make {whose} hair {new}",
    "change {whose} hair color to {new}",
    "change the hair color from {old} to {new}",
    "hair color: {new}",
    "dye {whose} hair {new}",
    "color {whose} hair {new}",
    "give {them} {new} hair",
    "{new} hair",
    "what if {they} had {new} hair?",
    "{they} should have {new} hair",
    "turn the {old} hair {new}",
    "I want {whose} hair to be {new}",
    "paint {whose} hair {new}",
    "change {whose} hair to {new}",
    "make the {old} hair {new}",
)
HAIR_HELD_OUT: tuple[str, ...] = (
    "turn {whose} hair {new}",
    "let {them} have {new} hair",
    "dye the hair from {old} to {new}",
    "make {whose} hair color {new}",
)

# {new} is a garment with or without a color, {old} the garment that is worn.
CLOTHES: tuple[str, ...] = (
    "put on a {new}",
    "wear a {new}",
    "make {them} wear a {new}",
    "put {them} in a {new}",
    "change {whose} clothes to a {new}",
    "change the clothes to a {new}",
    "clothes: {new}",
    "outfit: {new}",
    "replace the {old} with a {new}",
    "swap {whose} {old} for a {new}",
    "turn the {old} into a {new}",
    "dress {them} in a {new}",
    "give {them} a {new}",
    "what if {they} wore a {new}?",
    "try on a {new}",
    "{they} should wear a {new}",
)
CLOTHES_HELD_OUT: tuple[str, ...] = (
    "change the {old} to a {new}",
    "have {them} wear a {new}",
    "change {whose} outfit to a {new}",
    "put a {new} on {them}",
)

# {new} is a color, {old} the garment that is worn or a word for any.
RECOLOR: tuple[str, ...] = (
    "make {whose} {old} {new}",
    "make the {old} {new}",
    "change {whose} {old} to {new}",
    "change the color of the {old} to {new}",
    "{old} color: {new}",
    "dye the {old} {new}",
    "color {whose} {old} {new}",
    "turn the {old} {new}",
    "paint the {old} {new}",
    "I want the {old} to be {new}",
    "what if {whose} {old} were {new}?",
    "give {them} a {new} {old}",
)
RECOLOR_HELD_OUT: tuple[str, ...] = (
    "let the {old} be {new}",
    "change the {old} color to {new}",
    "make the color of the {old} {new}",
)

WEATHER: tuple[str, ...] = (
    "change the weather from {old} to {new}",
    "change weather from {old} to {new}",
    "change the weather to {new}",
    "make it {new}",
    "make the weather {new}",
    "weather: {new}",
    "turn it into a {new} day",
    "what if it were {new}?",
    "it should be {new}",
    "a {new} day",
    "turn the {old} day into a {new} one",
    "I want {new} weather",
    "give it {new} weather",
)
WEATHER_HELD_OUT: tuple[str, ...] = (
    "turn the weather from {old} to {new}",
    "make it a {new} day",
    "change it to {new} weather",
)
# Said of one weather only.
WEATHER_VERBS: dict[str, tuple[str, ...]] = {
    "sunny": ("make the sun shine", "let the sun shine", "bring out the sun", "clear the sky"),
    "cloudy": ("add clouds", "cover the sky with clouds", "fill the sky with clouds", "overcast"),
    "rainy": ("make it rain", "let it rain", "add rain", "it is raining", "start the rain"),
    "snowy": ("make it snow", "let it snow", "add snow", "it is snowing", "cover it with snow"),
    "foggy": ("add fog", "make it misty", "let there be fog", "cover it with fog"),
}
WEATHER_VERBS_HELD_OUT: dict[str, tuple[str, ...]] = {
    "sunny": ("let the sun come out",),
    "cloudy": ("let clouds cover the sky",),
    "rainy": ("let there be rain",),
    "snowy": ("let there be snow",),
    "foggy": ("bring out the fog",),
}

NOTHING: tuple[str, ...] = (
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
)
NOTHING_HELD_OUT: tuple[str, ...] = ("leave everything the same", "do not change the picture")

GARMENT_NAMES = {
    "t-shirt": ("t-shirt", "shirt", "tee"),
    "sweater": ("striped sweater", "sweater", "jumper"),
    "suit": ("suit and tie", "suit"),
    "dress": ("dress", "summer dress"),
}
ANY_GARMENT = ("clothes", "outfit")
PEOPLE = (("her", "her", "she"), ("his", "him", "he"), ("the", "them", "they"))


@dataclass(frozen=True)
class Edit:
    """What is asked of a source scene and the scene that it asks for."""

    family: str
    instruction: str
    source: Scene
    target: Scene


def one(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def another(rng: np.random.Generator, attribute: str, value: str) -> str:
    return one(rng, tuple(v for v in values(attribute) if v != value))


def instruct(source: Scene, target: Scene, rng: np.random.Generator, held_out: bool = False) -> str:
    """One wording, chosen by `rng`, of the edit that leads from `source` to `target`.

    The two differ in hair color, in garment or its color or both, in weather, or in nothing.
    """
    whose, them, they = PEOPLE[int(rng.integers(len(PEOPLE)))]
    old, new = "", ""
    wordings = NOTHING_HELD_OUT if held_out else NOTHING
    if isinstance(source, Portrait) and isinstance(target, Portrait) and source != target:
        if source.hair_color != target.hair_color:
            wordings = HAIR_HELD_OUT if held_out else HAIR
            old, new = source.hair_color, target.hair_color
        elif source.garment != target.garment:
            wordings = CLOTHES_HELD_OUT if held_out else CLOTHES
            old = one(rng, GARMENT_NAMES[source.garment])
            new = one(rng, GARMENT_NAMES[target.garment])
            if source.garment_color != target.garment_color:
                new = f"{target.garment_color} {new}"
        else:
            wordings = RECOLOR_HELD_OUT if held_out else RECOLOR
            old = one(rng, GARMENT_NAMES[source.garment] + ANY_GARMENT)
            new = target.garment_color
    elif isinstance(source, Landscape) and isinstance(target, Landscape) and source != target:
        old, new = source.weather, target.weather
        verbs = (WEATHER_VERBS_HELD_OUT if held_out else WEATHER_VERBS)[new]
        adjectives = WEATHER_HELD_OUT if held_out else WEATHER
        wordings = verbs if rng.random() < 0.3 else adjectives
    text = one(rng, wordings).format(whose=whose, them=them, they=they, old=old, new=new)
    return spoken(text, rng)


def spoken(text: str, rng: np.random.Generator) -> str:
    """`text` in one of the ways in which people type: in capitals, with a full stop, or plain."""
    text = re.sub(r"\ba ((striped|summer) )?(clothes|outfit)\b", r"\1\3", text)
    way = rng.random()
    if way < 0.25:
        text = text[0].upper() + text[1:]
    if way < 0.1 and text[-1].isalpha():
        text += "."
    return text.upper() if way > 0.98 else text


def sample_edit(
    source: Scene, family: str, rng: np.random.Generator, held_out: bool = False
) -> Edit:
    """An edit of a family that the scene can have: hair and clothes, or weather, or none."""
    target = source
    if family == "none":
        pass
    elif family == "weather" and isinstance(source, Landscape):
        target = vary(source, weather=another(rng, "weather", source.weather))
    elif family == "hair" and isinstance(source, Portrait):
        target = vary(source, hair_color=another(rng, "hair_color", source.hair_color))
    elif family == "clothes" and isinstance(source, Portrait):
        # A garment as it is in a new color, another garment in that color, or both new.
        kind = int(rng.integers(4))
        if kind != 0:
            target = vary(target, garment=another(rng, "garment", source.garment))
        if kind != 1:
            color = another(rng, "garment_color", source.garment_color)
            target = vary(target, garment_color=color)
    else:
        raise ValueError(f"a {type(source).__name__} has no edit of the family {family!r}")
    return Edit(family, instruct(source, target, rng, held_out), source, target)
