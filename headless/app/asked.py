"""What the page asks for, checked: an instruction, settings, how many."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from ...edits.presets import PRESETS, Preset
from ...edits.settings import SETTINGS
from .models import Model

MAX_COUNT = 16  # edits of one picture at a time
RANDOM = {"text_cfg": (6.0, 9.0), "image_cfg": (1.2, 1.8)}  # the ranges of the authors' page
PRESET_FAMILY = "Stable Diffusion 1.5"  # for which the scales of the presets are


class Refused(Exception):
    """What a person asked for cannot be done. `where` is the control that it concerns."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(message)
        self.where = where


async def body_of(request: web.Request) -> dict[str, Any]:
    """The JSON object that was sent. Raises Refused for anything else."""
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused("", "expected a JSON object")
    return body


def worded(asked: Mapping[str, Any]) -> tuple[str, Preset | None]:
    """The instruction: the one that is written, or a preset's with its value."""
    preset = PRESETS.get(str(asked.get("preset", "")))
    text = preset.instruction(str(asked.get("value", ""))) if preset else asked.get("instruction")
    text = str(text or "").strip()
    if not text:
        raise Refused("instruction", "say what to change, such as: make it snow")
    if len(text) > 2000:
        raise Refused("instruction", "the instruction is longer than 2,000 characters")
    return text, preset


def settings_of(
    asked: Mapping[str, Any], preset: Preset | None, models: Mapping[str, Model], checkpoint: str
) -> dict[str, Any]:
    """The settings that are given, each checked, the checkpoint, and the scales.

    Scales that are not given are a preset's, if they are for a model of this kind, else the usual
    ones of the model; none where they are to be found.
    """
    given = asked.get("settings") or {}
    if not isinstance(given, dict):
        raise Refused("", "expected the settings by name")
    found: dict[str, Any] = {"checkpoint": checkpoint}
    for name, value in given.items():
        if name in SETTINGS and value not in (None, ""):
            try:
                found[name] = SETTINGS[name].checked(value)
            except ValueError as error:
                raise Refused(name, str(error)) from None
    if asked.get("auto"):
        return {name: value for name, value in found.items() if name not in RANDOM} | {"auto": True}
    model = models.get(str(found.get("checkpoint")))
    usual = preset if preset and model and model.family == PRESET_FAMILY else model
    for name in RANDOM if usual else ():
        found.setdefault(name, getattr(usual, name))
    return found


def drawn(settings: Mapping[str, Any], asked: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The settings of one of several edits: another seed, and scales at random where wanted."""
    own = dict(settings)
    own["seed"] = (
        random.randrange(2**32)
        if asked.get("random_seed", True)
        else (int(settings.get("seed", 0)) + number) % 2**64
    )
    if asked.get("random_scales") and not asked.get("auto"):
        for name, (least, most) in RANDOM.items():
            own[name] = round(random.uniform(least, most), 2)
    return own


def number_of(value: Any, where: str, least: float, most: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise Refused(where, f"{str(value)[:40]!r} is not a number") from None
    if not least <= number <= most:
        raise Refused(where, f"give {least:g} to {most:g}")
    return number
