"""Give him a beard."""

from .application import Application, Asked, Attribute, Wordings

BEARD = Wordings(
    (
        "give {them} {new}",
        "add {new}",
        "let {them} grow {new}",
        "grow {new}",
        "{they} should have {new}",
        "what if {they} had {new}?",
        "put {new} on {whose} face",
        "with {new}",
        "I want {them} to have {new}",
        "make {them} grow {new}",
        "{they} has {new}",
        "draw {new} on the face",
    ),
    ("let {them} have {new}", "add {new} to {whose} face", "make {them} have {new}"),
)

SHAVE = Wordings(
    (
        "shave {whose} {old}",
        "shave off the {old}",
        "remove the {old}",
        "remove {whose} {old}",
        "no {old}",
        "without {old}",
        "without the {old}",
        "get rid of the {old}",
        "shave {them}",
        "make {them} shave",
        "{they} should be shaved",
        "delete the {old}",
    ),
    ("get the {old} off", "let {them} shave", "I want no {old}"),
)


NOUNS = {"beard": ("a beard", "a full beard"), "mustache": ("a mustache", "a moustache")}


def say(asked: Asked) -> Wordings:
    return SHAVE if asked.new == "none" else BEARD


APPLICATION = Application(
    "beard",
    (
        Attribute(
            "beard",
            "portrait",
            ("none", "beard", "mustache"),
            say,
            NOUNS,
            "beard",
            plain_share=0.65,
            captions=lambda scene: ("with {new}",),
        ),
    ),
    share=0.05,
)
