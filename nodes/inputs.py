"""Inputs that several nodes have: the settings of an edit, as the table has them."""

from __future__ import annotations

from typing import Any

import comfy.samplers
from comfy_api.latest import io

from ..edits.settings import SETTINGS


def setting_input(name: str, options: list[str] | None = None, optional: bool = False) -> io.Input:
    """The input of one setting of an edit.

    options   what it offers, for a list that neither the table nor ComfyUI's samplers have
    optional  whether prompts and saved workflows may lack it, as those made before it was added
    """
    setting = SETTINGS[name]
    common: dict[str, Any] = {"default": setting.default, "tooltip": setting.help}
    if optional:
        common["optional"] = True
    if setting.kind is str:
        offered = options or list(setting.choices) or core_list(name)
        if offered:
            return io.Combo.Input(name, options=offered, **common)
        return io.String.Input(name, multiline=setting.multiline, **common)
    common |= {"min": setting.least, "max": setting.most}
    if setting.step is not None:
        common["step"] = setting.step
    if setting.kind is float:
        return io.Float.Input(name, round=setting.places and 10**-setting.places, **common)
    if name == "seed":
        common["control_after_generate"] = True
    return io.Int.Input(name, **common)


def core_list(name: str) -> list[str]:
    """What ComfyUI lists for a setting; empty for one that is free text."""
    lists = {
        "sampler_name": comfy.samplers.SAMPLER_NAMES,
        "scheduler": comfy.samplers.SCHEDULER_NAMES,
    }
    return lists.get(name, [])


def setting_inputs(*names: str) -> list[io.Input]:
    """The inputs of several settings, in this order."""
    return [setting_input(name) for name in names]
