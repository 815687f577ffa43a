"""Dual-guidance sampling: the KSampler of this pack, and the guider for custom sampling."""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
from comfy_api.latest import io
from torch import Tensor

from ..samplers.control import Guidance
from ..samplers.guider import DualGuider, kept_part, official_sampler
from ..samplers.official import NoiseStream

GuidanceType = io.Custom("IP2P_GUIDANCE")


def guided_inputs() -> list[io.Input]:
    """The inputs that both nodes begin with."""
    return [
        io.Model.Input("model", tooltip="An InstructPix2Pix model (8 input channels)."),
        io.Conditioning.Input("instruction", tooltip="What to change, from IP2PEncodeInstruction."),
        io.Conditioning.Input(
            "negative",
            tooltip="What both branches without instruction read, from IP2PEncodeInstruction.",
        ),
        io.Latent.Input(
            "source", tooltip="The picture to edit, from IP2PEncodeSource, with its mask if any."
        ),
    ]


def scale_inputs() -> list[io.Input]:
    """The two scales of dual guidance."""
    return [
        io.Float.Input(
            "text_cfg",
            default=7.5,
            min=0.0,
            max=100.0,
            step=0.1,
            round=0.01,
            tooltip=(
                "How strongly to follow the instruction. Higher changes more. "
                "Usual range 3 to 12; 0 ignores the instruction."
            ),
        ),
        io.Float.Input(
            "image_cfg",
            default=1.5,
            min=0.0,
            max=100.0,
            step=0.05,
            round=0.01,
            tooltip=(
                "How strongly to stay with the picture. Lower changes more. Usual range 1 to 2.2; "
                "at 1 sampling is a third faster."
            ),
        ),
    ]


def run_inputs() -> list[io.Input]:
    """The random numbers and the number of steps."""
    return [
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=True,
            tooltip="The random numbers of this edit. Another seed is another attempt.",
        ),
        io.Int.Input(
            "steps",
            default=20,
            min=1,
            max=10000,
            tooltip="Sampling steps. 20 is enough; the authors used 100.",
        ),
    ]


def sampler_inputs() -> list[io.Input]:
    """The algorithm and its noise levels."""
    return [
        io.Combo.Input(
            "sampler_name",
            options=comfy.samplers.SAMPLER_NAMES,
            default="euler_ancestral",
            tooltip="The sampling algorithm. The authors used euler_ancestral.",
        ),
        io.Combo.Input(
            "scheduler",
            options=comfy.samplers.SCHEDULER_NAMES,
            default="normal",
            tooltip="How the noise levels are spaced. The authors' spacing is 'normal'.",
        ),
    ]


def guidance_input() -> io.Input:
    """The socket for finer control of the two scales."""
    return GuidanceType.Input(
        "guidance",
        optional=True,
        tooltip="From IP2PGuidance: schedules and regions of the two scales. Optional.",
    )


class IP2PKSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PKSampler",
            display_name="KSampler (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "Edits the picture: samples with two guidance scales, one for the instruction "
                "and one for the picture."
            ),
            inputs=[
                *guided_inputs(),
                *run_inputs(),
                *scale_inputs(),
                *sampler_inputs(),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip=(
                        "1 starts from pure noise, as InstructPix2Pix is meant to. "
                        "Lower starts from the picture and changes less."
                    ),
                ),
                io.Combo.Input(
                    "numerics",
                    options=["comfyui", "official"],
                    default="comfyui",
                    tooltip=(
                        "comfyui: the same numbers as ComfyUI's own nodes. official: the same "
                        "picture as diffusers and the authors' code for this seed."
                    ),
                ),
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
        seed: int,
        steps: int,
        text_cfg: float,
        image_cfg: float,
        sampler_name: str,
        scheduler: str,
        denoise: float,
        numerics: str,
        guidance: Guidance | None = None,
    ) -> io.NodeOutput:
        check_choice("sampler_name", sampler_name, comfy.samplers.SAMPLER_NAMES)
        check_choice("scheduler", scheduler, comfy.samplers.SCHEDULER_NAMES)
        check_choice("numerics", numerics, ["comfyui", "official"])
        guider = DualGuider(model, instruction, negative, source, text_cfg, image_cfg, guidance)
        latent = source["samples"].float()
        sampler = comfy.samplers.sampler_object(sampler_name)
        if numerics == "official":
            guider.use_official_numerics()
            stream = NoiseStream(seed, latent.shape)
            noise = stream.draw()
            sampler = official_sampler(sampler, stream)
        else:
            noise = comfy.sample.prepare_noise(latent, seed, source.get("batch_index"))
        mask = source.get("noise_mask")
        if denoise > 0.9999:
            latent = kept_part(latent, mask)
        # KSampler is asked for its noise levels only: it knows denoise and each sampler's quirks.
        sigmas = comfy.samplers.KSampler(
            guider.model_patcher, steps, "cpu", sampler_name, scheduler, denoise
        ).sigmas
        samples: Tensor = guider.sample(
            noise,
            latent,
            sampler,
            sigmas,
            denoise_mask=mask,
            callback=latent_preview.prepare_callback(guider.model_patcher, len(sigmas) - 1),
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=seed,
        )
        samples = samples.to(comfy.model_management.intermediate_device())
        return io.NodeOutput({**source, "samples": samples})


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
            inputs=[*guided_inputs(), *scale_inputs(), guidance_input()],
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


def check_choice(name: str, value: str, choices: list[str]) -> None:
    """Raise ValueError unless `value` is one of `choices`.

    ComfyUI 0.3 does not check the options of a queued prompt.
    """
    if value not in choices:
        raise ValueError(f"{name}: got {value!r}; choose one of {', '.join(choices)}.")
