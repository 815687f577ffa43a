"""A checkpoint as a diffusers folder, which `from_pretrained` of diffusers and our loader read.

What diffusers wants in its configurations follows from the shapes of the weights and from the
family. Nothing of diffusers is needed to write them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import comfy.diffusers_convert
import comfy.sd1_clip
import comfy.utils

from .core_class import core_class
from .families import TextEncoder
from .files import StateDict
from .layouts import NETWORK, Parts
from .models import detect, text_configs, unscaled, vae_params
from .saving import Precision, converted, kept, metadata_of, write

# How attention's layers are called in a VAE: the authors' names and diffusers'.
_VAE_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}
_VAE_PARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")


def save_folder(folder: Path, parts: Parts, precision: Precision | None) -> None:
    """Writes a checkpoint that was read from disk as a diffusers pipeline; the folder is new.

    None keeps every number's precision. Weights are those of the checkpoint bit for bit. Parts that
    it lacks (a UNet alone has no others) are not written. A folder that is not whole never has the
    final name. Raises CheckpointError for an incomplete checkpoint.
    """
    name = folder.name
    part = folder.with_name(f"{name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        _write_unet(part / "unet", parts, precision, name)
        _write_json(part / "scheduler" / "scheduler_config.json", _scheduler(parts.sampling))
        if parts.vae:
            _write_vae(part / "vae", parts, precision)
        texts = text_configs(parts, name) if any(parts.text) else {}
        for encoder, text in zip(parts.family.text, parts.text, strict=True):
            if text:
                config = texts[encoder.name]
                _write_text(part / encoder.folder, encoder, text, config, precision)
                _write_tokenizer(part / encoder.tokenizer, encoder)
        if parts.vae and texts:
            _write_json(part / "model_index.json", _index(parts))
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def vae_to_diffusers(vae: StateDict) -> StateDict:
    """A VAE's weights under diffusers' names, [n, m, 1, 1] of its attention as [n, m]."""
    renamed = {}
    for name, tensor in vae.items():
        if not name.startswith(_VAE_PARTS):
            continue
        if ".attn_1." in name:
            before, after = name.split(".attn_1.")
            layer, kind = after.rsplit(".", 1)
            name = f"{before}.attn_1.{_VAE_ATTENTION[layer]}.{kind}"
            tensor = tensor.flatten(1) if tensor.ndim == 4 else tensor
        for theirs, diffusers in comfy.diffusers_convert.vae_conversion_map:
            name = name.replace(theirs, diffusers)
        renamed[name] = tensor
    return renamed


def _write_unet(folder: Path, parts: Parts, precision: Precision | None, title: str) -> None:
    unet = unscaled(parts.unet)
    detected = detect(parts.family, unet, title).unet_config
    names = comfy.utils.unet_to_diffusers(detected)
    # Of two names for one tensor, the one that SDXL's has; the other is of other models.
    theirs = {bare: name for name, bare in names.items() if not name.startswith("class_embedding")}
    widths = [detected["model_channels"] * each for each in detected["channel_mult"]]
    blocks = detected["num_res_blocks"]
    starts = [sum(blocks[:level]) for level in range(len(blocks))]
    depths = [detected["transformer_depth"][start] for start in starts]
    config: dict[str, Any] = {
        "_class_name": "UNet2DConditionModel",
        "sample_size": parts.resolution // 8,
        "in_channels": 8,
        "out_channels": 4,
        "block_out_channels": widths,
        "layers_per_block": blocks[0],
        "down_block_types": [("CrossAttn" if d else "") + "DownBlock2D" for d in depths],
        "up_block_types": [("CrossAttn" if d else "") + "UpBlock2D" for d in depths[::-1]],
        "transformer_layers_per_block": [max(1, depth) for depth in depths],
        "cross_attention_dim": detected["context_dim"],
        # Diffusers means the number of heads by this name.
        "attention_head_dim": [parts.family.heads or max(1, width // 64) for width in widths],
        "use_linear_projection": bool(detected["use_linear_in_transformer"]),
    }
    if sizes := detected.get("adm_in_channels"):
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": sizes,
        }
    _write_json(folder / "config.json", config)
    tensors = converted({theirs[bare]: tensor for bare, tensor in unet.items()}, precision)
    said = metadata_of(parts.family, title, parts.sampling, parts.architecture)
    write(folder / f"{NETWORK}.safetensors", tensors, kept(parts.metadata) | said)


def _write_vae(folder: Path, parts: Parts, precision: Precision | None) -> None:
    shape = vae_params(parts.vae)["ddconfig"]
    levels = len(shape["ch_mult"])
    config = {
        "_class_name": "AutoencoderKL",
        "block_out_channels": [shape["ch"] * each for each in shape["ch_mult"]],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": shape["num_res_blocks"],
        "latent_channels": shape["z_channels"],
        "sample_size": parts.resolution,
        "scaling_factor": core_class(parts.family).latent_format().scale_factor,
    }
    _write_json(folder / "config.json", config)
    tensors = converted(vae_to_diffusers(parts.vae), precision)
    write(folder / f"{NETWORK}.safetensors", tensors, {"format": "pt"})


def _write_text(
    folder: Path,
    encoder: TextEncoder,
    text: StateDict,
    shape: dict[str, Any],
    precision: Precision | None,
) -> None:
    layers, last = shape["num_hidden_layers"], ""
    if encoder.unused:
        layers -= 1
        last = f"text_model.encoder.layers.{layers}."
    wanted = ("text_model.", "text_projection.") if _projects(encoder) else ("text_model.",)
    tensors = {
        name: tensor
        for name, tensor in text.items()
        if name.startswith(wanted)
        and not name.endswith("position_ids")
        and not (last and name.startswith(last))
    }
    table = tensors["text_model.embeddings.token_embedding.weight"]
    config = {
        **shape,
        "num_hidden_layers": layers,
        "architectures": [_text_class(encoder)],
        "model_type": "clip_text_model",
        "vocab_size": len(table),
        "projection_dim": len(text.get("text_projection.weight", table[0])),
        "bos_token_id": 49406,
        "eos_token_id": 49407,
    }
    _write_json(folder / "config.json", config)
    write(folder / "model.safetensors", converted(tensors, precision), {"format": "pt"})


def _write_tokenizer(folder: Path, encoder: TextEncoder) -> None:
    """CLIP's vocabulary, from ComfyUI; OpenCLIP pads with another token."""
    theirs = Path(comfy.sd1_clip.__file__).with_name("sd1_tokenizer")
    folder.mkdir(parents=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(theirs / name, folder / name)
    end = "<|endoftext|>"
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "bos_token": "<|startoftext|>",
        "eos_token": end,
        "unk_token": end,
        "pad_token": "!" if encoder.open_clip else end,
    }
    _write_json(folder / "tokenizer_config.json", config)


