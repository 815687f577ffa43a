"""Put a hat on her."""

from ..hair import HATS
from . import worn
from .application import Application, Attribute

NOUNS = {
    "hat": ("a hat", "a straw hat", "a sun hat"),
    "beanie": ("a beanie", "a woolly hat", "a knitted cap"),
}

APPLICATION = Application(
    "hat",
    (
        Attribute(
            "hat",
            "portrait",
            HATS,
            worn.say,
            NOUNS,
            "hat",
            plain_share=0.65,
            captions=worn.captions,
        ),
    ),
    share=0.05,
)
