"""What the schemas of several nodes share: their inputs, and the checks of what arrives."""

from __future__ import annotations

import inspect
from typing import Any

import comfy.samplers
from comfy_api.latest import io

from ..edits.settings import SETTINGS, completed

# What every node that samples has, and those of them that came later, as optional inputs.
SAMPLING = ("seed", "steps", "sampler_name", "scheduler", "denoise", "numerics")
LATER = ("denoise", "numerics")

GuidanceType = io.Custom("IP2P_GUIDANCE")

# What people type who look for these nodes.
WORDS = ["pix2pix", "ip2p", "instruct", "InstructPix2Pix", "edit by text", "image edit"]
# The group of the newer editors' first tab where the loader and the sampler are shown.
ESSENTIALS = "Image Generation"
# Settings that an edit rarely needs; newer editors show them on demand.
ADVANCED = {"denoise", "margin", "match_color", "numerics", "scheduler", "syntax", "weights"}


def newer(kind: Any, **fields: Any) -> dict[str, Any]:
    """Those of `fields` that `kind`, a schema or an input, takes in this ComfyUI."""
    known = inspect.signature(kind).parameters
    return {name: value for name, value in fields.items() if name in known}


def setting_input(name: str, options: list[str] | None = None, optional: bool = False) -> io.Input:
    """The input of one setting of an edit.

    options   what it offers, for a list that neither the table nor ComfyUI's samplers have
    optional  whether prompts and saved workflows may lack it, as those made before it was added
    """
    setting = SETTINGS[name]
    common: dict[str, Any] = {"default": setting.default, "tooltip": setting.help}
    if optional:
        common["optional"] = True
    if name in ADVANCED:
        common |= newer(io.Int.Input, advanced=True)
    if setting.kind is str:
        offered = options or list(setting.choices) or core_list(name)
        if offered:
            return io.Combo.Input(name, options=offered, **common)
        # As in ComfyUI's own boxes, {red|blue} is one of them in each run.
        text = {"multiline": setting.multiline, "dynamic_prompts": setting.multiline}
        return io.String.Input(name, **text, **common)
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


def setting_inputs(*names: str, optional: bool = False) -> list[io.Input]:
    """The inputs of several settings, in this order."""
    return [setting_input(name, optional=optional) for name in names]


def guided_inputs() -> list[io.Input]:
    """The inputs of every node that runs the model on one picture and one instruction."""
    return [
        io.Model.Input("model", tooltip="An InstructPix2Pix model (8 input channels)."),
        io.Conditioning.Input("instruction", tooltip="What to change, from IP2PEncodeInstruction."),
        io.Conditioning.Input(
            "negative",
            tooltip="What both branches without instruction read, from IP2PEncodeInstruction.",
        ),
        io.Latent.Input(
            "source", tooltip="The picture to edit, from IP2PEncodeSource, with its mask if any."
        ),
    ]


def guidance_input() -> io.Input:
    """The socket for finer control of the two scales."""
    return GuidanceType.Input(
        "guidance",
        optional=True,
        tooltip="From IP2PGuidance: schedules and regions of the two scales. Optional.",
    )


def settings_of_node(given: dict[str, Any], *names: str) -> dict[str, Any]:
    """The settings `names` for a node's execute: those given, checked, else the defaults.

    ComfyUI 0.3 does not check the options of a queued prompt.
    """
    chosen = completed(given, names)
    for name, value in chosen.items():
        if listed := core_list(name):
            check_choice(name, value, listed)
    return chosen


def check_choice(name: str, value: str, choices: list[str]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name}: got {value!r}; choose one of {', '.join(choices)}.")


def check_range(name: str, value: float, least: float, most: float) -> None:
    """Raise ValueError unless `value` lies between the two."""
    if not least <= value <= most:
        raise ValueError(f"{name}: got {value}; give {least} to {most}.")
