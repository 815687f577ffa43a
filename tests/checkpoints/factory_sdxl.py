"""Tiny SDXL editors: InstructPix2Pix and CosXL Edit, as single files and as diffusers folders.

`sdxl_pipeline` is the oracle: diffusers' StableDiffusionXLInstructPix2PixPipeline of the weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.diffusers_convert
import comfy.sd1_clip
import comfy.utils
import safetensors.torch
import torch
from diffusers import (
    EDMEulerScheduler,
    StableDiffusionXLInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from .factory import EMA, UNET, VAE, StateDict, ema_of, sd_scheduler, tiny_vae

TEXT_L = "conditioner.embedders.0.transformer."
TEXT_G = "conditioner.embedders.1.model."
# Three levels, one block each, in the words of ComfyUI's detection.
LAYOUT = {
    "num_res_blocks": [1, 1, 1],
    "channel_mult": [1, 2, 2],
    "transformer_depth": [0, 1, 2],
    "transformer_depth_output": [0, 0, 1, 1, 2, 2],
    "transformer_depth_middle": 2,
}
WIDTHS = {"l": 32, "g": 64}
EDM = {"edm_vpred.sigma_max": torch.tensor(120.0), "edm_vpred.sigma_min": torch.tensor(0.002)}


def text_config(which: str) -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=WIDTHS[which],
        intermediate_size=2 * WIDTHS[which],
        projection_dim=WIDTHS[which],
        num_hidden_layers=3,
        num_attention_heads=1,
        vocab_size=49408,
        max_position_embeddings=77,
        hidden_act="quick_gelu" if which == "l" else "gelu",
        bos_token_id=49406,
        eos_token_id=49407,
    )


def sdxl_pipeline(
    seed: int = 0, cosxl: bool = False, scheduler: Any = None, in_channels: int = 8
) -> StableDiffusionXLInstructPix2PixPipeline:
    """A diffusers pipeline of random fp32 weights; text and image both move its prediction."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=32,
            in_channels=in_channels,
            out_channels=4,
            block_out_channels=(32, 64, 64),
            layers_per_block=1,
            cross_attention_dim=sum(WIDTHS.values()),
            attention_head_dim=(1, 1, 1),  # counts of heads
            use_linear_projection=True,
            transformer_layers_per_block=(1, 1, 2),
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=6 * 256 + WIDTHS["g"],
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        )
        vae = tiny_vae(scaling_factor=0.13025)
        text_l = CLIPTextModel(text_config("l"))
        text_g = CLIPTextModelWithProjection(text_config("g"))
        with torch.no_grad():
            for name, weight in unet.named_parameters():
                if "attn2.to_" in name:
                    weight.mul_(4)
    vocabulary = Path(comfy.sd1_clip.__file__).with_name("sd1_tokenizer")
    return StableDiffusionXLInstructPix2PixPipeline(
        vae=vae.eval(),
        text_encoder=text_l.eval(),
        text_encoder_2=text_g.eval(),
        tokenizer=CLIPTokenizer.from_pretrained(vocabulary, model_max_length=77),
        tokenizer_2=CLIPTokenizer.from_pretrained(vocabulary, model_max_length=77, pad_token="!"),
        unet=unet.eval(),
        scheduler=scheduler or (cosxl_scheduler() if cosxl else sd_scheduler()),
        add_watermarker=False,
        is_cosxl_edit=cosxl,
    )


def cosxl_scheduler(spacing: str = "exponential") -> EDMEulerScheduler:
    return EDMEulerScheduler(
        sigma_min=0.002,
        sigma_max=120.0,
        sigma_data=1.0,
        prediction_type="v_prediction",
        sigma_schedule=spacing,
    )


def sdxl_state_dict(pipeline: StableDiffusionXLInstructPix2PixPipeline) -> StateDict:
    """The pipeline's weights as Stability's single files name them."""
    names = comfy.utils.unet_to_diffusers(LAYOUT)
    unet = {UNET + names[k]: v for k, v in pipeline.unet.state_dict().items()}
    vae = comfy.diffusers_convert.convert_vae_state_dict(pipeline.vae.state_dict())
    text_l = with_text_model(pipeline.text_encoder.state_dict())
    text_g = with_text_model(pipeline.text_encoder_2.state_dict())
    open_clip = comfy.diffusers_convert.convert_text_enc_state_dict_v20(
        {f"clip_g.transformer.{k}": v for k, v in text_g.items()}, "clip_g"
    )
    weights = (
        unet
        | {VAE + k: v for k, v in vae.items()}
        | {TEXT_L + k: v for k, v in text_l.items()}
        | {TEXT_G + k.removeprefix("clip_g."): v for k, v in open_clip.items()}
    )
    return {k: v.clone().contiguous() for k, v in weights.items()}


def with_text_model(tensors: StateDict) -> StateDict:
    kept = ("text_model.", "text_projection.")
    return {k if k.startswith(kept) else f"text_model.{k}": v for k, v in tensors.items()}


SDXL_FORMATS = (
    "sdxl.safetensors",
    "sdxl.fp16.safetensors",
    "sdxl.ckpt",
    "sdxl.ema.safetensors",
    "cosxl.safetensors",
    "diffusers",
    "diffusers.fp16",
    "diffusers.sharded",
    "diffusers.cosxl",
)


def sdxl_checkpoint(directory: Path, format: str, seed: int = 0) -> Path:
    """Writes one editor in the named format (see SDXL_FORMATS), returns its file or folder."""
    pipeline = sdxl_pipeline(seed, cosxl="cosxl" in format)
    if format.startswith("diffusers"):
        folder, variant = directory / "sdxl", format.removeprefix("diffusers")
        if variant == ".fp16":
            pipeline.to(torch.float16).save_pretrained(folder, variant="fp16")
        else:
            size = "300KB" if variant == ".sharded" else "5GB"
            pipeline.save_pretrained(folder, max_shard_size=size)
        return folder
    weights = sdxl_state_dict(pipeline)
    content, suffix = format.rsplit(".", 1)
    if content == "cosxl":
        weights |= EDM
    elif content == "sdxl.fp16":
        weights = {k: v.half() for k, v in weights.items()}
    elif content == "sdxl.ema":
        weights |= {k: v for k, v in ema_of(weights).items() if k.startswith(EMA)}
    path = directory / f"sdxl.{suffix}"
    if suffix == "ckpt":
        torch.save({"state_dict": weights}, path)
    else:
        safetensors.torch.save_file(weights, path)
    return path
