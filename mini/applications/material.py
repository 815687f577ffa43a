"""Turn the vase into gold."""

from ..materials import MATERIALS
from .application import Application, Asked, Attribute, Wordings

# {new} is a noun, {it} the object with its article or "it".
MATERIAL = Wordings(
    (
        "turn {it} into {new}",
        "make {it} out of {new}",
        "make {it} {new}",
        "change the material to {new}",
        "change the material of {it} to {new}",
        "material: {new}",
        "what if {it} were made of {new}?",
        "{it} should be made of {new}",
        "as if {it} were {new}",
        "{it} made of {new}",
        "I want {it} in {new}",
        "replace {it} with one of {new}",
        "cast {it} in {new}",
    ),
    ("let {it} be made of {new}", "change {it} into {new}", "turn the material into {new}"),
)


NOUNS = {
    "wood": ("wood", "carved wood"),
    "marble": ("marble", "white marble"),
    "bronze": ("bronze",),
    "glass": ("glass", "clear glass"),
    "gold": ("gold", "solid gold"),
}


def say(asked: Asked) -> Wordings:
    asked.words["it"] = asked.one("it", f"the {asked.source.subject}")
    return MATERIAL


APPLICATION = Application(
    "material",
    (
        Attribute(
            "material",
            "object",
            MATERIALS,
            say,
            NOUNS,
            "object",
            plain_share=0.4,
            one_way=True,
            captions=lambda scene: ("made of {new}",),
        ),
    ),
    share=0.06,
    variants=3,
)
