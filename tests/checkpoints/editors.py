"""A tiny editor of each family by its name, with the diffusers pipeline of the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .factory import UNET_CONFIG, ldm_state_dict, tiny_checkpoint, tiny_pipeline
from .factory_sd21 import sd21_checkpoint, sd21_pipeline, sd21_state_dict
from .factory_sdxl import LAYOUT, sdxl_checkpoint, sdxl_pipeline, sdxl_state_dict


class Kind(NamedTuple):
    """How one family is made: its file, its pipeline of 8 or 4 channels, its names, its layout."""

    write: Callable[[Path], Path]
    pipeline: Callable[..., Any]
    named: Callable[[Any], dict[str, Any]]
    layout: dict[str, Any]


FAMILIES = {
    "sd15": Kind(tiny_checkpoint, tiny_pipeline, ldm_state_dict, UNET_CONFIG),
    "sd21": Kind(
        lambda folder: sd21_checkpoint(folder, "sd21.safetensors"),
        sd21_pipeline,
        sd21_state_dict,
        UNET_CONFIG,
    ),
    "sdxl": Kind(
        lambda folder: sdxl_checkpoint(folder, "sdxl.safetensors"),
        sdxl_pipeline,
        sdxl_state_dict,
        LAYOUT,
    ),
    "cosxl": Kind(
        lambda folder: sdxl_checkpoint(folder, "cosxl.safetensors"),
        lambda seed=0, **options: sdxl_pipeline(seed, cosxl=True, **options),
        sdxl_state_dict,
        LAYOUT,
    ),
}
