"""Put glasses on him."""

from . import worn
from .application import Application, Attribute

NOUNS = {
    "glasses": ("glasses", "spectacles", "eyeglasses"),
    "sunglasses": ("sunglasses", "shades", "dark glasses"),
}

APPLICATION = Application(
    "glasses",
    (
        Attribute(
            "eyewear",
            "portrait",
            ("none", "glasses", "sunglasses"),
            worn.say,
            NOUNS,
            "eyewear",
            plain_share=0.55,
            captions=worn.captions,
        ),
    ),
    share=0.04,
)
