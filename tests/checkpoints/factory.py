"""Tiny InstructPix2Pix checkpoints: random weights from a seed, in every layout that people have.

The weights are made once, as diffusers modules, and renamed to the authors' (LDM) names with
ComfyUI's own tables. So a file and a diffusers folder of the same seed hold the same numbers,
and `StableDiffusionInstructPix2PixPipeline.from_pretrained(folder)` is the oracle for both.

    from instruct_pix2pix.tests.checkpoints.factory import tiny_checkpoint, tiny_checkpoints

    files = tiny_checkpoints(tmp_path, seed=0)     # files.single, files.folder: identical weights
    path = tiny_checkpoint(tmp_path, format="raw+ema.ckpt")
"""

from __future__ import annotations

import json
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import comfy.diffusers_convert
import comfy.sd1_clip
import comfy.utils
import safetensors.torch
import torch
from diffusers import (
    AutoencoderKL,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    StableDiffusionInstructPix2PixPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

UNET = "model.diffusion_model."
VAE = "first_stage_model."
TEXT = "cond_stage_model.transformer."
EMA = "model_ema."

TEXT_WIDTH = 32
# Two levels, one block each, in the words of ComfyUI's detection. Its IP2P class has 8 heads.
UNET_CONFIG = {
    "num_res_blocks": [1, 1],
    "channel_mult": [1, 2],
    "transformer_depth": [1, 0],
    "transformer_depth_output": [1, 1, 0, 0],
    "transformer_depth_middle": 1,
}
# The full SD 1.5 block layout at a tenth of its width: 686 tensors with the real names.
SD15_LAYOUT = {
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1] * 9 + [0] * 3,
    "transformer_depth_middle": 1,
}

FORMATS = (
    "raw.safetensors",
    "raw.fp16.safetensors",
    "raw.ckpt",
    "raw+ema.safetensors",
    "raw+ema.ckpt",
    "ema.safetensors",
    "unet.safetensors",
    "mini.safetensors",
    "diffusers",
    "diffusers.fp16",
    "diffusers.sharded",
    "diffusers.bin",
)

StateDict = dict[str, torch.Tensor]


@dataclass(frozen=True)
class TinyFiles:
    """The same weights twice: `single` in LDM keys, `folder` as a diffusers pipeline."""

    single: Path
    folder: Path


