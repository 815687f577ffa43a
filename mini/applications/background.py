"""Change the background to a beach."""

from ..backdrops import BACKGROUNDS
from .application import Application, Attribute, Wordings

# {new} is a place with its article.
BACKGROUND = Wordings(
    (
        "change the background to {new}",
        "make the background {new}",
        "background: {new}",
        "put {them} in front of {new}",
        "move {them} to {new}",
        "replace the background with {new}",
        "turn the background into {new}",
        "take {them} to {new}",
        "what if {they} were at {new}?",
        "{they} should stand in front of {new}",
        "place {them} in {new}",
        "I want {new} in the background",
        "with {new} behind {them}",
        "swap the background for {new}",
    ),
    ("put {new} behind {them}", "let the background be {new}", "put {them} in {new}"),
)


CAPTIONS = ("in front of {new}", "and {new} in the background")
NOUNS = {
    "beach": ("a beach", "the beach", "a sandy beach"),
    "forest": ("a forest", "the woods"),
    "city": ("a city at night", "a city", "a skyline at night"),
    "mountains": ("mountains", "the mountains"),
    "library": ("a library", "bookshelves"),
}

APPLICATION = Application(
    "background",
    (
        Attribute(
            "background",
            "portrait",
            BACKGROUNDS,
            lambda asked: BACKGROUND,
            NOUNS,
            "background",
            plain_share=0.4,
            one_way=True,
            captions=lambda scene: CAPTIONS,
        ),
    ),
    share=0.04,
    variants=2,
)
