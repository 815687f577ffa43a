"""Give her a bob."""

from ..hair import HAIR_STYLES
from .application import Application, Asked, Attribute, Wordings

# {new} with its article: short hair, a bun.
HAIR_STYLE = Wordings(
    (
        "give {them} {new}",
        "make {whose} hair {new}",
        "change {whose} hairstyle to {new}",
        "change the hairstyle from {old} to {new}",
        "hairstyle: {new}",
        "what if {they} had {new}?",
        "{they} should have {new}",
        "turn {whose} hair into {new}",
        "replace the {old} with {new}",
        "I want {them} to have {new}",
        "change {whose} haircut to {new}",
        "put {whose} hair in {new}",
        "style {whose} hair as {new}",
        "with {new}",
    ),
    ("let {them} have {new}", "change the hair to {new}", "give {whose} hair {new}"),
)

BALD = Wordings(
    (
        "make {them} bald",
        "shave {whose} head",
        "remove {whose} hair",
        "remove the hair",
        "{they} should be bald",
        "what if {they} were bald?",
        "give {them} a bald head",
        "no hair",
        "bald",
        "turn {them} bald",
        "cut off all {whose} hair",
        "hairstyle: bald",
        "I want {them} to be bald",
    ),
    ("let {them} be bald", "change the hairstyle to bald", "I want a bald head"),
)


NOUNS = {
    "short": ("short hair", "a short haircut"),
    "bob": ("a bob", "a bob haircut"),
    "long": ("long hair", "long straight hair"),
    "curly": ("curly hair", "curls"),
    "bun": ("a bun", "a hair bun"),
    "ponytail": ("a ponytail",),
    "bald": ("a bald head",),
}


CAPTIONS = {
    "short": ("with short {hair_color} hair",),
    "bob": ("with a {hair_color} bob",),
    "long": ("with long {hair_color} hair",),
    "curly": ("with curly {hair_color} hair",),
    "bun": ("with {hair_color} hair in a bun",),
    "ponytail": ("with {hair_color} hair in a ponytail",),
    "bald": ("with a bald head",),
}


def say(asked: Asked) -> Wordings:
    return BALD if asked.new == "bald" else HAIR_STYLE


APPLICATION = Application(
    "hairstyle",
    (
        Attribute(
            "hair_style",
            "portrait",
            HAIR_STYLES,
            say,
            NOUNS,
            "hair",
            captions=lambda scene: CAPTIONS[scene.hair_style],
            plain_said=1.0,
        ),
    ),
    share=0.09,
    variants=2,
)
