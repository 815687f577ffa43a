"""The settings of an edit: one table, from which every place that names a setting is made.

Those places are the inputs of the nodes, the API prompt, the columns of a manifest, the options of
`ip2p edit` and `ip2p batch`, and the tables in the docs. To add a setting, add a row here, use its
value in the node, and write the texts that the tests then ask for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# As IP2PLoadCheckpoint lists the models that come with the pack: one edits, one draws.
BUILT_IN = "ip2p-mini (built-in)"
TEXT_TO_IMAGE = "ip2p-mini text-to-image (built-in)"
DISTILLED = "ip2p-mini distilled (built-in)"  # a LoRA, as IP2PLoadLora lists it
BUILT_INS = (BUILT_IN, TEXT_TO_IMAGE)
BUILT_IN_SCALES = {"text_cfg": 2.0, "image_cfg": 1.2}  # which suit the editor's weights best


@dataclass(frozen=True)
class Setting:
    """One setting of an edit.

    name         the node's input, and the column of a manifest
    node         the class of the node that has this input
    default      the value where none is given; its type is the setting's type
    help         the tooltip of the input and the help of the option
    least, most  the range of a number, both included
    step         the step of the editor's arrows
    places       decimal places that the editor keeps of a number
    choices      all that a text may be; empty where any text is right
    listed       whether ComfyUI has the list of what a text may be, such as its samplers
    multiline    whether the editor shows a text in several lines
    flag         the option of `ip2p`, where it is not the name with hyphens
    """

    name: str
    node: str
    default: int | float | str
    help: str
    least: int | float | None = None
    most: int | float | None = None
    step: int | float | None = None
    places: int | None = None
    choices: tuple[str, ...] = ()
    listed: bool = False
    multiline: bool = False
    flag: str = ""

    @property
    def kind(self) -> type[int] | type[float] | type[str]:
        return type(self.default)

    @property
    def option(self) -> str:
        """The option of the command line."""
        return self.flag or "--" + self.name.replace("_", "-")

    def checked(self, value: Any) -> Any:
        """`value`, or the number that a text stands for. Raises ValueError that says what fits."""
        try:
            whole = self.kind is int and isinstance(value, float)
            if isinstance(value, bool) or (whole and not value.is_integer()):
                raise ValueError
            found: Any = self.kind(value)
            if isinstance(found, float) and not math.isfinite(found):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
            kind = {int: "a whole number", float: "a number", str: "text"}[self.kind]
            got = str(value)[:80]
            raise ValueError(f"{self.name}: got {got!r}, which is not {kind}.") from None
        if self.choices and found not in self.choices:
            known = ", ".join(self.choices)
            raise ValueError(f"{self.name}: got {str(found)[:80]!r}; choose one of {known}.")
        if self.least is not None and self.most is not None:
            if not self.least <= found <= self.most:
                raise ValueError(f"{self.name}: got {found}; give {self.least} to {self.most}.")
        return found


SETTINGS: dict[str, Setting] = {
    setting.name: setting
    for setting in (
        Setting(
            "checkpoint",
            "IP2PLoadCheckpoint",
            BUILT_IN,
            "An InstructPix2Pix checkpoint of Stable Diffusion 1.5, 2.1 or SDXL, or CosXL Edit: a "
            "file in models/checkpoints or models/diffusion_models, a diffusers folder in "
            "models/diffusers, or the built-in ip2p-mini, which only knows drawn scenes.",
            listed=True,
        ),
        Setting(
            "weights",
            "IP2PLoadCheckpoint",
            "auto",
            "Which weights to take from a file that holds two sets. auto: the averaged (EMA) ones "
            "where there are any, as the authors do, but not those that a merge left over. "
            "ema, raw: take this set or refuse the file. The log says what was taken.",
            choices=("auto", "ema", "raw"),
        ),
        Setting(
            "fit",
            "IP2PEncodeSource",
            "training size",
            "training size: work at the size that the model was trained for, which gives the best "
            "edits. keep size: work at the picture's own size; large pictures take much memory "
            "and edits get weaker. around mask: show the model only the surroundings of the mask, "
            "so that small things are edited large.",
            choices=("training size", "keep size", "around mask"),
        ),
        Setting(
            "margin",
            "IP2PEncodeSource",
            64,
            "Pixels of the picture that around mask shows on every side of the mask. Not used by "
            "the others.",
            least=0,
            most=4096,
        ),
        Setting(
            "negative",
            "IP2PEncodeInstruction",
            "",
            "What to steer away from. Usually empty, as the model was trained.",
            multiline=True,
        ),
        Setting(
            "syntax",
            "IP2PEncodeInstruction",
            "plain",
            "plain: the words as they stand, cut at 77 tokens, as diffusers and the authors' code "
            "read them. weighted: ComfyUI's (word:1.2), any length.",
            choices=("plain", "weighted"),
        ),
        Setting(
            "seed",
            "IP2PKSampler",
            0,
            "The random numbers of this edit. Another seed is another attempt.",
            least=0,
            most=2**64 - 1,
        ),
        Setting(
            "steps",
            "IP2PKSampler",
            20,
            "Sampling steps. 20 is enough; the authors used 100.",
            least=1,
            most=10000,
        ),
        Setting(
            "text_cfg",
            "IP2PKSampler",
            7.5,
            "How strongly to follow the instruction. Higher changes more. Usual range 3 to 12; 0 "
            "ignores the instruction.",
            least=0.0,
            most=100.0,
            step=0.1,
            places=2,
        ),
        Setting(
            "image_cfg",
            "IP2PKSampler",
            1.5,
            "How strongly to stay with the picture. Lower changes more. Usual range 1 to 2.2; at "
            "1 sampling is a third faster.",
            least=0.0,
            most=100.0,
            step=0.05,
            places=2,
        ),
        Setting(
            "sampler_name",
            "IP2PKSampler",
            "euler_ancestral",
            "The sampling algorithm. The authors used euler_ancestral.",
            listed=True,
            flag="--sampler",
        ),
        Setting(
            "scheduler",
            "IP2PKSampler",
            "normal",
            "How the noise levels are spaced. The authors' spacing is 'normal'.",
            listed=True,
        ),
        Setting(
            "denoise",
            "IP2PKSampler",
            1.0,
            "1 starts from pure noise, as InstructPix2Pix is meant to. Lower starts from the "
            "picture and changes less.",
            least=0.0,
            most=1.0,
            step=0.01,
        ),
        Setting(
            "numerics",
            "IP2PKSampler",
            "comfyui",
            "comfyui: the same numbers as ComfyUI's own nodes. official: the same picture as "
            "diffusers and the authors' code for this seed.",
            choices=("comfyui", "official"),
        ),
        Setting(
            "feather",
            "IP2PRestore",
            0,
            "Width of the soft transition in pixels of the original, inside the mask. 0 is a hard "
            "edge. Keep it below half the mask's narrowest part.",
            least=0,
            most=256,
        ),
        Setting(
            "match_color",
            "IP2PRestore",
            "off",
            "mean-std: undo a drift of brightness, contrast and tint, measured outside the mask. "
            "Without a mask it is measured on all of the picture and weakens edits that should "
            "change it (night, snow).",
            choices=("off", "mean-std"),
        ),
    )
}


def defaults_of(*names: str) -> dict[str, Any]:
    """These settings with their defaults."""
    return {name: SETTINGS[name].default for name in names}


def of_node(node: str) -> tuple[str, ...]:
    """The names of the settings that a node of this class has."""
    return tuple(name for name, setting in SETTINGS.items() if setting.node == node)


def completed(given: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The settings `names`: those given, checked, and the defaults of the others.

    Raises ValueError for a value that does not fit and for a name that is not among `names`.
    """
    unknown = sorted(set(given) - set(names))
    if unknown:
        raise ValueError(f"unknown setting {', '.join(unknown)}; known are {', '.join(names)}.")
    return {
        name: SETTINGS[name].checked(given[name]) if name in given else SETTINGS[name].default
        for name in names
    }


def table() -> str:
    """The settings as a Markdown table, for the docs."""
    rows = ["| option | type | default | what it does |", "| --- | --- | --- | --- |"]
    kinds = {int: "whole number", float: "number", str: "text"}
    for setting in SETTINGS.values():
        fits = ", ".join(f"`{choice}`" for choice in setting.choices) or kinds[setting.kind]
        if setting.least is not None:
            fits += f", {setting.least} to {setting.most}"
        default = f"`{setting.default}`" if setting.default != "" else "empty"
        rows.append(f"| `{setting.option}` | {fits} | {default} | {setting.help} |")
    return "\n".join(rows) + "\n"
