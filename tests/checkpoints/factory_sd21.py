"""Tiny editors on Stable Diffusion 2.1, as HIVE is: one file with OpenCLIP's names, or a folder."""

from __future__ import annotations

from pathlib import Path

import comfy.diffusers_convert
import comfy.sd1_clip
import comfy.utils
import safetensors.torch
import torch
from diffusers import (
    EulerAncestralDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from .factory import UNET, UNET_CONFIG, VAE, StateDict, sd_scheduler, tiny_vae
from .factory_sdxl import with_text_model

TEXT_H = "cond_stage_model.model."
WIDTH = 64


def sd21_pipeline(
    seed: int = 0, velocity: bool = False, in_channels: int = 8
) -> StableDiffusionInstructPix2PixPipeline:
    """A diffusers pipeline of random fp32 weights; text and image both move its prediction."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=8,
            in_channels=in_channels,
            block_out_channels=(64, 128),
            layers_per_block=1,
            cross_attention_dim=WIDTH,
            attention_head_dim=(1, 2),  # counts of heads
            use_linear_projection=True,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        )
        vae = tiny_vae()
        # As Stable Diffusion 2.1's folder: the last layer, whose output is not read, is left out.
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=WIDTH,
                intermediate_size=2 * WIDTH,
                num_hidden_layers=2,
                num_attention_heads=1,
                vocab_size=49408,
                max_position_embeddings=77,
                hidden_act="gelu",
                bos_token_id=49406,
                eos_token_id=49407,
            )
        )
        with torch.no_grad():
            for name, weight in unet.named_parameters():
                if "attn2.to_" in name:
                    weight.mul_(4)
    vocabulary = Path(comfy.sd1_clip.__file__).with_name("sd1_tokenizer")
    return StableDiffusionInstructPix2PixPipeline(
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=CLIPTokenizer.from_pretrained(vocabulary, model_max_length=77, pad_token="!"),
        unet=unet.eval(),
        scheduler=sd_scheduler(
            EulerAncestralDiscreteScheduler,
            prediction_type="v_prediction" if velocity else "epsilon",
        ),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )


def sd21_state_dict(pipeline: StableDiffusionInstructPix2PixPipeline) -> StateDict:
    """The pipeline's weights as single files name them, with a last layer of the text encoder."""
    names = comfy.utils.unet_to_diffusers(UNET_CONFIG)
    unet = {UNET + names[k]: v for k, v in pipeline.unet.state_dict().items()}
    vae = comfy.diffusers_convert.convert_vae_state_dict(pipeline.vae.state_dict())
    text = with_text_model(pipeline.text_encoder.state_dict())
    layers = "text_model.encoder.layers."
    text |= {
        k.replace(f"{layers}1.", f"{layers}2."): torch.full_like(v, 3.0)  # never read
        for k, v in text.items()
        if k.startswith(f"{layers}1.")
    }
    open_clip = comfy.diffusers_convert.convert_text_enc_state_dict_v20(
        {f"clip_h.transformer.{k}": v for k, v in text.items()}, "clip_h"
    )
    open_clip["clip_h.text_projection"] = torch.eye(WIDTH)
    open_clip["clip_h.logit_scale"] = torch.tensor(4.6)
    weights = (
        unet
        | {VAE + k: v for k, v in vae.items()}
        | {TEXT_H + k.removeprefix("clip_h."): v for k, v in open_clip.items()}
    )
    return {k: v.clone().contiguous() for k, v in weights.items()}


def sd21_checkpoint(directory: Path, format: str, seed: int = 0) -> Path:
    """`sd21.safetensors`, `sd21.ckpt` or `sd21.diffusers`, with `.velocity` in it for that kind."""
    pipeline = sd21_pipeline(seed, velocity="velocity" in format)
    path = directory / format
    if format.endswith("diffusers"):
        pipeline.save_pretrained(path)
        return path
    weights = sd21_state_dict(pipeline)
    if "velocity" in format:
        weights["v_pred"] = torch.tensor([])
    if format.endswith("ckpt"):
        torch.save({"state_dict": weights}, path)
    else:
        safetensors.torch.save_file(weights, path)
    return path
