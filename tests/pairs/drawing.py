"""A tiny random Stable Diffusion 1.x of 4 channels, as ComfyUI has it and as diffusers has it."""

from pathlib import Path

import comfy.diffusers_convert
import comfy.model_detection
import comfy.model_management
import comfy.model_patcher
import comfy.supported_models
import comfy.utils
import safetensors.torch
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from ..checkpoints.factory import (
    TEXT,
    TEXT_WIDTH,
    UNET,
    UNET_CONFIG,
    VAE,
    ldm_state_dict,
    tiny_pipeline,
)
from ..checkpoints.factory_sdxl import WIDTHS, sdxl_pipeline, sdxl_state_dict


def tiny_text_to_image(seed: int = 0):
    """The MODEL and diffusers' pipeline of the same weights."""
    pipeline = tiny_pipeline(seed, in_channels=4)
    weights = {
        name.removeprefix(UNET): weight
        for name, weight in ldm_state_dict(pipeline).items()
        if name.startswith(UNET)
    }
    return model_of(weights, comfy.supported_models.SD15), pipeline


def tiny_sdxl():
    """The MODEL of an SDXL of 4 channels."""
    weights = {
        name.removeprefix(UNET): weight
        for name, weight in sdxl_state_dict(sdxl_pipeline()).items()
        if name.startswith(UNET)
    }
    first = "input_blocks.0.0.weight"
    return model_of(weights | {first: weights[first][:, :4]}, comfy.supported_models.SDXL)


def model_of(weights, kind):
    """A MODEL of core's class at the widths of the weights."""
    config = kind(comfy.model_detection.detect_unet_config(weights, ""))
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model(weights, "", device=torch.device("cpu"))
    model.load_model_weights(dict(weights), "")
    device = comfy.model_management.get_torch_device()
    return comfy.model_patcher.ModelPatcher(model, device, torch.device("cpu"))


SDXL_WIDTHS = {"width": sum(WIDTHS.values()), "pooled": WIDTHS["g"]}


def text(seed: int, length: int = 77, width: int = TEXT_WIDTH, pooled: int = 0):
    """A CONDITIONING of random numbers, with a pooled text of that width."""
    generator = torch.Generator().manual_seed(seed)
    told = {"pooled_output": torch.randn(1, pooled, generator=generator)} if pooled else {}
    return [[torch.randn(1, length, width, generator=generator), told]]


def save_checkpoint(path: Path, seed: int = 0) -> Path:
    """A single file that core loads as Stable Diffusion 1.5: its widths in two levels of one block.

    Its text encoder and first stage have full size, since core knows no other; all are random.
    """
    layout = {**UNET_CONFIG, "channel_mult": [1, 1]}
    half = torch.float16
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(320, 320),
            layers_per_block=1,
            cross_attention_dim=768,
            attention_head_dim=8,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        )
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
        )
        text = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=768,
                intermediate_size=3072,
                num_hidden_layers=12,
                num_attention_heads=12,
                hidden_act="quick_gelu",
                vocab_size=49408,
            )
        )
    names = comfy.utils.unet_to_diffusers(layout)
    first_stage = comfy.diffusers_convert.convert_vae_state_dict(vae.state_dict())
    words = {f"text_model.{k.removeprefix('text_model.')}": v for k, v in text.state_dict().items()}
    weights = {UNET + names[k]: v for k, v in unet.state_dict().items()}
    weights |= {VAE + k: v for k, v in first_stage.items()} | {
        TEXT + k: v for k, v in words.items()
    }
    tensors = {k: v.to(half if v.is_floating_point() else v.dtype) for k, v in weights.items()}
    safetensors.torch.save_file({k: v.clone().contiguous() for k, v in tensors.items()}, path)
    return path