def tiny_vae(**options: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(32, 32, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        sample_size=64,
        **options,
    )


def sd_scheduler(kind: type = EulerDiscreteScheduler, **options: Any) -> Any:
    """A diffusers scheduler of Stable Diffusion's noise."""
    return kind(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        timestep_spacing="linspace",
        **options,
    )


def tiny_pipeline(
    seed: int = 0, layout: dict = UNET_CONFIG, in_channels: int = 8, text_heads: int = 1
) -> StableDiffusionInstructPix2PixPipeline:
    """A diffusers IP2P pipeline of random fp32 weights; text and image both move its prediction."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        depth = layout["transformer_depth"]
        per_level = layout["num_res_blocks"][0]
        attends = [depth[level * per_level] > 0 for level in range(len(layout["channel_mult"]))]
        unet = UNet2DConditionModel(
            sample_size=8,
            in_channels=in_channels,
            block_out_channels=tuple(32 * mult for mult in layout["channel_mult"]),
            layers_per_block=per_level,
            cross_attention_dim=TEXT_WIDTH,
            # For SD 1.x diffusers reads this number as the count of heads.
            attention_head_dim=8,
            down_block_types=tuple(
                "CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in attends
            ),
            up_block_types=tuple(
                "CrossAttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)
            ),
        )
        vae = tiny_vae()
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                hidden_size=TEXT_WIDTH,
                intermediate_size=2 * TEXT_WIDTH,
                num_hidden_layers=2,
                num_attention_heads=text_heads,
                vocab_size=49408,
                max_position_embeddings=77,
                hidden_act="quick_gelu",
                bos_token_id=49406,
                eos_token_id=49407,
            )
        )
        with torch.no_grad():
            # Default initialisation all but ignores the text; a louder cross attention makes the
            # three branches of the guidance differ as they do in a trained model.
            for name, weight in unet.named_parameters():
                if "attn2.to_" in name:
                    weight.mul_(4)
    # ComfyUI's own vocabulary, so that both sides tokenize alike.
    tokenizer = CLIPTokenizer.from_pretrained(
        Path(comfy.sd1_clip.__file__).with_name("sd1_tokenizer"), model_max_length=77
    )
    scheduler = sd_scheduler(EulerAncestralDiscreteScheduler)
    return StableDiffusionInstructPix2PixPipeline(
        vae=vae.eval(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=unet.eval(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )


def ldm_state_dict(
    pipeline: StableDiffusionInstructPix2PixPipeline, layout: dict = UNET_CONFIG
) -> StateDict:
    """The pipeline's weights under the authors' names, one dictionary as in their single file."""
    names = comfy.utils.unet_to_diffusers(layout)
    unet = {UNET + names[k]: v for k, v in pipeline.unet.state_dict().items()}
    vae = comfy.diffusers_convert.convert_vae_state_dict(pipeline.vae.state_dict())
    text = {
        "text_model." + k.removeprefix("text_model."): v
        for k, v in pipeline.text_encoder.state_dict().items()
    }
    return (
        {k: v.clone().contiguous() for k, v in unet.items()}
        | {VAE + k: v.clone().contiguous() for k, v in vae.items()}
        | {TEXT + k: v.clone().contiguous() for k, v in text.items()}
    )


def ema_of(state_dict: StateDict, seed: int = 1) -> StateDict:
    """EMA weights as the authors' LitEma names them: every dot after `model.` is gone."""
    generator = torch.Generator().manual_seed(seed)
    return {
        EMA + name.removeprefix("model.").replace(".", ""): weight
        + 0.01 * torch.randn(weight.shape, generator=generator)
        for name, weight in state_dict.items()
        if name.startswith(UNET)
    } | {EMA + "decay": torch.tensor(0.9999), EMA + "num_updates": torch.tensor(22000)}


def tiny_checkpoints(directory: Path, seed: int = 0) -> TinyFiles:
    """Writes `tiny.safetensors` and the diffusers folder `tiny` of the same fp32 weights."""
    return TinyFiles(
        single=tiny_checkpoint(directory, "raw.safetensors", seed),
        folder=tiny_checkpoint(directory, "diffusers", seed),
    )


def tiny_checkpoint(directory: Path, format: str = "raw.safetensors", seed: int = 0) -> Path:
    """Writes one checkpoint in the named format (see FORMATS) and returns its file or folder."""
    # An EMA-only file does not tell its block layout, so it has the one that exists: SD 1.5's.
    layout = SD15_LAYOUT if format == "ema.safetensors" else UNET_CONFIG
    # ip2p-mini's metadata gives the number of heads; elsewhere it follows from CLIP's 64 a head.
    pipeline = tiny_pipeline(seed, layout, text_heads=4 if format == "mini.safetensors" else 1)
    if format.startswith("diffusers"):
        return _save_folder(pipeline, directory / "tiny", format.removeprefix("diffusers"))

    weights = ldm_state_dict(pipeline, layout)
    content, suffix = format.rsplit(".", 1)
    path = directory / f"tiny.{suffix}"
    metadata = None
    if content == "raw+ema":
        weights |= ema_of(weights)
    elif content == "ema":
        ema = ema_of(weights)
        weights = {k: v for k, v in weights.items() if not k.startswith(UNET)} | ema
    elif content == "unet":
        weights = {k: v for k, v in weights.items() if k.startswith(UNET)}
    elif content == "raw.fp16":
        weights = {k: v.half() for k, v in weights.items()}
    elif content == "mini":
        weights = {k: v.half() for k, v in weights.items()}
        metadata = mini_metadata(pipeline)
    if suffix == "ckpt":
        _save_lightning(weights, path)
    else:
        safetensors.torch.save_file(weights, path, metadata=metadata)
    return path


def mini_metadata(pipeline: StableDiffusionInstructPix2PixPipeline) -> dict[str, str]:
    """What ip2p-mini writes beside its tensors: that which the shapes cannot tell."""
    text = pipeline.text_encoder.config
    architecture = {
        "resolution": 128,
        "vae_ddconfig": {
            "double_z": True,
            "z_channels": 4,
            "resolution": 128,
            "in_channels": 3,
            "out_ch": 3,
            "ch": 32,
            "ch_mult": [1, 1, 1, 2],
            "num_res_blocks": 1,
            "attn_resolutions": [],
            "dropout": 0.0,
        },
        "clip_config": {
            "hidden_size": text.hidden_size,
            "intermediate_size": text.intermediate_size,
            "num_hidden_layers": text.num_hidden_layers,
            "num_attention_heads": text.num_attention_heads,
            "hidden_act": text.hidden_act,
        },
    }
    return {"ip2p.architecture": json.dumps(architecture), "ip2p.recipe": "{}"}


def _save_lightning(weights: StateDict, path: Path) -> None:
    """As PyTorch Lightning 1.4 saved the authors' .ckpt: a class of its own among the callbacks."""
    name = "pytorch_lightning.callbacks.model_checkpoint"
    callback = type("ModelCheckpoint", (), {"__module__": name})
    parts = ("pytorch_lightning", "pytorch_lightning.callbacks", name)
    lightning = {part: types.ModuleType(part) for part in parts}
    lightning[name].ModelCheckpoint = callback  # type: ignore[attr-defined]
    content = {
        "epoch": 0,
        "global_step": 22000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": weights | {"betas": torch.linspace(0.00085, 0.012, 1000)},
        "callbacks": {callback: {"best_model_score": torch.tensor(0.1)}},
        "optimizer_states": [{"state": {0: {"step": 1, "exp_avg": torch.zeros(4)}}}],
        "lr_schedulers": [{"base_lrs": [1e-4]}],
    }
    with patch.dict(sys.modules, lightning):
        torch.save(content, path)


def _save_folder(
    pipeline: StableDiffusionInstructPix2PixPipeline, folder: Path, variant: str
) -> Path:
    if variant == ".fp16":
        pipeline.to(torch.float16).save_pretrained(folder, variant="fp16")
    elif variant == ".sharded":
        pipeline.save_pretrained(folder, max_shard_size="300KB")
    else:
        pipeline.save_pretrained(folder, safe_serialization=variant != ".bin")
    if variant == ".bin":  # transformers no longer writes these itself
        safe = folder / "text_encoder" / "model.safetensors"
        torch.save(safetensors.torch.load_file(safe), safe.with_name("pytorch_model.bin"))
        safe.unlink()
    return folder
