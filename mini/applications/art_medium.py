"""Turn it into a mosaic."""

from ..media import MEDIA
from .application import Application, Attribute, Wordings

# {new} with its article: a mosaic, an oil painting.
MEDIUM = Wordings(
    (
        "turn it into {new}",
        "make it {new}",
        "convert it to {new}",
        "make it look like {new}",
        "as {new}",
        "change it to {new}",
        "redraw it as {new}",
        "in the style of {new}",
        "what if it were {new}?",
        "show it as {new}",
        "turn the picture into {new}",
        "it should be {new}",
        "art medium: {new}",
    ),
    ("let it be {new}", "make the picture {new}", "convert the picture to {new}"),
)


CAPTIONS = ("{what} as {new}", "{what} in the style of {new}", "{new}: {what}")
NOUNS = {
    "drawing": ("a drawing",),
    "pencil sketch": ("a pencil sketch", "a pencil drawing"),
    "watercolor": ("a watercolor painting", "a watercolor"),
    "oil painting": ("an oil painting",),
    "mosaic": ("a mosaic",),
    "black and white": ("a black and white picture", "black and white"),
    "comic": ("a comic", "a comic book"),
}

APPLICATION = Application(
    "art medium",
    (
        Attribute(
            "medium",
            "",
            MEDIA,
            lambda asked: MEDIUM,
            NOUNS,
            one_way=True,
            captions=lambda scene: CAPTIONS,
            plain_said=0.3,
        ),
    ),
    share=0.08,
    variants=2,
)
