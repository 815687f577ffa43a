"""Add flowers, a hat or a rainbow, or take them away."""

from typing import Any

from .application import Application, Asked, Attribute, Wordings

# Flowers, rainbows and the like. {new} with its article, {old} without.
ADD = Wordings(
    (
        "add {new}",
        "add {new} {place}",
        "put {new} {place}",
        "draw {new} {place}",
        "give it {new}",
        "show {new}",
        "with {new}",
        "there should be {new}",
        "there should be {new} {place}",
        "what if there were {new}?",
        "I want {new} {place}",
        "place {new} {place}",
    ),
    ("let there be {new}", "what if there were {new} {place}?", "give it {new} {place}"),
)

REMOVE = Wordings(
    (
        "remove the {old}",
        "remove the {old} {from_place}",
        "take the {old} away",
        "take away the {old}",
        "no {old}",
        "without {old}",
        "without the {old}",
        "get rid of the {old}",
        "delete the {old}",
        "erase the {old}",
        "there should be no {old}",
        "what if there were no {old}?",
    ),
    ("I want no {old}", "let there be no {old}", "take the {old} away {from_place}"),
)


# What can be added to each object.
EXTRAS = {
    "vase": ("flowers", "a bunch of flowers"),
    "car": ("luggage", "suitcases"),
    "cat": ("a party hat", "a hat"),
    "bust": ("a party hat", "a hat"),
}


def caption_in_the_sky(scene: Any) -> tuple[str, ...]:
    name = "fireworks" if scene.thing == "fireworks" else "a rainbow"
    return (f"with {name} in the sky", f"with {name}")


def caption_on_the_object(scene: Any) -> tuple[str, ...]:
    return tuple(f"with {name}" for name in EXTRAS[scene.subject])


def say(asked: Asked) -> Wordings:
    return REMOVE if asked.new == "none" else ADD


def say_in_the_sky(asked: Asked) -> Wordings:
    thing = asked.old if asked.new == "none" else asked.new
    name = "fireworks" if thing == "fireworks" else "a rainbow"
    place = asked.one("to the sky", "in the sky")
    asked.words |= {"old": name, "new": name, "place": place, "from_place": "from the sky"}
    return say(asked)


def say_on_the_object(asked: Asked) -> Wordings:
    subject = asked.source.subject
    name, where = asked.one(*EXTRAS[subject]), "in" if subject == "vase" else "on"
    asked.words |= {"old": name, "new": name}
    asked.words |= {"place": f"{where} the {subject}", "from_place": f"from the {subject}"}
    return say(asked)


APPLICATION = Application(
    "add or remove",
    (
        Attribute(
            "thing",
            "landscape",
            ("none", "rainbow", "fireworks"),
            say_in_the_sky,
            region="thing",
            plain_share=0.6,
            captions=caption_in_the_sky,
        ),
        Attribute(
            "thing",
            "object",
            ("none", "extra"),
            say_on_the_object,
            region="thing",
            plain_share=0.6,
            captions=caption_on_the_object,
        ),
    ),
    share=0.13,
)
