"""Put on red lipstick."""

from ..heads import EYE_SHADOWS
from ..heads import LIPS as LIP_COLORS
from .application import Application, Asked, Attribute, Wordings
from .worn import TAKE_OFF

LIPS = Wordings(
    (
        "put on {new} lipstick",
        "put {new} lipstick on {them}",
        "give {them} {new} lips",
        "make {whose} lips {new}",
        "add {new} lipstick",
        "{new} lipstick",
        "paint {whose} lips {new}",
        "{they} should wear {new} lipstick",
        "make {them} wear {new} lipstick",
        "change the color of {whose} lips to {new}",
        "what if {they} wore {new} lipstick?",
        "color the lips {new}",
        "lipstick color: {new}",
    ),
    ("turn {whose} lips {new}", "let {them} wear {new} lipstick", "give {them} {new} lipstick"),
)

EYE_SHADOW = Wordings(
    (
        "put on {new} eye shadow",
        "put {new} eye shadow on {them}",
        "give {them} {new} eye shadow",
        "add {new} eye shadow",
        "{new} eye shadow",
        "make {whose} eye shadow {new}",
        "{they} should wear {new} eye shadow",
        "make {them} wear {new} eye shadow",
        "paint {whose} eyelids {new}",
        "color the eyelids {new}",
        "what if {they} wore {new} eye shadow?",
        "eye shadow color: {new}",
    ),
    ("turn {whose} eyelids {new}", "let {them} wear {new} eye shadow", "with {new} eye shadow"),
)


def say_lips(asked: Asked) -> Wordings:
    asked.words["old"] = asked.one("lipstick", f"{asked.words['old']} lipstick")
    return TAKE_OFF if asked.new == "natural" else LIPS


def say_eye_shadow(asked: Asked) -> Wordings:
    asked.words["old"] = asked.one("eye shadow", f"{asked.words['old']} eye shadow")
    return TAKE_OFF if asked.new == "none" else EYE_SHADOW


APPLICATION = Application(
    "make-up",
    (
        Attribute(
            "lips",
            "portrait",
            tuple(LIP_COLORS),
            say_lips,
            region="makeup",
            plain_share=0.6,
            captions=lambda scene: ("with {new} lipstick", "with {new} lips"),
        ),
        Attribute(
            "eye_shadow",
            "portrait",
            tuple(EYE_SHADOWS),
            say_eye_shadow,
            region="makeup",
            plain_share=0.65,
            captions=lambda scene: ("with {new} eye shadow",),
        ),
    ),
    share=0.08,
    variants=2,
)
