"""Put on a red dress."""

from ..garments import GARMENT_COLORS, GARMENTS
from .application import Application, Asked, Attribute, Wordings

# {new} is a garment with or without a color, {old} the garment that is worn.
CLOTHES = Wordings(
    (
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
    ),
    (
        "change the {old} to a {new}",
        "have {them} wear a {new}",
        "change {whose} outfit to a {new}",
        "put a {new} on {them}",
    ),
)

# {new} is a color, {old} the garment that is worn or a word for any.
RECOLOR = Wordings(
    (
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
    ),
    (
        "let the {old} be {new}",
        "change the {old} color to {new}",
        "make the color of the {old} {new}",
    ),
)


NOUNS = {
    "t-shirt": ("t-shirt", "shirt", "tee"),
    "sweater": ("striped sweater", "sweater", "jumper"),
    "suit": ("suit and tie", "suit"),
    "dress": ("dress", "summer dress"),
    "hoodie": ("hoodie", "hooded sweatshirt"),
    "leather jacket": ("leather jacket", "biker jacket"),
    "raincoat": ("raincoat", "rain jacket"),
}
ANY_GARMENT = ("clothes", "outfit")


def say_garment(asked: Asked) -> Wordings:
    """Of the garment and, where it changes too, of its color."""
    color = asked.target.garment_color
    if color != asked.source.garment_color:
        asked.words["new"] = f"{color} {asked.words['new']}"
    return CLOTHES


def say_color(asked: Asked) -> Wordings:
    worn = NOUNS[asked.source.garment] + ANY_GARMENT
    asked.words |= {"new": asked.new, "old": asked.one(*worn)}
    return RECOLOR


APPLICATION = Application(
    "clothes",
    (
        Attribute(
            "garment",
            "portrait",
            GARMENTS,
            say_garment,
            NOUNS,
            "garment",
            captions=lambda scene: (
                "in a {garment_color} {new}",
                "wearing a {garment_color} {new}",
            ),
            plain_said=1.0,
        ),
        Attribute("garment_color", "portrait", tuple(GARMENT_COLORS), say_color, region="garment"),
    ),
    share=0.12,
    variants=3,
)
