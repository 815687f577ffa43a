"""The layouts that weights come in, brought to one: the authors' (LDM) names, in three parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import comfy.diffusers_convert
import comfy.utils

from .files import (
    CheckpointError,
    StateDict,
    parse_settings,
    read_component,
    read_settings,
    read_tensors,
)
from .recognition import ADVICE, refuse_other_files, refuse_other_unets, refuse_without_unet

Weights = Literal["auto", "ema", "raw"]

UNET = "model.diffusion_model."
EMA = "model_ema."
EMA_UNET = "model_ema.diffusion_model"  # EMA names have no further dots
VAE = "first_stage_model."
TEXT = "cond_stage_model.transformer."

# The blocks of Stable Diffusion 1.x in the words of ComfyUI's detection. Names depend on no width.
SD1_BLOCKS = {
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "transformer_depth_middle": 1,
}


@dataclass(frozen=True)
class Parts:
    """One checkpoint in bare LDM names, {} for a part that is missing, and what shapes hide."""

    unet: StateDict
    vae: StateDict
    text: StateDict
    metadata: dict[str, str] = field(default_factory=dict)
    resolution: int = 512
    """Side in pixels of the pictures that the model was trained for; 512 for SD 1.5."""
    text_config: dict[str, Any] = field(default_factory=dict)
    """`num_attention_heads` and `hidden_act` of the text encoder, where the file tells."""


def read_checkpoint(path: Path, weights: Weights) -> Parts:
    """Reads a single file or a diffusers folder.

    `weights`: "auto" takes EMA weights where the file holds them beside or instead of the raw ones,
    as the authors do; "ema" and "raw" insist. Raises CheckpointError if they are not there, or if
    this is no SD 1.x InstructPix2Pix checkpoint.
    """
    parts = _read_folder(path, weights) if path.is_dir() else _read_file(path, weights)
    refuse_other_unets(parts.unet, path.name)
    return parts


def choose_unet(tensors: StateDict, weights: Weights, name: str) -> StateDict:
    """The raw or the EMA weights of the UNet in an LDM checkpoint, in bare names."""
    raw = _under(UNET, tensors)
    ema = {key for key in tensors if key.startswith(EMA_UNET)}
    if weights == "ema" and not ema:
        raise CheckpointError(
            f"{name}: there are no EMA weights in this file: choose weights = auto."
        )
    if weights == "raw" and not raw:
        raise CheckpointError(
            f"{name}: there are only EMA weights in this file: choose weights = auto."
        )
    if weights == "raw" or not ema:
        return raw
    # Where the raw weights are gone, so are their names; Stable Diffusion 1.x is known by heart.
    names = raw or comfy.utils.unet_to_diffusers(SD1_BLOCKS).values()
    sources = {bare: EMA + (UNET + bare).removeprefix("model.").replace(".", "") for bare in names}
    # The list of all SD 1.x names has some that no file needs; the model itself is checked later.
    missing = sum(source not in ema for source in sources.values()) if raw else 0
    strange = ema.difference(sources.values())
    if missing or strange:
        raise CheckpointError(
            f"{name}: the EMA weights in this file do not fit its UNet ({missing} are missing, "
            f"{len(strange)} belong to nothing): choose weights = raw."
        )
    return {bare: tensors[source] for bare, source in sources.items() if source in ema}


def unet_from_diffusers(tensors: StateDict) -> StateDict:
    """Renames a diffusers UNet of any depth and width to bare LDM names."""
    names = comfy.utils.unet_to_diffusers(_blocks(tensors))
    return {names[key]: tensor for key, tensor in tensors.items() if key in names}


def _read_file(path: Path, weights: Weights) -> Parts:
    tensors, metadata = read_tensors(path, path.name)
    refuse_other_files(tensors, path.name)
    if any(key.startswith((UNET, EMA_UNET)) for key in tensors):
        unet = choose_unet(tensors, weights, path.name)
    elif "input_blocks.0.0.weight" in tensors:
        unet = _single_set(tensors, weights, path.name)
    elif "conv_in.weight" in tensors and "mid_block.resnets.0.conv1.weight" in tensors:
        unet = _single_set(unet_from_diffusers(tensors), weights, path.name)
    else:
        refuse_without_unet(tensors, path.name)
    described = parse_settings(metadata.get("ip2p.architecture", "{}"), path.name)
    text_config = described.get("clip_config", {})
    if not isinstance(text_config, dict):
        raise CheckpointError(f"{path.name}: its metadata has a clip_config that is no object.")
    return Parts(
        unet,
        _under(VAE, tensors),
        _with_text_model(_under(TEXT, tensors)),
        metadata,
        resolution=_checked_resolution(described.get("resolution", 512), path.name),
        text_config=text_config,
    )


def _read_folder(folder: Path, weights: Weights) -> Parts:
    network = "diffusion_pytorch_model"
    unet = read_component(folder / "unet", network, network)
    if not unet:
        raise CheckpointError(
            f"{folder.name}: this folder has no UNet (no unet/{network}.safetensors). {ADVICE}"
        )
    # In latent pixels, an eighth of the picture's. Some exports say nothing, or give a pair.
    sample_size = read_settings(folder / "unet" / "config.json").get("sample_size")
    resolution = 8 * sample_size if isinstance(sample_size, int) else 512
    return Parts(
        _single_set(unet_from_diffusers(unet), weights, folder.name),
        comfy.diffusers_convert.convert_vae_state_dict(
            read_component(folder / "vae", network, network)
        ),
        _with_text_model(read_component(folder / "text_encoder", "model", "pytorch_model")),
        resolution=_checked_resolution(resolution, folder.name),
        text_config=read_settings(folder / "text_encoder" / "config.json"),
    )


def _single_set(unet: StateDict, weights: Weights, name: str) -> StateDict:
    """These layouts hold one set of weights and do not say which."""
    if weights == "ema":
        raise CheckpointError(
            f"{name}: it holds one set of weights, not marked as EMA: choose weights = auto."
        )
    return unet


def _checked_resolution(value: object, name: str) -> int:
    if not isinstance(value, int) or not 8 <= value <= 8192 or value % 8:
        raise CheckpointError(
            f"{name}: its resolution is given as {value!r}, not a multiple of 8 from 8 to 8192."
        )
    return value


def _under(prefix: str, tensors: StateDict) -> StateDict:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _with_text_model(tensors: StateDict) -> StateDict:
    """Some exports leave out the first word of the names."""
    return {"text_model." + k.removeprefix("text_model."): v for k, v in tensors.items()}


def _blocks(names: Iterable[str]) -> dict[str, Any]:
    """How many blocks a diffusers UNet has, in the words of ComfyUI's detection."""
    known = {".".join(name.split(".")[:n]) for name in names for n in range(2, 7)}

    def count(prefix: str) -> int:
        number = 0
        while f"{prefix}.{number}" in known:
            number += 1
        return number

    def depths(kind: str) -> list[list[int]]:
        return [
            [
                count(f"{kind}.{level}.attentions.{block}.transformer_blocks")
                for block in range(count(f"{kind}.{level}.resnets"))
            ]
            for level in range(count(kind))
        ]

    down, up = depths("down_blocks"), depths("up_blocks")
    return {
        "num_res_blocks": [len(level) for level in down],
        "channel_mult": [1] * len(down),  # only its length is read
        "transformer_depth": sum(down, []),
        "transformer_depth_output": sum(up, [])[::-1],
        "transformer_depth_middle": count("mid_block.attentions.0.transformer_blocks"),
    }
