"""The layouts that weights come in, brought to one: the authors' (LDM) names, part by part."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import comfy.diffusers_convert
import comfy.utils
import torch

from .families import Family, TextEncoder
from .files import (
    CheckpointError,
    StateDict,
    parse_settings,
    read_component,
    read_metadata,
    read_settings,
    read_tensors,
)
from .outline import NOT_AVERAGED, Outline
from .signs import ADVICE, EMA, EMA_UNET, UNET, recognise

Weights = Literal["auto", "ema", "raw"]

VAE = "first_stage_model."
NETWORK = "diffusion_pytorch_model"
ARCHITECTURE = "ip2p.architecture"
"""Metadata, a JSON object: what the shapes of a narrow model do not tell."""
ARCHITECTURE_TENSOR = "ip2p_architecture"
"""The same text as bytes among the UNet's tensors: nodes that save drop the metadata."""

# Tensors beside the UNet by which ComfyUI knows how the model samples.
SAMPLING = ("edm_vpred.sigma_max", "edm_vpred.sigma_min", "v_pred", "ztsnr")


@dataclass(frozen=True)
class Parts:
    """One checkpoint in bare LDM names, and what the shapes of its tensors do not tell.

    unet          {} is never there
    vae           {} where the file has none
    text          of each of the family's text encoders, {} where the file has none
    sampling      see SAMPLING
    resolution    side in pixels of the pictures that the model was trained for
    text_configs  `num_attention_heads` and `hidden_act` of each, where the file tells
    architecture  what ARCHITECTURE says
    """

    family: Family
    unet: StateDict
    vae: StateDict
    text: tuple[StateDict, ...]
    resolution: int
    sampling: StateDict = field(default_factory=dict)
    text_configs: tuple[dict[str, Any], ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    architecture: dict[str, Any] = field(default_factory=dict)


def read_checkpoint(path: Path, weights: Weights) -> Parts:
    """Reads a single file or a diffusers folder, whole or of a UNet alone.

    `weights`: "auto" takes EMA weights where the file holds them beside or instead of the raw ones,
    as the authors do, but for a merge, whose EMA weights are left over; "ema" and "raw" insist.
    Raises CheckpointError if they are not there, or if this is no InstructPix2Pix checkpoint.
    """
    return _read_folder(path, weights) if path.is_dir() else _read_file(path, weights)


def choose_unet(
    tensors: StateDict,
    weights: Weights,
    name: str,
    family: Family,
    metadata: dict[str, str] | None = None,
) -> StateDict:
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
        return _said(raw, name, "the raw weights" if ema else "its one set of weights")
    # Where the raw weights are gone, so are their names; those of the family are known by heart.
    names = raw or comfy.utils.unet_to_diffusers(dict(family.blocks)).values()
    sources = {bare: EMA + (UNET + bare).removeprefix("model.").replace(".", "") for bare in names}
    # The list of all names has some that no file needs; the model itself is checked later.
    missing = sum(source not in ema for source in sources.values()) if raw else 0
    strange = ema.difference(sources.values())
    if missing or strange:
        raise CheckpointError(
            f"{name}: the EMA weights in this file do not fit its UNet ({missing} are missing, "
            f"{len(strange)} belong to nothing): choose weights = raw."
        )
    averaged = {bare: tensors[source] for bare, source in sources.items() if source in ema}
    reason = merged(raw, averaged, name, metadata or {}) if weights == "auto" and raw else ""
    if reason:
        return _said(raw, name, f"the raw weights: {reason}, so its EMA weights are left over")
    return _said(averaged, name, "the EMA weights")


def merged(raw: StateDict, averaged: StateDict, name: str, metadata: dict[str, str]) -> str:
    """Why this file is a merge whose EMA weights are those of the editor before; "" if it is none.

    A1111's merger changes the raw weights only and keeps the others. It says so in the metadata,
    and in the name of the file; a .ckpt that was renamed tells by its weights. The source's half
    of the first layer is not part of a merge: where every other layer lies much further from its
    average than this one, averaging is not why.
    """
    if any(key.startswith("sd_merge") for key in metadata):
        return "its metadata says that it is a merge"
    if ".instruct-pix2pix." in name:
        return "its name is that of a merge"
    first = "input_blocks.0.0.weight"
    if raw[first].shape[1] != 8:
        return ""
    kept = _distance(raw[first][:, 4:], averaged[first][:, 4:])
    others = [
        _distance(raw[key], averaged[key]) for key in raw if key.endswith("attn2.to_k.weight")
    ]
    if others and min(others) > MERGE * max(kept, 1e-4):
        return "its raw and EMA weights are further apart than averaging explains"
    return ""


MERGE = 3.0
"""Times as far from its average as the source's half of the first layer makes a layer merged."""


def unet_from_diffusers(tensors: StateDict) -> StateDict:
    """Renames a diffusers UNet of any depth and width to bare LDM names."""
    names = comfy.utils.unet_to_diffusers(_blocks(tensors))
    return {names[key]: tensor for key, tensor in tensors.items() if key in names}


def recognised(tensors: StateDict, name: str, outline: Outline) -> Family:
    """The family of these tensors; CheckpointError with the right name for what does not edit."""
    sign = recognise(replace(outline, shapes={k: tuple(v.shape) for k, v in tensors.items()}))
    if sign.family is None:
        raise CheckpointError(f"{name}: this is {sign.what}. {sign.advice}")
    return sign.family


def _read_file(path: Path, weights: Weights) -> Parts:
    name = path.name
    tensors, metadata = read_tensors(path, name)
    family = recognised(tensors, name, Outline({}, metadata))
    if any(key.startswith((UNET, EMA_UNET)) for key in tensors):
        unet = choose_unet(tensors, weights, name, family, metadata)
    elif "input_blocks.0.0.weight" in tensors:
        unet = _single_set(_without(SAMPLING, tensors), weights, name)
    else:
        unet = _single_set(unet_from_diffusers(tensors), weights, name)
    described = unet.pop(ARCHITECTURE_TENSOR, None)
    text = metadata.get(ARCHITECTURE, "{}")
    if described is not None:
        text = bytes(described.to(torch.uint8).tolist()).decode("utf-8", errors="replace")
    architecture = parse_settings(text, name)
    text_config = architecture.get("clip_config", {})
    if not isinstance(text_config, dict):
        raise CheckpointError(f"{name}: its metadata has a clip_config that is not an object.")
    resolution = architecture.get("resolution", family.resolution)
    return Parts(
        family,
        unet,
        _under(VAE, tensors),
        tuple(
            _with_hugging_face_names(_under(encoder.prefix, tensors), encoder.open_clip)
            for encoder in family.text
        ),
        _checked_resolution(resolution, name),
        {key: tensors[key] for key in SAMPLING if key in tensors} or _told_by_spread(family, unet),
        (text_config,),
        metadata,
        architecture,
    )


def _read_folder(folder: Path, weights: Weights) -> Parts:
    name = folder.name
    pipeline = str(read_settings(folder / "model_index.json").get("_class_name", ""))
    place = folder / "unet" if (folder / "unet").is_dir() else folder
    unet = read_component(folder / "unet_ema", NETWORK, NETWORK)
    raw = read_component(place, NETWORK, NETWORK)
    if not unet:
        unet, raw = raw, read_component(place, NETWORK, NETWORK, NOT_AVERAGED)
    if not unet and not raw:
        if other := read_component(folder / "transformer", NETWORK, NETWORK):
            recognised(other, name, Outline({}, pipeline=pipeline))
        raise CheckpointError(
            f"{name}: this folder has no UNet (no unet/{NETWORK}.safetensors). {ADVICE}"
        )
    both = bool(unet and raw)
    if weights == "ema" and not both:
        _single_set(unet or raw, weights, name)
    chosen = raw if not unet or (both and weights == "raw") else unet
    family = recognised(chosen, name, Outline({}, pipeline=pipeline))
    marked = "the raw weights" if chosen is raw else "the EMA weights"
    chosen = _said(chosen, name, marked if both else "its one set of weights")
    bare = unet_from_diffusers(chosen)
    scheduler = read_settings(folder / "scheduler" / "scheduler_config.json")
    sampling = _sampling(scheduler) if scheduler else _told_by_spread(family, bare)
    # In latent pixels, an eighth of the picture's. Some exports say nothing, or give a pair.
    sample_size = read_settings(place / "config.json").get("sample_size")
    metadata = read_metadata(place, NETWORK)
    architecture = parse_settings(metadata.get(ARCHITECTURE, "{}"), name)
    resolution = architecture.get("resolution", family.resolution)
    if isinstance(sample_size, int):
        resolution = 8 * sample_size
    if resolution != family.resolution:
        architecture["resolution"] = resolution
    return Parts(
        family,
        bare,
        comfy.diffusers_convert.convert_vae_state_dict(
            read_component(folder / "vae", NETWORK, NETWORK)
        ),
        tuple(
            _whole(
                encoder,
                _with_hugging_face_names(
                    read_component(folder / encoder.folder, "model", "pytorch_model"), False
                ),
            )
            for encoder in family.text
        ),
        _checked_resolution(resolution, name),
        sampling,
        tuple(read_settings(folder / encoder.folder / "config.json") for encoder in family.text),
        metadata,
        architecture,
    )


def _sampling(scheduler: dict[str, Any]) -> StateDict:
    """What a diffusers scheduler says of the model, as the tensors that ComfyUI looks for.

    `is_cosxl_edit` is not part of a saved pipeline: a scheduler of the EDM kind with v-prediction
    stands for it.
    """
    if scheduler.get("prediction_type") != "v_prediction":
        return {}
    if str(scheduler.get("_class_name", "")).startswith("EDM"):
        return {
            f"edm_vpred.{key}": torch.tensor(float(scheduler.get(key, usual)))
            for key, usual in (("sigma_max", 120.0), ("sigma_min", 0.002))
        }
    names = ["v_pred"] + ["ztsnr"] * bool(scheduler.get("rescale_betas_zero_snr"))
    return {name: torch.tensor([]) for name in names}


def _told_by_spread(family: Family, unet: StateDict) -> StateDict:
    """`v_pred` for a UNet that shows it, where no file tells how the model was trained."""
    name, least = family.velocity or ("", 0.0)
    if name in unet and float(unet[name].float().std(unbiased=False)) > least:
        return {"v_pred": torch.tensor([])}
    return {}


def _single_set(unet: StateDict, weights: Weights, name: str) -> StateDict:
    """These layouts hold one set of weights and do not say which."""
    if weights == "ema":
        raise CheckpointError(
            f"{name}: it holds one set of weights, not marked as EMA: choose weights = auto."
        )
    return _said(unet, name, "its one set of weights")


def _said(unet: StateDict, name: str, which: str) -> StateDict:
    logging.info("%s: took %s.", name, which)
    return dict(unet)


def _checked_resolution(value: object, name: str) -> int:
    if not isinstance(value, int) or not 8 <= value <= 8192 or value % 8:
        raise CheckpointError(
            f"{name}: its resolution is given as {value!r}, not a multiple of 8 from 8 to 8192."
        )
    return value


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """The distance of two tensors, relative to the length of the second."""
    length = other.float().norm().clamp(min=1e-12)
    return float((one.float() - other.float()).norm() / length)


def _under(prefix: str, tensors: StateDict) -> StateDict:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _without(names: tuple[str, ...], tensors: StateDict) -> StateDict:
    return {key: tensor for key, tensor in tensors.items() if key not in names}


def _with_hugging_face_names(tensors: StateDict, open_clip: bool) -> StateDict:
    """A text encoder under `text_model.*`, whose first word some exports leave out."""
    if open_clip:
        return dict(comfy.utils.clip_text_transformers_convert(dict(tensors), "", ""))
    outside = ("text_model.", "text_projection.")
    return {k if k.startswith(outside) else f"text_model.{k}": v for k, v in tensors.items()}


def _whole(encoder: TextEncoder, text: StateDict) -> StateDict:
    """A folder's text encoder with the last layer that is never read, as a copy of that before."""
    layers = "text_model.encoder.layers."
    numbers = [int(key.removeprefix(layers).split(".")[0]) for key in text if layers in key]
    if not encoder.unused or not numbers:
        return text
    last = f"{layers}{max(numbers)}."
    more = f"{layers}{max(numbers) + 1}."
    copied = (key for key in text if key.startswith(last))
    return text | {more + key.removeprefix(last): text[key].clone() for key in copied}


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
