"""The applications of the editor in the drawn world: a new one is a file here and a line below."""

from . import (
    art_medium,
    background,
    beard,
    clothes,
    glasses,
    hair_color,
    hairstyle,
    hat,
    makeup,
    material,
    season,
    things,
    time_of_day,
    weather,
)
from .application import Application, Attribute

APPLICATIONS: tuple[Application, ...] = (
    hair_color.APPLICATION,
    hairstyle.APPLICATION,
    clothes.APPLICATION,
    glasses.APPLICATION,
    hat.APPLICATION,
    beard.APPLICATION,
    makeup.APPLICATION,
    background.APPLICATION,
    weather.APPLICATION,
    season.APPLICATION,
    time_of_day.APPLICATION,
    material.APPLICATION,
    things.APPLICATION,
    art_medium.APPLICATION,
)


def attributes_of(kind: str) -> tuple[Attribute, ...]:
    """The attributes of one kind of scenes that the applications edit.

    kind  portrait, landscape or object; "" for what every scene has
    """
    every = (attribute for application in APPLICATIONS for attribute in application.attributes)
    return tuple(attribute for attribute in every if attribute.kind == kind)
