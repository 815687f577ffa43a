"""The node that words a common edit."""

from __future__ import annotations

from comfy_api.latest import io

from ..edits.presets import PRESETS, chosen
from ..edits.settings import SETTINGS, defaults_of
from .inputs import WORDS, newer

# Of Stable Diffusion 1.5.
USUAL = defaults_of("text_cfg", "image_cfg")


def usual_scale(scale: str, follows: str) -> io.Input:
    """The input for the usual scale of the checkpoint's family, and how the preset's follows it."""
    setting = SETTINGS[scale]
    return io.Float.Input(
        f"usual_{scale}",
        optional=True,
        default=USUAL[scale],
        min=setting.least,
        max=setting.most,
        force_input=True,
        tooltip=(
            f"The {scale} of IP2PLoadCheckpoint. {follows} changes in proportion. "
            f"Without it: {USUAL[scale]}, that of Stable Diffusion 1.5."
        ),
    )


class IP2PPreset(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PPreset",
            display_name="Preset (InstructPix2Pix)",
            category="InstructPix2Pix",
            **newer(io.Schema, search_aliases=WORDS),
            description=(
                "A ready instruction for a common edit, with the two scales that suit it. "
                "Choose the edit and say what to change to."
            ),
            inputs=[
                io.Combo.Input(
                    "preset",
                    options=list(PRESETS),
                    default="hair color",
                    tooltip="The kind of edit. Its help page shows each one's wording and scales.",
                ),
                io.String.Input(
                    "value",
                    default="",
                    dynamic_prompts=True,
                    tooltip=(
                        "What to change to, in English, with its article: blue, a red dress, "
                        "snowy. Empty takes the preset's own example."
                    ),
                ),
                io.String.Input(
                    "subject",
                    default="",
                    tooltip=(
                        "Whom or what to change: her, him, the man on the left; for hair color, "
                        "whose hair: her, the man's. Empty suits most pictures. Presets of the "
                        "whole picture do not read it."
                    ),
                ),
                # Not the ids of the outputs, which the oldest supported ComfyUI does not allow.
                usual_scale("text_cfg", "The preset's own text_cfg"),
                usual_scale("image_cfg", "What the preset's own image_cfg is above 1"),
            ],
            outputs=[
                io.String.Output(
                    "instruction",
                    display_name="instruction",
                    tooltip="The sentence, for the instruction of IP2PEncodeInstruction.",
                ),
                io.Float.Output(
                    "text_cfg",
                    display_name="text_cfg",
                    tooltip="For the text_cfg of IP2PKSampler or IP2PGuider.",
                ),
                io.Float.Output(
                    "image_cfg",
                    display_name="image_cfg",
                    tooltip="For the image_cfg of IP2PKSampler or IP2PGuider.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        preset: str,
        value: str,
        subject: str,
        usual_text_cfg: float = USUAL["text_cfg"],
        usual_image_cfg: float = USUAL["image_cfg"],
    ) -> io.NodeOutput:
        recipe = chosen(preset)
        scales = recipe.scales(usual_text_cfg, usual_image_cfg)
        return io.NodeOutput(recipe.instruction(value, subject), *scales)
