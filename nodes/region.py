"""The region that an instruction would change, found by the model itself."""

from __future__ import annotations

import logging
from typing import Any

import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..pictures.frame import CELL, Frame, as_rgb, to_original, to_working
from ..pictures.masks import blurred, drawn_to_edges, grown, otsu_threshold
from ..samplers.relevance import is_global, located, normalized, resized
from .pictures import FRAME
from .probing import check_instruction, probe
from .sampling import check_choice, guided_inputs

logger = logging.getLogger(__name__)

METHODS = ["relevance", "attention"]


class IP2PEditMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PEditMask",
            display_name="Edit Mask (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "Finds where an instruction changes the picture, by asking the model itself. "
                "Nothing is painted and no other model is needed."
            ),
            inputs=[
                *guided_inputs(),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    control_after_generate=False,
                    tooltip="The random numbers of the noises. The same seed finds the same mask.",
                ),
                io.Combo.Input(
                    "method",
                    options=METHODS,
                    default="relevance",
                    tooltip=(
                        "relevance: where the instruction moves the model's prediction. "
                        "attention: where the picture reads the instruction's words; coarser."
                    ),
                ),
                io.Float.Input(
                    "noise_level",
                    default=0.8,
                    min=0.05,
                    max=1.0,
                    step=0.01,
                    tooltip=(
                        "The most noise under which the model is asked: 1 is all noise. Lower is "
                        "sharper for changes of color, higher sees new shapes."
                    ),
                ),
                io.Int.Input(
                    "draws",
                    default=4,
                    min=1,
                    max=64,
                    tooltip=(
                        "How many noises to take the mean of, at noise_level and below. "
                        "Each costs less than one sampling step."
                    ),
                ),
                io.Float.Input(
                    "threshold",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Where the mask ends in the heatmap. Lower is larger. 0 is automatic.",
                ),
                io.Int.Input(
                    "grow",
                    default=0,
                    min=-256,
                    max=256,
                    tooltip="Pixels of the picture by which to enlarge the mask, or to shrink it.",
                ),
                io.Int.Input(
                    "blur",
                    default=0,
                    min=0,
                    max=256,
                    tooltip="Pixels of the picture over which the mask's edge is made soft.",
                ),
            ],
            outputs=[
                io.Mask.Output(
                    "mask",
                    display_name="mask",
                    tooltip=(
                        "White where the picture changes, at the picture's own size. All white "
                        "when the edit is one of the whole picture."
                    ),
                ),
                io.Image.Output(
                    "heatmap",
                    display_name="heatmap",
                    tooltip="How much each place answers, over the picture: blue little, red much.",
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
        seed: int,
        method: str,
        noise_level: float,
        draws: int,
        threshold: float,
        grow: int,
        blur: int,
    ) -> io.NodeOutput:
        check_choice("method", method, METHODS)
        for name, value, least, most in (
            ("noise_level", noise_level, 0.05, 1),
            ("draws", draws, 1, 64),
            ("threshold", threshold, 0, 1),
            ("grow", grow, -256, 256),
            ("blur", blur, 0, 256),
        ):
            if not least <= value <= most:
                raise ValueError(f"{name}: got {value}; give {least} to {most}.")
        check_instruction(instruction, negative)
        found = probe(model, instruction, negative, source, seed, noise_level, draws)
        frame = source.get(FRAME) or plain_frame(found.relevance)
        if method == "relevance":
            heat = located(found.relevance, found.attention)
        elif found.attention is not None:
            heat = normalized(found.attention)
        else:
            raise ValueError(
                "method: this model has no cross-attention to read the regions from. "
                "Choose 'relevance'."
            )
        whole = is_global(found.relevance, found.attention)
        heat = fine_heat(heat, frame, whole)
        masks = [
            torch.ones_like(one) if everywhere else region(one, threshold, grow, blur)
            for one, everywhere in zip(heat, whole, strict=True)
        ]
        shown = torch.zeros(len(heat), *frame.original.shape[1:3])
        mask = shown.clone()
        shown[frame.part], mask[frame.part] = heat, torch.stack(masks)
        report = describe(mask, whole)
        logger.info("IP2PEditMask: %s", report)
        return io.NodeOutput(mask, over_picture(shown, frame.original), ui=ui.PreviewText(report))


def plain_frame(relevance: Tensor) -> Frame:
    """The frame of a source that was encoded by another node: grey, of the working size."""
    batch, height, width = relevance.shape
    grey = torch.full((1, 1, 1, 1), 0.5).expand(batch, height * CELL, width * CELL, 3)
    return Frame(grey, width * CELL, height * CELL, 0, 0, 0, 0)


def fine_heat(heat: Tensor, frame: Frame, whole: list[bool]) -> Tensor:
    """Maps in latent cells [B, h, w], 0..1, as maps of what the frame shows of the original.

    Drawn to the picture's edges, unless `whole` says that the edit has none.
    """
    size = frame.working_height, frame.working_width
    coarse = resized(heat, size)
    picture = to_working(as_rgb(frame.original), frame).float().cpu().movedim(-1, 1)
    # A batch of one picture and several instructions.
    picture = picture.expand(len(heat), -1, -1, -1)
    drawn = drawn_to_edges(coarse, picture)
    drawn = drawn / drawn.amax((1, 2), keepdim=True).clamp(min=1e-6)
    kept = torch.tensor(whole)[:, None, None]
    return to_original(torch.where(kept, coarse, drawn)[..., None], frame)[..., 0]


def region(heat: Tensor, threshold: float, grow: int, blur: int) -> Tensor:
    """The mask [H, W] of one fine map; ValueError where nothing is left of it."""
    mask = (heat >= (threshold or otsu_threshold(heat))).float()[None]
    mask = blurred(grown(mask, grow), blur)[0]
    if not mask.any():
        raise ValueError(
            f"threshold: nothing is left of the mask at threshold {threshold:g} and grow {grow}. "
            "Lower the threshold, or set it to 0, which finds one by itself; do not shrink so far."
        )
    return mask


def describe(mask: Tensor, whole: list[bool]) -> str:
    """What was found, a sentence for each picture."""
    sentences = [
        "The edit is one of the whole picture, so the mask is all white."
        if everywhere
        else f"The edit is found in {one.mean():.1%} of the picture."
        for one, everywhere in zip(mask, whole, strict=True)
    ]
    return sentences[0] if len(set(sentences)) == 1 else "\n".join(sentences)


def over_picture(heat: Tensor, original: Tensor) -> Tensor:
    """The map [B, H, W] in the colors blue, green, yellow, red over the picture in grey."""
    grey = as_rgb(original).float().cpu().mean(-1, keepdim=True)
    centres = torch.tensor([0.75, 0.5, 0.25])
    colors = (1.5 - (4 * (heat[..., None] - centres)).abs()).clamp(0, 1)
    return (grey + colors) / 2
