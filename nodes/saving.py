"""Saving an editor as one file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ..checkpoints.saving import DTYPES, Precision, save_model
from ..samplers.comfy.guider import check_model


class IP2PSaveCheckpoint(io.ComfyNode):
    """Saves an editor."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PSaveCheckpoint",
            display_name="Save Checkpoint (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "Writes the model as it is now, LoRAs and merges included, as one .safetensors "
                "file in the output folder. Move it to models/checkpoints to load it."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The editing model, with all that is on it."),
                io.Clip.Input(
                    "clip", optional=True, tooltip="Its text encoder, to be in the same file."
                ),
                io.Vae.Input("vae", optional=True, tooltip="Its VAE, to be in the same file."),
                io.String.Input(
                    "filename_prefix",
                    default="checkpoints/editor",
                    tooltip="Folder and beginning of the name, below the output folder.",
                ),
                io.Combo.Input(
                    "precision",
                    options=list(DTYPES),
                    default="fp16",
                    tooltip=(
                        "How the numbers are stored. fp16: half the size, right for use. bf16: the "
                        "same size, less exact, for numbers that are too large for fp16. fp32: to "
                        "train the model further."
                    ),
                ),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        filename_prefix: str,
        precision: Precision,
        clip: Any = None,
        vae: Any = None,
    ) -> io.NodeOutput:
        if precision not in DTYPES:
            raise ValueError(f"precision: {precision!r} is not one of {', '.join(DTYPES)}.")
        check_model(model)
        folder, name, number, _, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory()
        )
        path = Path(os.path.join(folder, f"{name}_{number:05}_.safetensors"))
        save_model(path, model, clip, vae, precision)
        return io.NodeOutput(ui={"text": (f"Saved {path.name}",)})
