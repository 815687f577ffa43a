"""Make it night."""

from .application import Application, Attribute, Wordings

TIME = Wordings(
    (
        "make it {new}",
        "change the time of day to {new}",
        "change the time from {old} to {new}",
        "time of day: {new}",
        "what if it were {new}?",
        "turn {old} into {new}",
        "turn it into {new}",
        "it should be {new}",
        "at {new}",
        "as if it were {new}",
        "show it at {new}",
        "change it to {new}",
    ),
    ("let it be {new}", "turn the time of day to {new}", "make the time of day {new}"),
)


NOUNS = {
    "noon": ("noon", "daytime", "midday"),
    "sunset": ("sunset", "dusk"),
    "night": ("night", "nighttime", "midnight"),
}

APPLICATION = Application(
    "time of day",
    (
        Attribute(
            "time",
            "landscape",
            ("noon", "sunset", "night"),
            lambda asked: TIME,
            NOUNS,
            plain_share=0.6,
            captions=lambda scene: ("at {new}",),
            plain_said=0.5,
        ),
    ),
    share=0.04,
    variants=2,
)
