"""The three networks of ip2p-mini as the trainer builds them: SD 1.x layout, narrow width."""

import os
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Pixels on a side of the training pictures; the latent is an eighth of it. Four times the pixels
# would take a CPU days.
RESOLUTION = 256 if DEVICE == "cuda" else 128
# SD 1.x: raw latents have a spread of about 5.49, and the UNet sees them times this.
LATENT_SCALE = 0.18215

# What ComfyUI's first stage is built from. Two channels to a group norm's group and more:
# with one, the norm would take the mean of every channel away and flat colors with it.
VAE_DDCONFIG: dict[str, Any] = {
    "double_z": True,
    "z_channels": 4,
    "resolution": RESOLUTION,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 64,
    "ch_mult": [1, 1, 1, 1],
    "num_res_blocks": 0,
    "attn_resolutions": [],
    "dropout": 0.0,
}

# CLIP's text model with CLIP's own tokens; its table of them is a fourth of the file.
CLIP_CONFIG: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "vocab_size": 49408,
    "eos_token_id": 49407,
}

# Channels at 16 x 16, 8 x 8 and 4 x 4, and whether there is attention: at 16 x 16 it would take
# as long as all the rest.
UNET_LEVELS = ((64, False), (128, True), (128, True))
UNET_RES_BLOCKS = 1
# The inference class of SD 1.x has 8 heads at every width.
UNET_HEADS = 8


def build_vae() -> AutoencoderKL:
    widths = [VAE_DDCONFIG["ch"] * m for m in VAE_DDCONFIG["ch_mult"]]
    return AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * len(widths),
        up_block_types=["UpDecoderBlock2D"] * len(widths),
        block_out_channels=widths,
        layers_per_block=VAE_DDCONFIG["num_res_blocks"],
        latent_channels=VAE_DDCONFIG["z_channels"],
        sample_size=RESOLUTION,
    )


def build_unet() -> UNet2DConditionModel:
    unet = UNet2DConditionModel(
        sample_size=RESOLUTION // 8,
        in_channels=8,
        out_channels=4,
        layers_per_block=UNET_RES_BLOCKS,
        block_out_channels=[width for width, _ in UNET_LEVELS],
        down_block_types=[
            "CrossAttnDownBlock2D" if attention else "DownBlock2D" for _, attention in UNET_LEVELS
        ],
        up_block_types=[
            "CrossAttnUpBlock2D" if attention else "UpBlock2D"
            for _, attention in reversed(UNET_LEVELS)
        ],
        # diffusers' old name: the number of heads.
        attention_head_dim=UNET_HEADS,
        cross_attention_dim=CLIP_CONFIG["hidden_size"],
    )
    # The source's latent comes in unscaled.
    unet.conv_in.weight.data[:, 4:] *= LATENT_SCALE
    return unet


def build_text_encoder(tokens: int) -> CLIPTextModel:
    """`tokens`: rows of the token table; in training it holds the used tokens only."""
    return CLIPTextModel(CLIPTextConfig(**CLIP_CONFIG | {"vocab_size": tokens}))


def load_tokenizer() -> CLIPTokenizer:
    """CLIP's tokenizer from the files that ComfyUI ships."""
    comfyui = Path(os.environ.get("COMFYUI_PATH") or ".comfyui")
    return CLIPTokenizer.from_pretrained(comfyui / "comfy" / "sd1_tokenizer")
