"""The instruction as conditioning."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..edits.settings import SETTINGS
from ..samplers.comfy.text import encode_instruction, zeroed
from .inputs import WORDS, newer, setting_inputs


class IP2PEncodeInstruction(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PEncodeInstruction",
            display_name="Encode Instruction (InstructPix2Pix)",
            category="InstructPix2Pix",
            **newer(io.Schema, search_aliases=WORDS),
            description=(
                "Turns the sentence that says what to change into conditioning. "
                "Write it as an order: 'make it snow', 'change her hair to red'."
            ),
            inputs=[
                io.Clip.Input(
                    "clip", tooltip="The text encoder of the InstructPix2Pix checkpoint."
                ),
                io.String.Input(
                    "instruction",
                    default="make it snow",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What to change, as an order. Empty changes nothing.",
                ),
                *setting_inputs("negative", "syntax"),
                io.Combo.Input(
                    "empty_negative",
                    options=["words", "zeros"],
                    default="words",
                    optional=True,
                    tooltip=(
                        "What an empty negative is. words: the encoded empty text, as models are "
                        "trained. zeros: all zeros, as diffusers' SDXL pipeline takes it when no "
                        "negative is given."
                    ),
                ),
            ],
            # The ids may not equal input ids on the oldest supported ComfyUI.
            outputs=[
                io.Conditioning.Output(
                    "instruction_cond",
                    display_name="instruction",
                    tooltip="Connect to the instruction of IP2PKSampler or IP2PGuider.",
                ),
                io.Conditioning.Output(
                    "negative_cond",
                    display_name="negative",
                    tooltip="Connect to the negative of IP2PKSampler or IP2PGuider.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        clip: Any,
        instruction: str,
        negative: str,
        syntax: str,
        empty_negative: str = "words",
    ) -> io.NodeOutput:
        SETTINGS["syntax"].checked(syntax)
        if empty_negative not in ("words", "zeros"):
            raise ValueError(f"empty_negative: got {empty_negative!r}; choose 'words' or 'zeros'.")
        wanted, unwanted = encode_instruction(clip, instruction, negative, syntax)
        if empty_negative == "zeros" and not negative.strip():
            unwanted = zeroed(unwanted)
        return io.NodeOutput(wanted, unwanted)
