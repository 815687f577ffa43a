"""Training pairs in the editor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.samplers
import comfy.utils
import latent_preview
import torch
from comfy_api.latest import io
from torch import Tensor

from ..pairs.filter import THRESHOLDS
from ..pairs.making import Candidates, Recipe
from ..pairs.prompt_to_prompt import Draw, draws
from ..pictures.frame import as_pil
from ..pictures.sheet import Sheet
from .inputs import check_choice, setting_input

PREVIEW_SIZE = 1024


class IP2PMakePairs(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PMakePairs",
            display_name="Make Pairs (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "Draws a picture before and a picture after an edit from their two captions, many "
                "times, and keeps the best: training pairs, made as the authors of InstructPix2Pix "
                "made theirs (Prompt-to-Prompt)."
            ),
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="A text-to-image model: Stable Diffusion 1.x, 2.x or SDXL.",
                ),
                io.Clip.Input("clip", tooltip="Its text encoder. Reads both captions."),
                io.Vae.Input("vae", tooltip="Its VAE. Turns the latents into pictures."),
                io.String.Input(
                    "before",
                    multiline=True,
                    tooltip="The caption of the picture before the edit: a photo of a lake.",
                ),
                io.String.Input(
                    "after",
                    multiline=True,
                    tooltip=(
                        "The caption after the edit, in mostly the same words: a photo of a lake "
                        "in snow."
                    ),
                ),
                io.Int.Input(
                    "samples",
                    default=8,
                    min=1,
                    max=1000,
                    tooltip="How many pairs to draw. More give a better choice; the authors: 100.",
                ),
                io.Int.Input(
                    "keep",
                    default=4,
                    min=1,
                    max=1000,
                    tooltip="How many pairs to keep at most, the best first. The authors: 4.",
                ),
                *(
                    io.Float.Input(
                        name, default=default, min=0.0, max=1.0, step=0.01, tooltip=tooltip
                    )
                    for name, default, tooltip in (
                        (
                            "swap_from",
                            0.1,
                            "Each pair shares self-attention during another part of the steps. "
                            "This is the smallest. Higher keeps more of the first picture.",
                        ),
                        ("swap_to", 0.9, "The largest part of the steps. 1 shares all but one."),
                    )
                ),
                *(
                    io.Float.Input(
                        name,
                        default=default,
                        min=0.0,
                        max=100.0,
                        step=0.1,
                        round=0.01,
                        tooltip=tooltip,
                    )
                    for name, default, tooltip in (
                        (
                            "cfg_from",
                            7.5,
                            "Each pair has a guidance scale of its own. This is the lowest.",
                        ),
                        (
                            "cfg_to",
                            15.0,
                            "The highest scale. Higher follows the captions.",
                        ),
                    )
                ),
                *(setting_input(n) for n in ("steps", "sampler_name", "scheduler", "seed")),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip=(
                        "Scores the pairs: the vision part of a CLIP, or a DINOv2. Without it the "
                        "first pairs are kept."
                    ),
                ),
                io.Clip.Input(
                    "scoring_clip",
                    optional=True,
                    tooltip=(
                        "The text part of the CLIP of clip_vision, which scores the captions: "
                        "clip_l.safetensors with CLIPLoader for ViT-L. Not needed with SDXL and "
                        "the vision part of CLIP-G."
                    ),
                ),
                io.Combo.Input(
                    "thresholds",
                    options=list(THRESHOLDS),
                    default="authors",
                    optional=True,
                    tooltip=(
                        "Which scores a pair needs. authors: pictures 0.7, direction and captions "
                        "0.2. ultraedit: pictures 0.75, direction 0.22, DINO 0.4."
                    ),
                ),
                io.Latent.Input(
                    "latent_image",
                    optional=True,
                    tooltip=(
                        "An empty latent sets the size. The latent of a picture, with denoise "
                        "below 1, makes pairs that look like it."
                    ),
                ),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="1 starts from noise. 0.5 to 0.8 starts from the picture.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "before_images",
                    display_name="before",
                    tooltip="The first picture of each pair that was kept, the best pair first.",
                ),
                io.Image.Output(
                    "after_images",
                    display_name="after",
                    tooltip="The second picture of each pair, in the same order.",
                ),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="How many were kept and why, with seed and scores of each.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        before: str,
        after: str,
        samples: int,
        keep: int,
        swap_from: float,
        swap_to: float,
        cfg_from: float,
        cfg_to: float,
        steps: int,
        sampler_name: str,
        scheduler: str,
        seed: int,
        clip_vision: Any = None,
        scoring_clip: Any = None,
        thresholds: str = "authors",
        latent_image: dict[str, Any] | None = None,
        denoise: float = 1.0,
    ) -> io.NodeOutput:
        check_choice("sampler_name", sampler_name, comfy.samplers.SAMPLER_NAMES)
        check_choice("scheduler", scheduler, comfy.samplers.SCHEDULER_NAMES)
        check_choice("thresholds", thresholds, list(THRESHOLDS))
        check_ends("swap", swap_from, swap_to)
        check_ends("cfg", cfg_from, cfg_to)
        start = None if latent_image is None else latent_image["samples"]
        recipe = Recipe(
            model, clip, vae, before, after, steps, sampler_name, scheduler, start, denoise
        )
        chosen = draws(seed, samples, (swap_from, swap_to), (cfg_from, cfg_to))
        view = LiveView(recipe, chosen)
        parts = []
        for batch, first, second in recipe.pictures(chosen, view.on_step):
            view.show(batch, first, second)
            parts.append((first, second))
        drawn = Candidates(chosen, *(torch.cat(images) for images in zip(*parts, strict=True)))
        scores = drawn.scored(recipe, clip_vision, scoring_clip)
        return io.NodeOutput(*drawn.kept(scores, THRESHOLDS[thresholds], keep))


def check_ends(name: str, least: float, most: float) -> None:
    """Raise ValueError where a range ends before it begins."""
    if least > most:
        raise ValueError(
            f"{name}_from, {name}_to: got {least:g} to {most:g}; the first must not be larger."
        )


class LiveView:
    """The progress bar and a sheet with a row for each pair of the last batch, before and after."""

    def __init__(self, recipe: Recipe, chosen: Sequence[Draw]) -> None:
        self.bar = comfy.utils.ProgressBar(recipe.steps * len(chosen))
        self.steps, self.done = recipe.steps, 0
        model = recipe.model
        self.previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)
        scale = recipe.vae.spacial_compression_decode()
        height, width = (scale * side for side in recipe.latent().shape[-2:])
        shrink = min(1.0, PREVIEW_SIZE / 2 / max(height, width))
        self.size = max(1, round(width * shrink)), max(1, round(height * shrink))

    def on_step(self, batch: Sequence[Draw], step: int, x0: Tensor) -> None:
        """Move the bar, which is also where an interrupt is heard, and show the estimates."""
        shown = None
        if self.previewer is not None:
            sheet = Sheet(["before", "after"], [""] * len(batch), self.size)
            for number in range(2 * len(batch)):
                picture = self.previewer.decode_latent_to_preview(x0[number : number + 1])
                sheet.paste(picture, number % 2, number // 2)
            shown = ("JPEG", sheet.image, PREVIEW_SIZE)
        self.bar.update_absolute(self.done + len(batch) * (step + 1), preview=shown)

    def show(self, batch: Sequence[Draw], first: Tensor, second: Tensor) -> None:
        """Show the finished pictures of a batch."""
        self.done += len(batch) * self.steps
        sheet = Sheet(["before", "after"], [""] * len(batch), self.size)
        for row, pair in enumerate(zip(first, second, strict=True)):
            for column, image in enumerate(pair):
                sheet.paste(as_pil(image), column, row)
        self.bar.update_absolute(self.done, preview=("JPEG", sheet.image, PREVIEW_SIZE))
