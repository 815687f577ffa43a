"""Several edits in turns, from latent to latent."""

from __future__ import annotations

from typing import Any

import comfy.sampler_helpers
import comfy.utils
import torch
from comfy_api.latest import io
from torch import Tensor

from ..edits.settings import of_node
from ..pictures.masks import grown
from ..samplers.comfy.guider import check_source
from ..samplers.comfy.region import THRESHOLD, find_region
from ..samplers.comfy.sampling import Cell, Edit, live_preview
from ..samplers.comfy.text import encode_instruction
from .inputs import LATER, setting_inputs, settings_of_node


class IP2PEditChain(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PEditChain",
            display_name="Edit Chain (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "Several edits in turn, each made on the last one's latent: the picture is not "
                "encoded again in between, which would wear it out."
            ),
            inputs=[
                io.Model.Input("model", tooltip="An InstructPix2Pix model (8 input channels)."),
                io.Clip.Input(
                    "clip", tooltip="The text encoder of the InstructPix2Pix checkpoint."
                ),
                io.Latent.Input(
                    "source",
                    tooltip="The picture to edit, from IP2PEncodeSource, with its mask if any.",
                ),
                io.String.Input(
                    "instructions",
                    default="make it snow",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="One instruction a line, in the order in which they are carried out.",
                ),
                *setting_inputs("seed", "steps", "text_cfg", "image_cfg"),
                *setting_inputs("sampler_name", "scheduler"),
                io.Boolean.Input(
                    "mask_each",
                    default=False,
                    tooltip="Find the region of each edit, and keep all that is outside of it.",
                ),
                *setting_inputs(*LATER, optional=True),
            ],
            outputs=[
                io.Latent.Output(
                    "latents",
                    display_name="latents",
                    tooltip="The picture after each turn. To undo, pick an earlier one.",
                ),
                io.Latent.Output(
                    "last", display_name="last", tooltip="The picture after the last turn."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        source: dict[str, Any],
        instructions: str,
        mask_each: bool,
        **settings: Any,
    ) -> io.NodeOutput:
        lines = [line.strip() for line in instructions.splitlines() if line.strip()]
        if not lines:
            raise ValueError(
                "instructions: there is none. Write what to change, one instruction a line, such "
                "as 'make it snow'."
            )
        chosen = settings_of_node(settings, *of_node("IP2PKSampler"))
        cell = Cell(*(chosen.pop(name) for name in Cell._fields))
        latent = check_source(source)
        encoded = [encode_instruction(clip, line, "") for line in lines]
        bar = comfy.utils.ProgressBar(chosen["steps"] * len(lines))
        preview = live_preview(model)
        turns = []
        for instruction, negative in encoded:
            current = {**source, "samples": latent}
            if mask_each:
                current["noise_mask"] = own_region(model, instruction, negative, current, cell.seed)
            edit = Edit(model, instruction, negative, current, **chosen)
            ((_, (latent,)),) = edit.run([cell], bar, preview)
            turns.append(latent)
        # The turns are not numbered as the source's pictures may be.
        numbered = {key: value for key, value in source.items() if key != "batch_index"}
        return io.NodeOutput(
            {**numbered, "samples": torch.cat(turns)}, {**source, "samples": latent}
        )


def own_region(
    model: Any, instruction: Any, negative: Any, source: dict[str, Any], seed: int
) -> Tensor:
    """Where this instruction changes the source, within its mask if any: [B, c, h, w] in 0..1.

    All of it where the edit changes the whole picture. One latent cell of room is left around
    the region, since what is edited may be larger afterwards.
    """
    region = find_region(model, instruction, negative, source, seed)
    mask = grown((region.heat >= THRESHOLD).float(), 1)
    mask[torch.tensor(region.whole)] = 1
    mask = mask[:, None]
    if "noise_mask" in source:
        shape = source["samples"].shape
        mask = mask * comfy.sampler_helpers.prepare_mask(source["noise_mask"], shape, mask.device)
    return mask
