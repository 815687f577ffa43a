"""What a run has learnt, as a MODEL and as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import comfy.sd
import safetensors
from comfy.model_patcher import ModelPatcher

from ..checkpoints.families import family_of
from ..checkpoints.layouts import Parts
from ..checkpoints.lora import DISTILLED_AT
from ..checkpoints.models import architecture_of, build_model
from ..checkpoints.saving import sampling_of, save_model
from ..checkpoints.signs import unet_signs
from .settings import RunError, Settings
from .state import write_tensors
from .weights import Weights


def as_model(weights: Weights, model: ModelPatcher, resolution: int) -> ModelPatcher:
    """The MODEL with what was learnt: patches on it, or for a base without pictures a new one."""
    if not weights.net.grown:
        return comfy.sd.load_lora_for_models(model, None, weights.lora_tensors(), 1.0, 0.0)[0]
    unet = weights.unet_tensors()
    signs = unet_signs({name: tuple(tensor.shape) for name, tensor in unet.items()})
    family = family_of(signs) if signs else None
    if family is None:
        raise RunError("model: this base's UNet is that of no InstructPix2Pix family.")
    told = architecture_of(model)
    if resolution != told.get("resolution", family.resolution):
        told["resolution"] = resolution
    parts = Parts(family, unet, {}, (), resolution, sampling_of(model), architecture=told)
    return build_model(parts, "the trained model")


def write_result(
    folder: Path, weights: Weights, model: ModelPatcher, clip: Any, vae: Any, resolution: int
) -> Path:
    """Write what was learnt: lora.safetensors for a LoRA, result.safetensors for all else.

    One that was distilled tells at which scales.
    """
    settings = weights.settings
    if weights.lora is not None and not weights.net.grown:
        path = folder / "lora.safetensors"
        write_tensors(path, weights.lora_tensors(), {"format": "pt"} | distilled(settings))
        return path
    path, (text_cfg, image_cfg) = folder / "result.safetensors", settings.scales
    usual = {"text_cfg": text_cfg, "image_cfg": image_cfg} if settings.distill else {}
    try:
        save_model(path, as_model(weights, model, resolution), clip, vae, "fp16", usual)
    except (OSError, safetensors.SafetensorError) as error:
        raise RunError(f"{path} cannot be written ({error}). Free space on the disk.") from error
    return path


def distilled(settings: Settings) -> dict[str, str]:
    """The metadata of a LoRA that holds its guidance, {} of any other."""
    scales = {"text_cfg": settings.text_cfg, "image_cfg": settings.image_cfg}
    return {DISTILLED_AT: json.dumps(scales)} if settings.distill else {}
