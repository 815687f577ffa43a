"""What is put on and taken off: glasses and hats."""

from typing import Any

from .application import Asked, Wordings

# Glasses and hats. {new} with its article, {old} without.
PUT_ON = Wordings(
    (
        "put {new} on {them}",
        "give {them} {new}",
        "add {new}",
        "make {them} wear {new}",
        "{they} should wear {new}",
        "wear {new}",
        "put on {new}",
        "what if {they} wore {new}?",
        "with {new}",
        "let {them} try on {new}",
        "I want {them} to wear {new}",
        "{they} is wearing {new}",
    ),
    ("have {them} wear {new}", "let {them} wear {new}", "put {them} in {new}"),
)

TAKE_OFF = Wordings(
    (
        "remove the {old}",
        "take off the {old}",
        "take off {whose} {old}",
        "remove {whose} {old}",
        "no {old}",
        "without {old}",
        "without the {old}",
        "get rid of the {old}",
        "delete the {old}",
        "take {whose} {old} off",
        "{they} should not wear the {old}",
        "what if {they} had no {old}?",
    ),
    ("get {whose} {old} off", "what if there were no {old}?", "I want no {old}"),
)


def say(asked: Asked) -> Wordings:
    return TAKE_OFF if asked.new == "none" else PUT_ON


def captions(scene: Any) -> tuple[str, ...]:
    return ("with {new}",)
