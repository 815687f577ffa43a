"""Pictures on their way in and out: the source's latent, the restored edit, a bundled sample."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..edits.settings import SETTINGS
from ..mini.scenes import SAMPLES, sample_image
from ..pictures.checks import check_picture, checked_mask
from ..pictures.frame import (
    Frame,
    as_rgb,
    fit_around_mask,
    fit_keep_size,
    fit_training_size,
    latent_mask,
    resize_mask,
    to_working,
)
from ..pictures.restore import restore
from .inputs import WORDS, newer, setting_input, setting_inputs

logger = logging.getLogger(__name__)

FrameType = io.Custom("IP2P_FRAME")

# Big enough to look at; IP2PEncodeSource reduces it to the model's own size.
SAMPLE_SIZE = 512


class IP2PEncodeSource(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PEncodeSource",
            display_name="Encode Source (InstructPix2Pix)",
            category="InstructPix2Pix",
            **newer(io.Schema, search_aliases=WORDS),
            description=(
                "Prepares the picture to edit, of any size and shape, whole or around a mask. "
                "IP2PRestore brings the edit back to the original size and framing."
            ),
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip="The picture to edit, or a batch of them. Transparency is kept aside.",
                ),
                io.Vae.Input("vae", tooltip="The VAE of the InstructPix2Pix checkpoint."),
                setting_input("fit"),
                io.Int.Input(
                    "resolution",
                    default=512,
                    min=64,
                    max=2048,
                    step=8,
                    tooltip=(
                        "The training size of the model, from IP2PLoadCheckpoint: 512 for Stable "
                        "Diffusion 1.5, 256 for ip2p-mini. Not used by keep size."
                    ),
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "White may change, black stays. Any size. "
                        "The frame takes it along to IP2PRestore."
                    ),
                ),
                setting_input("margin", optional=True),
            ],
            outputs=[
                io.Latent.Output(
                    "source",
                    display_name="source",
                    tooltip="Connect to the source of IP2PKSampler or IP2PGuider.",
                ),
                FrameType.Output(
                    "frame",
                    display_name="frame",
                    tooltip=(
                        "The original, its place in the working picture, and the mask: for "
                        "IP2PRestore and IP2PEditMask."
                    ),
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        vae: Any,
        fit: str,
        resolution: int,
        mask: Tensor | None = None,
        margin: int = 64,
    ) -> io.NodeOutput:
        if getattr(vae, "first_stage_model", None) is None:
            raise ValueError(
                "vae: nothing arrived; the checkpoint holds no VAE. Load one with VAELoader "
                "(for Stable Diffusion 1.5, vae-ft-mse-840000; for SDXL, sdxl_vae) and connect it."
            )
        check_picture(image)
        SETTINGS["fit"].checked(fit)
        if mask is not None:
            mask = checked_mask(mask, len(image))
            mask = resize_mask(mask, image.shape[2], image.shape[1])
        if fit == "training size":
            frame = fit_training_size(image, resolution)
        elif fit == "keep size":
            frame = fit_keep_size(image)
        elif mask is None:
            raise ValueError(
                "mask: nothing arrived, and fit is 'around mask'. Connect the mask of what is to "
                "change, painted or from IP2PEditMask, or choose another fit."
            )
        else:
            frame = fit_around_mask(image, mask, margin, resolution)
        # ComfyUI's encode gives the mode of the posterior, unscaled, as the model was trained on.
        samples = vae.encode(to_working(as_rgb(image), frame))
        if samples.ndim != 4 or samples.shape[1] != 4:
            raise ValueError(
                f"vae: its latents have the shape {list(samples.shape)}, the model needs 4 "
                "channels. Connect the VAE of the checkpoint or another of Stable Diffusion 1.5."
            )
        frame = replace(frame, mask=mask, latents=samples)
        source = {"samples": samples}
        if mask is not None:
            if not mask.any():
                logger.warning("IP2PEncodeSource: the mask is all black, so nothing will change.")
            source["noise_mask"] = latent_mask(mask, frame, samples.shape[-2:])
        return io.NodeOutput(source, frame)


class IP2PRestore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PRestore",
            display_name="Restore (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "Brings the edited picture back to the size and framing of the original. With a "
                "mask, everything outside it is the original, bit for bit."
            ),
            inputs=[
                io.Image.Input(
                    "image",
                    tooltip=(
                        "The edited picture, from VAEDecode; it may be upscaled in between. "
                        "Several edits of one original are fine."
                    ),
                ),
                FrameType.Input("frame", tooltip="From the IP2PEncodeSource of this picture."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip=(
                        "White takes the edit, black keeps the original. Any size. Not connected: "
                        "the mask that IP2PEncodeSource got; without one, all is the edit."
                    ),
                ),
                *setting_inputs("feather", "match_color"),
            ],
            outputs=[
                # The id may not equal an input id on the oldest supported ComfyUI.
                io.Image.Output(
                    "restored",
                    display_name="image",
                    tooltip="The edit at the original's size, with the original's alpha if any.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        frame: Frame,
        feather: int,
        match_color: str,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        check_picture(image)
        if feather < 0:
            raise ValueError(f"feather: must be 0 or more pixels, got {feather}.")
        SETTINGS["match_color"].checked(match_color)
        if mask is not None:
            mask = checked_mask(mask, len(image))
        return io.NodeOutput(restore(image, frame, mask, feather, match_color == "mean-std"))


class IP2PSampleImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PSampleImage",
            display_name="Sample Image (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "A bundled picture of the kind that ip2p-mini can edit, with a mask of its hair or "
                "sky: for trying things out with nothing downloaded."
            ),
            inputs=[
                io.Combo.Input("scene", options=list(SAMPLES), tooltip="What the picture shows."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=0xFFFFFFFFFFFFFFFF,
                    # The editor would otherwise draw another picture after every run.
                    control_after_generate=False,
                    tooltip="0 is the picture itself; other numbers are others like it.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "image", display_name="image", tooltip="The picture, 512 x 512 pixels."
                ),
                io.Mask.Output(
                    "mask",
                    display_name="mask",
                    tooltip=(
                        "White where the hair (portraits), the sky (landscapes) or the object is."
                    ),
                ),
            ],
        )

    @classmethod
    def execute(cls, scene: str, seed: int) -> io.NodeOutput:
        if scene not in SAMPLES:
            raise ValueError(f"scene: got {scene!r}; choose one of {', '.join(SAMPLES)}.")
        picture, mask = sample_image(scene, seed, SAMPLE_SIZE)
        return io.NodeOutput(
            torch.tensor(picture)[None].float() / 255, torch.tensor(mask)[None].float()
        )
