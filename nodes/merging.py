"""Merging: any ordinary model becomes an editor."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..checkpoints.merging import merge_clips, merge_models


class IP2PMergeCheckpoint(io.ComfyNode):
    """Puts a custom model's look on an editor."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PMergeCheckpoint",
            display_name="Merge Checkpoint (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "Makes your favourite model an editor: editor + multiplier x (custom - base). "
                "The result edits by instruction in the style of the custom model."
            ),
            inputs=[
                io.Model.Input("editor", tooltip="An InstructPix2Pix model, of 8 input channels."),
                io.Model.Input(
                    "custom",
                    tooltip="The model whose look you want, an ordinary one of 4 input channels.",
                ),
                io.Model.Input(
                    "base",
                    tooltip="The model that custom was trained from: Stable Diffusion 1.5, mostly.",
                ),
                io.Float.Input(
                    "multiplier",
                    default=1.0,
                    min=-2.0,
                    max=2.0,
                    step=0.05,
                    round=0.001,
                    tooltip="How much of the custom model's look to add. 1 is all of it.",
                ),
                io.Clip.Input(
                    "editor_clip",
                    optional=True,
                    tooltip="The editor's text encoder. Connect all three, or none.",
                ),
                io.Clip.Input(
                    "custom_clip", optional=True, tooltip="The custom model's text encoder."
                ),
                io.Clip.Input("base_clip", optional=True, tooltip="The base model's text encoder."),
            ],
            outputs=[
                io.Model.Output(
                    "model",
                    display_name="model",
                    tooltip="The new editor. LoRAs go on top of it, IP2PSaveCheckpoint keeps it.",
                ),
                io.Clip.Output(
                    "clip",
                    display_name="clip",
                    tooltip="The merged text encoder, empty unless all three were connected.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        editor: Any,
        custom: Any,
        base: Any,
        multiplier: float,
        editor_clip: Any = None,
        custom_clip: Any = None,
        base_clip: Any = None,
    ) -> io.NodeOutput:
        clips = {"editor_clip": editor_clip, "custom_clip": custom_clip, "base_clip": base_clip}
        missing = [name for name, clip in clips.items() if clip is None]
        if 0 < len(missing) < 3:
            raise ValueError(
                f"{missing[0]}: nothing arrived. Connect all three text encoders, or none."
            )
        model = merge_models(editor, custom, base, multiplier)
        if missing:
            return io.NodeOutput(model, None)
        return io.NodeOutput(model, merge_clips(editor_clip, custom_clip, base_clip, multiplier))
