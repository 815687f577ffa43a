"""The region that an instruction would change, found by the model itself."""

from __future__ import annotations

import logging
from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..pictures.frame import Frame, frame_of
from ..pictures.region import draw_region, over_picture
from ..samplers.comfy.guider import check_source
from ..samplers.comfy.probe import check_instruction
from ..samplers.comfy.region import DRAWS, METHODS, NOISE_LEVEL, THRESHOLD, find_region
from .inputs import WORDS, check_choice, check_range, guided_inputs, newer
from .pictures import FrameType

logger = logging.getLogger(__name__)


class IP2PEditMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PEditMask",
            display_name="Edit Mask (InstructPix2Pix)",
            category="InstructPix2Pix",
            **newer(io.Schema, search_aliases=WORDS),
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
                    default=METHODS[0],
                    tooltip=(
                        "relevance: where the instruction moves the model's prediction. "
                        "attention: where the picture reads the instruction's words; coarser."
                    ),
                ),
                io.Float.Input(
                    "noise_level",
                    default=NOISE_LEVEL,
                    min=0.05,
                    max=1.0,
                    step=0.01,
                    tooltip=(
                        "The highest noise level at which the model is asked: 1 is pure noise. "
                        "Lower is sharper for changes of color, higher also sees new shapes."
                    ),
                ),
                io.Int.Input(
                    "draws",
                    default=DRAWS,
                    min=1,
                    max=64,
                    tooltip=(
                        "How many random noises to average, at noise_level and below. "
                        "Each costs less than one sampling step."
                    ),
                ),
                io.Float.Input(
                    "threshold",
                    default=THRESHOLD,
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
                FrameType.Input(
                    "frame",
                    optional=True,
                    tooltip=(
                        "From the IP2PEncodeSource of this source: the mask gets the size and the "
                        "edges of the original. Not connected: the size of the working picture."
                    ),
                ),
            ],
            outputs=[
                io.Mask.Output(
                    "mask",
                    display_name="mask",
                    tooltip=(
                        "White where the picture changes, for IP2PRestore or IP2PEncodeSource. "
                        "All white when the edit changes the whole picture."
                    ),
                ),
                io.Image.Output(
                    "heatmap",
                    display_name="heatmap",
                    tooltip=(
                        "How much the instruction changes each place, drawn over the picture: blue "
                        "little, red much."
                    ),
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
        frame: Frame | None = None,
    ) -> io.NodeOutput:
        check_choice("method", method, METHODS)
        for name, value, least, most in (
            ("noise_level", noise_level, 0.05, 1),
            ("draws", draws, 1, 64),
            ("threshold", threshold, 0, 1),
            ("grow", grow, -256, 256),
            ("blur", blur, 0, 256),
        ):
            check_range(name, value, least, most)
        check_instruction(instruction, negative)
        frame = frame_of(check_source(source), frame)
        region = find_region(model, instruction, negative, source, seed, method, noise_level, draws)
        heat, mask = draw_region(region.heat, region.whole, frame, threshold, grow, blur)
        report = describe(mask, region.whole)
        logger.info("IP2PEditMask: %s", report)
        return io.NodeOutput(mask, over_picture(heat, frame.original), ui=ui.PreviewText(report))


def describe(mask: Tensor, whole: list[bool]) -> str:
    """What was found, a sentence for each picture."""
    sentences = [
        "The edit changes the whole picture, so the mask is all white."
        if everywhere
        else f"The edit is found in {one.mean():.1%} of the picture."
        for one, everywhere in zip(mask, whole, strict=True)
    ]
    return sentences[0] if len(set(sentences)) == 1 else "\n".join(sentences)
