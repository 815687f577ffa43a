"""The search for the two scales and the seed that suit one edit."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..edits.settings import defaults_of
from ..pictures.frame import as_pil
from ..samplers.comfy.judge import find_scales
from ..samplers.comfy.probe import check_instruction
from ..samplers.comfy.sampling import Cell, Edit
from ..samplers.control import Guidance
from .inputs import (
    LATER,
    SAMPLING,
    check_range,
    guidance_input,
    guided_inputs,
    setting_inputs,
    settings_of_node,
)


class IP2PAutoGuidance(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PAutoGuidance",
            display_name="Auto Guidance (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "Finds the two scales and the seed for this picture and this instruction: tries "
                "several in few steps, asks the model which result it believes most, and makes "
                "that edit."
            ),
            inputs=[
                *guided_inputs(),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="Not needed for the search. Shows the best try while it goes on.",
                ),
                *setting_inputs("seed", "steps"),
                *setting_inputs("sampler_name", "scheduler"),
                guidance_input(),
                io.Float.Input(
                    "keep",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=(
                        "How much the rest must stay: 0 looks at the instruction only, 1 at the "
                        "picture only. 0.5 is what the model finds most likely."
                    ),
                ),
                io.Int.Input(
                    "probes",
                    default=9,
                    min=1,
                    max=64,
                    tooltip="How many pairs of scales to try, in a third of the steps each.",
                ),
                io.Int.Input(
                    "seeds",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="How many seeds to make the edit with, from seed on. The best is kept.",
                ),
                *setting_inputs(*LATER, optional=True),
            ],
            outputs=[
                io.Latent.Output(
                    "latent", display_name="latent", tooltip="The edited picture, for VAEDecode."
                ),
                io.Float.Output(
                    "text_cfg", display_name="text_cfg", tooltip="The text_cfg that was found."
                ),
                io.Float.Output(
                    "image_cfg", display_name="image_cfg", tooltip="The image_cfg that was found."
                ),
                # The id may not equal an input id on the oldest supported ComfyUI.
                io.Int.Output("best_seed", display_name="seed", tooltip="The seed of the edit."),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="What was tried, how it was judged, and what was taken.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        instruction: Any,
        negative: Any,
        source: dict[str, Any],
        keep: float,
        probes: int,
        seeds: int,
        guidance: Guidance | None = None,
        vae: Any = None,
        **settings: Any,
    ) -> io.NodeOutput:
        chosen = settings_of_node(settings, *SAMPLING)
        check_range("keep", keep, 0, 1)
        check_range("probes", probes, 1, 64)
        check_range("seeds", seeds, 1, 64)
        check_instruction(instruction, negative)
        start = Cell(**defaults_of("text_cfg", "image_cfg"), seed=chosen.pop("seed"))
        edit = Edit(model, instruction, negative, source, guidance=guidance, **chosen)
        show = None if vae is None else lambda latent: as_pil(vae.decode(latent)[0])
        found = find_scales(edit, start, keep, probes, seeds, show)
        return io.NodeOutput(
            {**source, "samples": found.taken.latent}, *found.taken.cell, found.report
        )
