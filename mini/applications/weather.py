"""Change the weather from sunny to rainy."""

from typing import Any

from ..skies import WEATHERS
from .application import Application, Asked, Attribute, Wordings

WEATHER = Wordings(
    (
        "change the weather from {old} to {new}",
        "change weather from {old} to {new}",
        "change the weather to {new}",
        "make it {new}",
        "make the weather {new}",
        "weather: {new}",
        "turn it into a {new} day",
        "what if it were {new}?",
        "it should be {new}",
        "a {new} day",
        "turn the {old} day into a {new} one",
        "I want {new} weather",
        "give it {new} weather",
    ),
    (
        "turn the weather from {old} to {new}",
        "make it a {new} day",
        "change it to {new} weather",
    ),
)

# Said of one weather only.
WEATHER_VERBS: dict[str, Wordings] = {
    "sunny": Wordings(
        ("make the sun shine", "let the sun shine", "bring out the sun", "clear the sky"),
        ("let the sun come out",),
    ),
    "cloudy": Wordings(
        ("add clouds", "cover the sky with clouds", "fill the sky with clouds", "overcast"),
        ("let clouds cover the sky",),
    ),
    "rainy": Wordings(
        ("make it rain", "let it rain", "add rain", "it is raining", "start the rain"),
        ("let there be rain",),
    ),
    "snowy": Wordings(
        ("make it snow", "let it snow", "add snow", "it is snowing", "cover it with snow"),
        ("let there be snow",),
    ),
    "foggy": Wordings(
        ("add fog", "make it misty", "let there be fog", "cover it with fog"),
        ("bring out the fog",),
    ),
    "stormy": Wordings(
        ("add a storm", "add lightning", "let there be a storm", "a thunderstorm", "make it storm"),
        ("let there be lightning",),
    ),
}


def say(asked: Asked) -> Wordings:
    return WEATHER_VERBS[asked.new] if asked.rng.random() < 0.3 else WEATHER


def captions(scene: Any) -> tuple[str, ...]:
    return () if scene.time == "night" else ("on a {new} day", "in {new} weather")


APPLICATION = Application(
    "weather",
    (
        Attribute(
            "weather",
            "landscape",
            tuple(WEATHERS),
            say,
            plain_share=0.5,
            captions=captions,
            plain_said=0.5,
        ),
    ),
    share=0.07,
    variants=3,
)
