"""Finer control of the two scales, as one socket."""

from __future__ import annotations

import logging
from typing import Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..samplers.control import Guidance, Schedule
from ..samplers.reuse import Reuse
from .inputs import GuidanceType, check_choice, check_range

logger = logging.getLogger(__name__)

CURVES = ["constant", "linear", "cosine"]
SPACES = ["eps", "v"]
REUSES = ["off", "fast", "custom"]


def schedule_inputs(scale: str, purpose: str) -> list[io.Input]:
    """The four inputs that say how the scale `scale`_cfg runs."""
    fraction = {"min": 0.0, "max": 1.0, "step": 0.01}
    return [
        io.Float.Input(
            f"{scale}_start",
            default=0.0,
            **fraction,
            tooltip=f"Where {purpose} guidance begins: 0 the first step, 1 the last.",
        ),
        io.Float.Input(
            f"{scale}_end",
            default=1.0,
            **fraction,
            tooltip=f"Where {purpose} guidance ends. Outside of it {scale}_cfg is 1.",
        ),
        io.Combo.Input(
            f"{scale}_curve",
            options=CURVES,
            default="constant",
            tooltip=f"How {scale}_cfg goes from its full value to its final one.",
        ),
        io.Float.Input(
            f"{scale}_final",
            default=1.0,
            min=0.0,
            max=10.0,
            step=0.01,
            tooltip=f"Factor of {scale}_cfg reached at the end by linear and cosine.",
        ),
    ]


class IP2PGuidance(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PGuidance",
            display_name="Guidance (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "When and where each of the two scales acts, and how hard it may push. "
                "Its defaults change nothing."
            ),
            inputs=[
                *schedule_inputs("text", "instruction"),
                *schedule_inputs("image", "picture"),
                io.Float.Input(
                    "rescale",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Takes back contrast that high scales add. 0 off, usual 0.5 to 0.7.",
                ),
                io.Combo.Input(
                    "rescale_space",
                    options=SPACES,
                    default="eps",
                    tooltip="Where contrast is measured: eps as diffusers, v as RescaleCFG.",
                ),
                io.Float.Input(
                    "apg_eta",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=(
                        "Share of the instruction's push that merely amplifies what is there. "
                        "1 off; lower keeps colors from burning at high text_cfg."
                    ),
                ),
                io.Float.Input(
                    "apg_norm",
                    default=0.0,
                    min=0.0,
                    max=1000.0,
                    step=0.1,
                    tooltip="Longest push of the instruction allowed at each step. 0 off.",
                ),
                io.Mask.Input(
                    "region",
                    optional=True,
                    tooltip=(
                        "White is inside. It covers the working picture, whatever its size. "
                        "Only the two factors below read it."
                    ),
                ),
                io.Float.Input(
                    "text_outside",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    tooltip=(
                        "Factor of text_cfg where the region is black. 1 / text_cfg means no "
                        "guidance there; at 0 the model edits as it likes."
                    ),
                ),
                io.Float.Input(
                    "image_outside",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    tooltip="Factor of image_cfg where the region is black.",
                ),
                io.Combo.Input(
                    "reuse",
                    options=REUSES,
                    default="off",
                    optional=True,
                    tooltip=(
                        "Which predictions are used for several steps. fast: that of the branch "
                        "without the picture, for a quarter fewer evaluations; the picture of a "
                        "seed changes a little. custom: set by the two numbers below."
                    ),
                ),
                io.Int.Input(
                    "image_every",
                    default=4,
                    min=1,
                    max=50,
                    optional=True,
                    tooltip="For custom: over how many steps the picture's difference is used.",
                ),
                io.Int.Input(
                    "text_every",
                    default=1,
                    min=1,
                    max=10,
                    optional=True,
                    tooltip=(
                        "For custom: over how many steps the instruction's difference is used. "
                        "Above 1 it costs quality, unless text_cfg is 4 at most."
                    ),
                ),
            ],
            outputs=[
                GuidanceType.Output(
                    "guidance",
                    display_name="guidance",
                    tooltip="Connect to the guidance of IP2PKSampler or IP2PGuider.",
                )
            ],
        )

    @classmethod
    def execute(
        cls,
        rescale: float,
        rescale_space: Any,
        apg_eta: float,
        apg_norm: float,
        text_outside: float,
        image_outside: float,
        region: Tensor | None = None,
        reuse: str = "off",
        image_every: int = 4,
        text_every: int = 1,
        **schedules: Any,
    ) -> io.NodeOutput:
        check_choice("rescale_space", rescale_space, SPACES)
        check_choice("reuse", reuse, REUSES)
        check_range("image_every", image_every, 1, 50)
        check_range("text_every", text_every, 1, 10)
        reused = {"off": None, "fast": Reuse(), "custom": Reuse(image_every, text_every)}
        outside = {"text": text_outside, "image": image_outside}
        runs = {}
        for scale, factor in outside.items():
            start, end, curve, final = (
                schedules[f"{scale}_{name}"] for name in ("start", "end", "curve", "final")
            )
            check_choice(f"{scale}_curve", curve, CURVES)
            if start > end:
                raise ValueError(
                    f"{scale}_start: {start} lies behind {scale}_end {end}, so {scale}_cfg would "
                    "never act. Make the start the smaller one."
                )
            runs[scale] = Schedule(start, end, curve, final, factor)
        if region is not None and (region.ndim != 3 or not region.numel()):
            raise ValueError(
                f"region: expected a mask of shape (batch, height, width), got "
                f"{tuple(region.shape)}. Connect a MASK."
            )
        said = None
        if region is not None and not region.any():
            said = (
                "The region is all black, so text_outside and image_outside hold everywhere. "
                "LoadImage gives such a mask for a picture without transparency."
            )
            logger.warning("IP2PGuidance: %s", said)
        return io.NodeOutput(
            Guidance(
                runs["text"],
                runs["image"],
                rescale,
                rescale_space,
                apg_eta,
                apg_norm,
                region,
                reused[reuse],
            ),
            ui=said and ui.PreviewText(said),
        )
