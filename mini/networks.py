"""The three networks of ip2p-mini as the trainer builds them: SD 1.x layout, narrow width."""

import os
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

# SD 1.x: raw latents have a spread of about 5.49, and the UNet sees them times this.
LATENT_SCALE = 0.18215

# What ComfyUI's first stage is built from, without its resolution. Two channels to a group norm's
# group and more: with one, the norm would take the mean of every channel away and flat colors
# with it. Twice the channels from a quarter of the size down, where they cost little.
VAE_DDCONFIG: dict[str, Any] = {
    "double_z": True,
    "z_channels": 4,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 64,
    "ch_mult": [1, 1, 2, 2],
    "num_res_blocks": 1,
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

# Channels at 32 x 32, 16 x 16, 8 x 8 and 4 x 4 (at 256 pixels), and whether there is attention: at
# 16 x 16 it would take as long as all the rest.
UNET_LEVELS = ((64, False), (64, False), (128, True), (128, True))
UNET_RES_BLOCKS = 1
# The inference class of SD 1.x has 8 heads at every width.
UNET_HEADS = 8


class Idle(nn.Module):
    """A residual block that adds nothing, in place of one that is not trained.

    At the full size a block takes as long as all levels below it together.
    """

    def forward(self, hidden: Tensor, temb: Tensor | None = None) -> Tensor:
        return hidden


def build_vae() -> AutoencoderKL:
    """The first stage, with one block less at the full size than its format has, on either side."""
    widths = [VAE_DDCONFIG["ch"] * m for m in VAE_DDCONFIG["ch_mult"]]
    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * len(widths),
        up_block_types=["UpDecoderBlock2D"] * len(widths),
        block_out_channels=widths,
        layers_per_block=VAE_DDCONFIG["num_res_blocks"],
        latent_channels=VAE_DDCONFIG["z_channels"],
    )
    vae.encoder.down_blocks[0].resnets[0] = Idle()
    vae.decoder.up_blocks[-1].resnets[1] = Idle()
    return vae


def build_unet(channels: int = 8) -> UNet2DConditionModel:
    """`channels` are the noisy picture's 4, and the source's 4 of an editor."""
    unet = UNet2DConditionModel(
        in_channels=channels,
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
    # Softmax by hand: the backward pass of the fused attention is slow in half precision on a CPU.
    unet.set_attn_processor(AttnProcessor())
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