def _scheduler(sampling: StateDict) -> dict[str, Any]:
    if "edm_vpred.sigma_max" in sampling:
        return {
            "_class_name": "EDMEulerScheduler",
            "prediction_type": "v_prediction",
            "sigma_data": 1.0,
            "sigma_max": round(float(sampling["edm_vpred.sigma_max"]), 6),
            "sigma_min": round(float(sampling["edm_vpred.sigma_min"]), 6),
            "sigma_schedule": "exponential",
        }
    return {
        "_class_name": "EulerAncestralDiscreteScheduler",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000,
        "timestep_spacing": "linspace",
        "prediction_type": "v_prediction" if "v_pred" in sampling else "epsilon",
        "rescale_betas_zero_snr": "ztsnr" in sampling,
    }


def _index(parts: Parts) -> dict[str, Any]:
    index: dict[str, Any] = {
        "_class_name": parts.family.pipeline,
        "scheduler": ["diffusers", _scheduler(parts.sampling)["_class_name"]],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    for encoder in parts.family.text:
        index[encoder.folder] = ["transformers", _text_class(encoder)]
        index[encoder.tokenizer] = ["transformers", "CLIPTokenizer"]
    index |= parts.family.index
    if "edm_vpred.sigma_max" in parts.sampling:
        index["is_cosxl_edit"] = True
    return index


def _projects(encoder: TextEncoder) -> bool:
    """Whether the pipeline reads the projected text: of SDXL's second encoder alone."""
    return encoder.name == "g"


def _text_class(encoder: TextEncoder) -> str:
    return "CLIPTextModelWithProjection" if _projects(encoder) else "CLIPTextModel"


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
