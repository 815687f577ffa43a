"""A model as one .safetensors, with what its family needs to be loaded again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import comfy.diffusers_convert
import comfy.model_base
import comfy.model_sampling
import comfy.sd
import comfy.supported_models
import safetensors.torch
import torch
from comfy.model_patcher import ModelPatcher

from .families import SDXL
from .files import CheckpointError, StateDict
from .layouts import ARCHITECTURE, ARCHITECTURE_TENSOR, VAE, Parts
from .merging import weight_of
from .signs import UNET

Precision = Literal["fp16", "bf16", "fp32"]
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}

EDITOR = {False: "stable-diffusion-v1-edit", True: "stable-diffusion-xl-v1-edit"}
"""`modelspec.architecture` of an editor, by whether it is SDXL."""


def save_model(
    path: Path,
    model: ModelPatcher,
    clip: comfy.sd.CLIP | None,
    vae: comfy.sd.VAE | None,
    precision: Precision,
) -> None:
    """Writes a model as it computes now, its patches (LoRAs, merges) applied for good.

    Raises CheckpointError where a weight does not fit into `precision`.
    """
    config = model.model.model_config
    tensors = config.process_unet_state_dict_for_saving(
        {k.removeprefix("diffusion_model."): v for k, v in _weights(model, "diffusion_model.")}
    )
    described = tensors.pop(UNET + ARCHITECTURE_TENSOR, None)
    if clip is not None:
        tensors |= config.process_clip_state_dict_for_saving(dict(_weights(clip.patcher, "")))
    if vae is not None:
        tensors |= config.process_vae_state_dict_for_saving(dict(vae.get_sd()))
    architecture = bytes(described.tolist()).decode() if described is not None else "{}"
    sampling = _sampling(model)
    write(path, tensors, sampling, precision, is_sdxl(model), json.loads(architecture))


def save_parts(path: Path, parts: Parts, precision: Precision | None) -> None:
    """Writes a checkpoint that was read from disk as one file; None keeps every number's precision.

    Nothing is loaded as a model, so the weights are those of the file bit for bit.
    """
    tensors = {UNET + name: tensor for name, tensor in parts.unet.items()}
    tensors |= {VAE + name: tensor for name, tensor in parts.vae.items()}
    for encoder, text in zip(parts.family.text, parts.text, strict=True):
        if encoder.open_clip:
            long = {f"clip_g.transformer.{name}": tensor for name, tensor in text.items()}
            short = comfy.diffusers_convert.convert_text_enc_state_dict_v20(long, "clip_g")
            text = {name.removeprefix("clip_g."): tensor for name, tensor in short.items()}
        tensors |= {encoder.prefix + name: tensor for name, tensor in text.items()}
    write(path, tensors, parts.sampling, precision, parts.family is SDXL, parts.architecture)


def write(
    path: Path,
    tensors: StateDict,
    sampling: StateDict,
    precision: Precision | None,
    sdxl: bool,
    architecture: dict[str, Any],
) -> None:
    """One .safetensors: weights in `precision`, tensors that tell how the model samples, metadata.

    A file that is not whole never has the final name.
    """
    metadata = {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": EDITOR[sdxl],
        "modelspec.implementation": "sgm" if sdxl else "ldm",
        "modelspec.title": path.stem,
        "modelspec.prediction_type": "v" if sampling else "epsilon",
    }
    if architecture:
        metadata[ARCHITECTURE] = json.dumps(architecture)
    dtype = DTYPES[precision] if precision else None
    converted = {name: _converted(name, tensor, dtype) for name, tensor in tensors.items()}
    part = path.with_name(f"{path.name}.part")
    try:
        safetensors.torch.save_file(converted | sampling, part, metadata=metadata)
        part.chmod(0o644)  # safetensors lets nobody else read it
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def is_sdxl(model: ModelPatcher) -> bool:
    """Whether the model is of the SDXL family."""
    return isinstance(model.model, comfy.model_base.SDXL)


def _weights(model: ModelPatcher, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Each weight with its patches, in its own precision; one without patches as it is."""
    for key, (first, *patches) in model.get_key_patches(prefix).items():
        weight = first[0]
        yield key, weight_of(model, key).to(weight.dtype) if patches else weight.detach().cpu()


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


def _sampling(model: ModelPatcher) -> StateDict:
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
