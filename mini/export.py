"""The trained networks -> one .safetensors with the keys of an SD 1.x checkpoint."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from .networks import (
    CLIP_CONFIG,
    UNET_LEVELS,
    UNET_RES_BLOCKS,
    VAE_DDCONFIG,
)

Weights = dict[str, Tensor]

RESNET_NAMES = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ATTENTION_NAMES = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def take(
    weights: Weights, prefix: str, target: str, names: dict[str, str] | None = None
) -> Weights:
    """The weights under `prefix`, moved under `target`, with the parts in `names` renamed."""
    taken = {}
    for key, value in weights.items():
        if not key.startswith(f"{prefix}."):
            continue
        part, _, kind = key.removeprefix(f"{prefix}.").rpartition(".")
        part = (names or {}).get(part, part)
        taken[".".join(filter(None, (target, part, kind)))] = value
    return taken


def unet_to_ldm(weights: Weights) -> Weights:
    """diffusers' names -> LDM's, for the levels of UNET_LEVELS."""
    ldm: Weights = {}

    def block(source: str, index: int, target: str, attention: bool) -> None:
        ldm.update(take(weights, f"{source}.resnets.{index}", f"{target}.0", RESNET_NAMES))
        if attention:
            ldm.update(take(weights, f"{source}.attentions.{index}", f"{target}.1"))

    for source, target in (
        ("time_embedding.linear_1", "time_embed.0"),
        ("time_embedding.linear_2", "time_embed.2"),
        ("conv_in", "input_blocks.0.0"),
        ("conv_norm_out", "out.0"),
        ("conv_out", "out.2"),
    ):
        ldm.update(take(weights, source, target))

    place, last = 1, len(UNET_LEVELS) - 1
    for level, (_, attention) in enumerate(UNET_LEVELS):
        source = f"down_blocks.{level}"
        for index in range(UNET_RES_BLOCKS):
            block(source, index, f"input_blocks.{place}", attention)
            place += 1
        if level != last:
            ldm.update(take(weights, f"{source}.downsamplers.0.conv", f"input_blocks.{place}.0.op"))
            place += 1

    block("mid_block", 0, "middle_block", True)
    ldm.update(take(weights, "mid_block.resnets.1", "middle_block.2", RESNET_NAMES))

    place = 0
    for level, (_, attention) in enumerate(reversed(UNET_LEVELS)):
        source = f"up_blocks.{level}"
        for index in range(UNET_RES_BLOCKS + 1):
            block(source, index, f"output_blocks.{place}", attention)
            place += 1
        if level != last:
            target = f"output_blocks.{place - 1}.{2 if attention else 1}.conv"
            ldm.update(take(weights, f"{source}.upsamplers.0.conv", target))
    return ldm


def vae_to_ldm(weights: Weights, mean: Tensor, scale: Tensor) -> Weights:
    """diffusers' names -> LDM's, with raw latents (z - mean) * scale.

    mean   [1, 4, 1, 1] of the latents that the networks give as they are
    scale  a number
    """
    ldm: Weights = {}
    shortcut = {"conv_shortcut": "nin_shortcut"}
    levels = len(VAE_DDCONFIG["ch_mult"])
    for side, blocks, extra in (("encoder", "down", 0), ("decoder", "up", 1)):
        for name in ("conv_in", "conv_out"):
            ldm.update(take(weights, f"{side}.{name}", f"{side}.{name}"))
        ldm.update(take(weights, f"{side}.conv_norm_out", f"{side}.norm_out"))
        for index in range(2):
            source = f"{side}.mid_block.resnets.{index}"
            ldm.update(take(weights, source, f"{side}.mid.block_{index + 1}", shortcut))
        source = f"{side}.mid_block.attentions.0"
        for key, value in take(weights, source, f"{side}.mid.attn_1", ATTENTION_NAMES).items():
            # LDM's attention is made of 1 x 1 convolutions.
            ldm[key] = value[:, :, None, None] if value.ndim == 2 else value
        for level in range(levels):
            source = f"{side}.{blocks}_blocks.{level}"
            target = f"{side}.{blocks}.{level if side == 'encoder' else levels - 1 - level}"
            for index in range(VAE_DDCONFIG["num_res_blocks"] + extra):
                names = f"{source}.resnets.{index}", f"{target}.block.{index}"
                ldm.update(take(weights, *names, shortcut))
            change = "downsample" if side == "encoder" else "upsample"
            ldm.update(take(weights, f"{source}.{change}rs.0.conv", f"{target}.{change}.conv"))

    for level in range(levels):
        ldm.update(idle_block(f"encoder.down.{level}.block.0", VAE_DDCONFIG["ch"]))
        ldm.update(idle_block(f"decoder.up.{level}.block.1", VAE_DDCONFIG["ch"]))

    shift = mean.flatten()
    ldm["quant_conv.weight"] = weights["quant_conv.weight"].clone()
    ldm["quant_conv.bias"] = weights["quant_conv.bias"].clone()
    ldm["quant_conv.weight"][:4] *= scale
    ldm["quant_conv.bias"][:4] = (ldm["quant_conv.bias"][:4] - shift) * scale
    # The posterior's width is not trained: as narrow as the format goes.
    ldm["quant_conv.weight"][4:] = 0
    ldm["quant_conv.bias"][4:] = -30
    out = weights["post_quant_conv.weight"]
    ldm["post_quant_conv.weight"] = out / scale
    ldm["post_quant_conv.bias"] = weights["post_quant_conv.bias"] + out[:, :, 0, 0] @ shift
    return ldm


def idle_block(name: str, width: int) -> Weights:
    """A residual block that adds nothing to its input.

    The trained first stage has none at its full sizes, for speed; loaders tell the number of
    levels and their widths by the encoder's first blocks.
    """
    block: Weights = {}
    for index in (1, 2):
        block[f"{name}.norm{index}.weight"] = torch.ones(width)
        block[f"{name}.norm{index}.bias"] = torch.zeros(width)
        block[f"{name}.conv{index}.weight"] = torch.zeros(width, width, 3, 3)
        block[f"{name}.conv{index}.bias"] = torch.zeros(width)
    return block


def text_to_ldm(weights: Weights, used: list[int]) -> Weights:
    """All of CLIP's tokens again: a row for each, zeros for those that training never met."""
    # The first word of the names is there or not, by the version of transformers.
    ldm = {"text_model." + key.removeprefix("text_model."): v for key, v in weights.items()}
    name = "text_model.embeddings.token_embedding.weight"
    table = torch.zeros(CLIP_CONFIG["vocab_size"], CLIP_CONFIG["hidden_size"])
    table[used] = ldm[name][: len(used)]
    ldm[name] = table
    ldm.pop("text_model.embeddings.position_ids", None)
    return ldm


def export(
    path: Path,
    resolution: int,
    unet: Weights,
    vae: Weights,
    text: Weights,
    recipe: dict[str, Any],
    colors: list[list[float]],
) -> None:
    """Write the file in half precision; all three in LDM's names without their prefixes.

    colors  [5][3], what turns a scaled latent into a live preview: see `preview_colors`
    """
    parts = {
        "model.diffusion_model.": unet,
        "first_stage_model.": vae,
        "cond_stage_model.transformer.": text,
    }
    tensors = {
        prefix + key: value.detach().half().contiguous()
        for prefix, part in parts.items()
        for key, value in part.items()
    }
    architecture = {
        "resolution": resolution,
        "vae_ddconfig": VAE_DDCONFIG | {"resolution": resolution},
        "clip_config": CLIP_CONFIG,
        "latent_rgb": colors,
    }
    metadata = {
        "ip2p.architecture": json.dumps(architecture),
        "ip2p.recipe": json.dumps(recipe),
    }
    fresh = path.with_suffix(".new")
    save_file(tensors, fresh, metadata)
    fresh.chmod(0o644)  # safetensors writes for the owner alone
    os.replace(fresh, path)
