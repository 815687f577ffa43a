"""Dual-guidance sampling: the KSampler of this pack, and the guider for custom sampling."""

from __future__ import annotations

from typing import Any

import comfy.utils
import latent_preview
from comfy_api.latest import io, ui

from ..edits.settings import of_node
from ..samplers.comfy.guider import DualGuider
from ..samplers.comfy.sampling import Cell, Edit
from ..samplers.control import Guidance
from .inputs import (
    ESSENTIALS,
    WORDS,
    guidance_input,
    guided_inputs,
    newer,
    setting_inputs,
    settings_of_node,
)


class IP2PKSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PKSampler",
            display_name="KSampler (InstructPix2Pix)",
            category="InstructPix2Pix",
            **newer(io.Schema, search_aliases=WORDS, essentials_category=ESSENTIALS),
            description=(
                "Edits the picture: samples with two guidance scales, one for the instruction "
                "and one for the picture."
            ),
            inputs=[
                *guided_inputs(),
                *setting_inputs(*of_node("IP2PKSampler")),
                guidance_input(),
            ],
            outputs=[
                io.Latent.Output(
                    "latent", display_name="latent", tooltip="The edited picture, for VAEDecode."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        instruction: Any,
        negative: Any,
        source: dict[str, Any],
        guidance: Guidance | None = None,
        **settings: Any,
    ) -> io.NodeOutput:
        chosen = settings_of_node(settings, *of_node("IP2PKSampler"))
        cell = Cell(*(chosen.pop(name) for name in Cell._fields))
        edit = Edit(model, instruction, negative, source, guidance=guidance, **chosen)
        saved: list[str] = []
        samples = edit.sample(
            [cell],
            latent_preview.prepare_callback(model, edit.steps),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            say=saved.append,
        )
        latent = {**source, "samples": samples}
        return io.NodeOutput(latent, ui=ui.PreviewText(*saved) if saved else None)


class IP2PGuider(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PGuider",
            display_name="Guider (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "Dual guidance for SamplerCustomAdvanced: bring any sampler, any noise levels."
            ),
            inputs=[*guided_inputs(), *setting_inputs("text_cfg", "image_cfg"), guidance_input()],
            outputs=[
                io.Guider.Output(
                    "guider", display_name="guider", tooltip="Connect to SamplerCustomAdvanced."
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        instruction: Any,
        negative: Any,
        source: dict[str, Any],
        text_cfg: float,
        image_cfg: float,
        guidance: Guidance | None = None,
    ) -> io.NodeOutput:
        return io.NodeOutput(
            DualGuider(model, instruction, negative, source, text_cfg, image_cfg, guidance)
        )
