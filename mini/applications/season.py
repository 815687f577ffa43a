"""Turn summer into winter."""

from .application import Application, Attribute, Wordings

SEASON = Wordings(
    (
        "make it {new}",
        "change the season to {new}",
        "change the season from {old} to {new}",
        "change {old} to {new}",
        "season: {new}",
        "what if it were {new}?",
        "turn {old} into {new}",
        "turn it into {new}",
        "it should be {new}",
        "in {new}",
        "as if it were {new}",
        "show it in {new}",
        "a {new} day",
    ),
    ("turn the season from {old} to {new}", "let it be {new}", "make the season {new}"),
)


NOUNS = {"autumn": ("autumn", "fall"), "winter": ("winter", "wintertime")}

APPLICATION = Application(
    "season",
    (
        Attribute(
            "season",
            "landscape",
            ("summer", "spring", "autumn", "winter"),
            lambda asked: SEASON,
            NOUNS,
            captions=lambda scene: ("in {new}",),
            plain_said=0.5,
        ),
    ),
    share=0.04,
    variants=2,
)
