"""ComfyUI's class of each family, and that of the one which ComfyUI lacks."""

from __future__ import annotations

from typing import Any

import comfy.model_base
import comfy.supported_models
import torch
from comfy.supported_models_base import BASE

from .families import FAMILIES, Family


class SD21_instructpix2pix(comfy.supported_models.SD20):
    """Stable Diffusion 2.x with the source beside the noise, as core has it for SD 1.5."""

    def get_model(
        self, state_dict: dict[str, Any], prefix: str = "", device: torch.device | None = None
    ) -> comfy.model_base.BaseModel:
        return comfy.model_base.SD15_instructpix2pix(self, device=device)


def core_class(family: Family) -> type[BASE]:
    """The configuration class; its name is that of comfy.supported_models wherever it has one."""
    ours = SD21_instructpix2pix
    if family.core_class == ours.__name__:
        return ours
    found: type[BASE] = getattr(comfy.supported_models, family.core_class)
    return found


def family_of_model(model: comfy.model_base.BaseModel) -> Family:
    """The family of a loaded model; ValueError for one of no family that we know."""
    config = model.model_config
    for family in FAMILIES:
        if isinstance(config, core_class(family)):
            return family
    raise ValueError(
        f"model: this model is a {type(config).__name__}, which belongs to none of the families of "
        "InstructPix2Pix that the pack knows. Connect one that IP2PLoadCheckpoint loaded."
    )
