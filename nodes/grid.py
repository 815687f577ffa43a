"""One edit over a grid of the two scales."""

from __future__ import annotations

from typing import Any

import comfy.utils
import latent_preview
import numpy as np
import torch
from comfy_api.latest import io
from PIL import Image
from torch import Tensor

from ..pictures.frame import as_pil
from ..pictures.sheet import Sheet
from ..samplers.comfy.probe import check_instruction
from ..samplers.comfy.sampling import Cell, Edit
from ..samplers.control import Guidance
from ..samplers.search import parse_scales
from .inputs import (
    LATER,
    SAMPLING,
    guidance_input,
    guided_inputs,
    setting_inputs,
    settings_of_node,
)

MOST_CELLS = 100


class IP2PGuidanceGrid(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PGuidanceGrid",
            display_name="Guidance Grid (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "One edit with every pair of two lists of scales, as a labelled sheet: see at a "
                "glance what text_cfg and image_cfg do to this picture."
            ),
            inputs=[
                *guided_inputs(),
                io.Vae.Input("vae", tooltip="The VAE of the InstructPix2Pix checkpoint."),
                *setting_inputs("seed", "steps"),
                io.String.Input(
                    "text_cfgs",
                    default="5, 7.5, 10",
                    tooltip="The text_cfg of each column, with commas between. Usual 3 to 12.",
                ),
                io.String.Input(
                    "image_cfgs",
                    default="1.0, 1.5, 2.0",
                    tooltip="The image_cfg of each row, with commas between. Usual 1 to 2.2.",
                ),
                *setting_inputs("sampler_name", "scheduler"),
                guidance_input(),
                *setting_inputs(*LATER, optional=True),
            ],
            outputs=[
                io.Image.Output(
                    "images",
                    display_name="images",
                    tooltip="All edits, row by row; each is what IP2PKSampler makes of its pair.",
                ),
                io.Image.Output(
                    "sheet",
                    display_name="sheet",
                    tooltip="The edits side by side, with both axes labelled.",
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
        vae: Any,
        text_cfgs: str,
        image_cfgs: str,
        guidance: Guidance | None = None,
        **settings: Any,
    ) -> io.NodeOutput:
        if vae is None:
            raise ValueError(
                "vae: nothing arrived; the checkpoint holds no VAE. Load one with VAELoader and "
                "connect it."
            )
        chosen = settings_of_node(settings, *SAMPLING)
        check_instruction(instruction, negative)
        columns = parse_scales("text_cfgs", text_cfgs)
        rows = parse_scales("image_cfgs", image_cfgs)
        if len(columns) * len(rows) > MOST_CELLS:
            raise ValueError(
                f"text_cfgs, image_cfgs: {len(columns)} times {len(rows)} scales are "
                f"{len(columns) * len(rows)} edits; one grid makes at most {MOST_CELLS}. "
                "Shorten a list."
            )
        seed = chosen.pop("seed")
        edit = Edit(model, instruction, negative, source, guidance=guidance, **chosen)
        cells = [Cell(text, image, seed) for image in rows for text in columns]
        labels = [f"text_cfg {c:g}" for c in columns], [f"image_cfg {r:g}" for r in rows]
        height, width = source["samples"].shape[-2:]
        scale = vae.spacial_compression_decode()
        sheets = [Sheet(*labels, (scale * width, scale * height)) for _ in source["samples"]]
        previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)

        def growing(indices: list[int], x0: Tensor) -> Image.Image:
            if previewer is not None:
                for index, estimate in zip(indices, x0.chunk(len(indices)), strict=True):
                    picture = previewer.decode_latent_to_preview(estimate[:1])
                    sheets[0].paste(picture, index % len(columns), index // len(columns))
            return sheets[0].image

        edits: list[Tensor] = [torch.empty(0)] * len(cells)
        bar = comfy.utils.ProgressBar(edit.steps * len(cells))
        for indices, latents in edit.run(cells, bar, growing):
            decoded = vae.decode(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])
            for index, images in zip(indices, decoded, strict=True):
                edits[index] = images
                for sheet, image in zip(sheets, images, strict=True):
                    sheet.paste(as_pil(image), index % len(columns), index // len(columns))
        return io.NodeOutput(
            # The first picture's edits, row by row, then the next one's.
            torch.stack(edits, 1).flatten(0, 1),
            torch.stack([torch.from_numpy(np.array(sheet.image)) / 255 for sheet in sheets]),
        )
