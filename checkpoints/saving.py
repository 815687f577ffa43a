"""A model as one .safetensors, with what its family needs to be loaded again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import comfy.diffusers_convert
import comfy.model_sampling
import comfy.sd
import safetensors.torch
import torch
from comfy.model_patcher import ModelPatcher

from .core_class import family_of_model
from .families import Family
from .files import CheckpointError, StateDict
from .layouts import ARCHITECTURE, ARCHITECTURE_TENSOR, VAE, Parts
from .merging import patched_weight
from .models import architecture_of, unscaled
from .signs import UNET

Precision = Literal["fp16", "bf16", "fp32"]
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
# What a file's metadata says of its own bytes, no longer true of another file.
OF_THE_BYTES = ("modelspec.hash", "sshs_")


def save_model(
    path: Path,
    model: ModelPatcher,
    clip: comfy.sd.CLIP | None,
    vae: comfy.sd.VAE | None,
    precision: Precision,
    told: dict[str, Any] | None = None,
) -> None:
    """Writes a model as it computes now, its patches (LoRAs, merges) applied for good.

    told  what the file is to tell beside what the model's own told: its usual scales

    Raises CheckpointError where a weight does not fit into `precision`.
    """
    config = model.model.model_config
    family = family_of_model(model.model)
    tensors = config.process_unet_state_dict_for_saving(
        {k.removeprefix("diffusion_model."): v for k, v in _weights(model, "diffusion_model.")}
    )
    tensors.pop(UNET + ARCHITECTURE_TENSOR, None)  # the metadata have it
    if clip is not None:
        tensors |= config.process_clip_state_dict_for_saving(dict(_weights(clip.patcher, "")))
    if vae is not None:
        tensors |= config.process_vae_state_dict_for_saving(dict(vae.get_sd()))
    sampling = sampling_of(model)
    described = metadata_of(family, path.stem, sampling, architecture_of(model) | (told or {}))
    write(path, converted(tensors, precision) | sampling, described)


def save_parts(path: Path, parts: Parts, precision: Precision | None) -> None:
    """Writes a checkpoint that was read from disk as one file; None keeps every number's precision.

    Nothing is loaded as a model, so the weights are those of the file bit for bit.
    """
    unet = unscaled(parts.unet) if precision else parts.unet
    tensors = {UNET + name: tensor for name, tensor in unet.items()}
    tensors |= {VAE + name: tensor for name, tensor in parts.vae.items()}
    for encoder, text in zip(parts.family.text, parts.text, strict=True):
        if encoder.open_clip and text:
            long = {f"clip.transformer.{name}": tensor for name, tensor in text.items()}
            short = comfy.diffusers_convert.convert_text_enc_state_dict_v20(long, "clip")
            text = {name.removeprefix("clip."): tensor for name, tensor in short.items()}
        tensors |= {encoder.prefix + name: tensor for name, tensor in text.items()}
    described = metadata_of(parts.family, path.stem, parts.sampling, parts.architecture)
    tensors = converted(tensors, precision)
    write(path, tensors | parts.sampling, kept(parts.metadata) | described)


def metadata_of(
    family: Family, title: str, sampling: StateDict, architecture: dict[str, Any]
) -> dict[str, str]:
    """What a file says of itself, in the words of modelspec and in our own."""
    metadata = {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": family.spec,
        "modelspec.implementation": family.software,
        "modelspec.title": title,
        "modelspec.prediction_type": "v" if sampling else "epsilon",
    }
    return metadata | ({ARCHITECTURE: json.dumps(architecture)} if architecture else {})


def kept(metadata: dict[str, str]) -> dict[str, str]:
    """A file's own metadata (its author, its licence), but for hashes of its bytes."""
    return {k: v for k, v in metadata.items() if not k.startswith(OF_THE_BYTES)}


def converted(tensors: StateDict, precision: Precision | None) -> StateDict:
    """Weights in `precision`, None for each in its own; CheckpointError where one does not fit."""
    dtype = DTYPES[precision] if precision else None
    made: StateDict = {}
    stored: set[tuple[int, int]] = set()
    for name, tensor in tensors.items():
        weight = _converted(name, tensor, dtype)
        place = (weight.data_ptr(), weight.numel())
        # A .safetensors cannot hold one tensor under two names, as a .ckpt can.
        made[name] = weight.clone() if place in stored else weight
        stored.add(place)
    return made


def write(path: Path, tensors: StateDict, metadata: dict[str, str]) -> None:
    """One .safetensors. A file that is not whole never has the final name."""
    part = path.with_name(f"{path.name}.part")
    try:
        safetensors.torch.save_file(tensors, part, metadata=metadata)
        part.chmod(0o644)  # safetensors makes it readable by its owner alone
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _weights(model: ModelPatcher, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Each weight with its patches, in its own precision; one without patches as it is."""
    for key, parts in model.get_key_patches(prefix).items():
        weight, patches = parts[0][0], parts[1:]
        yield key, patched_weight(key, parts).to(weight.dtype) if patches else weight.detach().cpu()


def _converted(name: str, tensor: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    if dtype is None or not tensor.is_floating_point():
        return tensor.contiguous()
    converted = tensor.to(dtype).contiguous()
    if dtype is torch.float16 and not converted.isfinite().all() and tensor.isfinite().all():
        raise CheckpointError(
            f"precision: {name} holds numbers that do not fit into fp16 (largest "
            f"{float(tensor.abs().max()):.4g}). Choose bf16 or fp32."
        )
    return converted


def sampling_of(model: ModelPatcher) -> StateDict:
    """The tensors by which ComfyUI knows how a model samples, {} for one that predicts noise."""
    sampling = model.get_model_object("model_sampling")
    if not isinstance(sampling, comfy.model_sampling.V_PREDICTION):
        return {}
    if isinstance(sampling, comfy.model_sampling.ModelSamplingContinuousEDM):
        return {
            "edm_vpred.sigma_max": sampling.sigma_max.detach().cpu().float().reshape(()),
            "edm_vpred.sigma_min": sampling.sigma_min.detach().cpu().float().reshape(()),
        }
    names = ["v_pred"] + ["ztsnr"] * bool(getattr(sampling, "zsnr", False))
    return {name: torch.tensor([]) for name in names}
