"""LoRAs of editors, in every naming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
from comfy_api.latest import io

from ..checkpoints.files import CheckpointError
from ..checkpoints.lora import load_lora
from ..edits.settings import DISTILLED

DISTILLED_FILE = Path(__file__).resolve().parents[1] / "mini" / "ip2p-mini-distilled.safetensors"


def find_lora(name: str) -> Path:
    """The file behind an entry of the combo; CheckpointError where there is none."""
    if name == DISTILLED:
        return DISTILLED_FILE
    listed = name in folder_paths.get_filename_list("loras")
    path = folder_paths.get_full_path("loras", name) if listed else None
    if path is None:
        raise CheckpointError(
            f"lora_name: {name!r} is not there. Put LoRAs in models/loras, refresh the "
            "editor (key R), and choose one of them."
        )
    return Path(path)


class IP2PLoadLora(io.ComfyNode):
    """Puts a LoRA on an editor."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PLoadLora",
            display_name="Load LoRA (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "Puts a LoRA on the model, whichever trainer wrote it. Use it for LoRAs that "
                "diffusers or PEFT trained: ComfyUI's own loader skips them with lines in the log."
            ),
            inputs=[
                io.Model.Input("model", tooltip="The editing model."),
                io.Combo.Input(
                    "lora_name",
                    options=[DISTILLED, *folder_paths.get_filename_list("loras")],
                    tooltip=(
                        "A file in models/loras, of the same family as the model; or the built-in "
                        "one, which lets ip2p-mini edit at text_cfg 1 and image_cfg 1."
                    ),
                ),
                io.Float.Input(
                    "strength_model",
                    default=1.0,
                    min=-20.0,
                    max=20.0,
                    step=0.01,
                    tooltip="How much of the LoRA to put on the model. 0 leaves it as it is.",
                ),
                io.Float.Input(
                    "strength_clip",
                    default=1.0,
                    min=-20.0,
                    max=20.0,
                    step=0.01,
                    tooltip="How much of the LoRA to put on the text encoder.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="The text encoder, for LoRAs that were trained on it too.",
                ),
            ],
            # The ids may not equal input ids on the oldest supported ComfyUI.
            outputs=[
                io.Model.Output(
                    "model_with_lora",
                    display_name="model",
                    tooltip=(
                        "The model with the LoRA. Connect it to the sampler or to another LoRA."
                    ),
                ),
                io.Clip.Output(
                    "clip_with_lora",
                    display_name="clip",
                    tooltip="The text encoder with the LoRA, empty where none was connected.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        lora_name: str,
        strength_model: float,
        strength_clip: float,
        clip: Any = None,
    ) -> io.NodeOutput:
        path = find_lora(lora_name)
        return io.NodeOutput(*load_lora(path, model, clip, strength_model, strength_clip))
