"""Make her hair blue."""

from ..hair import HAIR_COLORS
from .application import Application, Attribute, Wordings

HAIR_COLOR = Wordings(
    (
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
    ),
    (
        "turn {whose} hair {new}",
        "let {them} have {new} hair",
        "dye the hair from {old} to {new}",
        "make {whose} hair color {new}",
    ),
)


APPLICATION = Application(
    "hair color",
    (
        Attribute(
            "hair_color", "portrait", tuple(HAIR_COLORS), lambda asked: HAIR_COLOR, region="hair"
        ),
    ),
    share=0.06,
    variants=2,
)
