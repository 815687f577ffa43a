"""The exported file: ComfyUI's own classes take every key and compute the trainer's numbers."""

import json
from pathlib import Path

import comfy.model_detection
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import numpy as np
import pytest
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.mini.export import export, text_to_ldm, unet_to_ldm, vae_to_ldm
from instruct_pix2pix.mini.networks import (
    CLIP_CONFIG,
    LATENT_SCALE,
    UNET_HEADS,
    build_text_encoder,
    build_unet,
    build_vae,
)
from instruct_pix2pix.mini.train_unet import preview_colors
from latent_preview import Latent2RGBPreviewer
from safetensors import safe_open
from torch.nn import functional

RESOLUTION = 256
USED = [320, 49406, 49407]
COLORS = [[0.3, 0.1, -0.2], [0.0, 0.2, 0.1], [-0.1, 0.0, 0.3], [0.2, 0.2, 0.2], [0.1, 0.0, -0.1]]
MEAN, SCALE = torch.tensor([0.5, -1, 2, 0]).reshape(1, 4, 1, 1), torch.tensor(3.0)


@pytest.fixture(scope="module")
def networks() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    built = {"unet": build_unet(), "vae": build_vae(), "text": build_text_encoder(len(USED) + 1)}
    return {name: network.eval() for name, network in built.items()}


@pytest.fixture(scope="module")
def path(networks: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mini") / "mini.safetensors"
    export(
        path,
        RESOLUTION,
        unet_to_ldm(networks["unet"].state_dict()),
        vae_to_ldm(networks["vae"].state_dict(), MEAN, SCALE),
        text_to_ldm(networks["text"].state_dict(), USED),
        {"seed": 0},
        COLORS,
    )
    return path


@torch.no_grad()
def test_the_unet_computes_the_same_in_comfyui(networks: dict) -> None:
    weights = unet_to_ldm(networks["unet"].state_dict())
    config = comfy.model_detection.detect_unet_config(weights, "")
    unet = UNetModel(**config, num_heads=UNET_HEADS, operations=comfy.ops.disable_weight_init)
    unet.load_state_dict(weights)
    x, steps = torch.randn(2, 8, 16, 16), torch.tensor([3, 800])
    context = torch.randn(2, 77, CLIP_CONFIG["hidden_size"])
    expected = networks["unet"](x, steps, context).sample
    torch.testing.assert_close(unet(x, steps, context), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_first_stage_gives_the_latents_of_sd_1(networks: dict, path: Path) -> None:
    vae, pixels = load_checkpoint(path).vae, torch.rand(1, 64, 64, 3)
    latents = networks["vae"].encode(pixels.movedim(-1, 1) * 2 - 1).latent_dist.mode()
    raw = (latents - MEAN) * SCALE
    torch.testing.assert_close(vae.encode(pixels), raw, atol=2e-2, rtol=2e-2)
    decoded = networks["vae"].decode(latents).sample.movedim(1, -1) / 2 + 0.5
    torch.testing.assert_close(vae.decode(raw), decoded.clamp(0, 1), atol=5e-3, rtol=0)


@torch.no_grad()
def test_the_text_encoder_reads_the_same_in_comfyui(networks: dict, path: Path) -> None:
    clip = load_checkpoint(path).clip
    tokens = clip.tokenize("a")
    ids = [[token for token, _ in chunk] for chunk in tokens["l"]]
    assert set(ids[0]) == set(USED)
    rows = torch.tensor([[USED.index(token) for token in ids[0]]])
    expected = networks["text"](rows).last_hidden_state
    (context, _), *_ = clip.encode_from_tokens_scheduled(tokens)
    torch.testing.assert_close(context.float(), expected, atol=2e-2, rtol=2e-2)


@torch.no_grad()
def test_live_previews_show_the_colors_of_the_pictures(path: Path) -> None:
    """The table that is fitted to the latents is the one that the editor's previews go by."""
    table, latents = torch.tensor(COLORS), 5 * torch.randn(3, 4, 6, 5)
    seen = (LATENT_SCALE * latents).movedim(1, -1) @ table[:4] + table[4]
    pictures = functional.interpolate(seen.movedim(-1, 1), scale_factor=8)
    torch.testing.assert_close(preview_colors(latents, pictures), table, atol=1e-4, rtol=0)

    known = load_checkpoint(path).model.model.latent_format
    previewer = Latent2RGBPreviewer(known.latent_rgb_factors, known.latent_rgb_factors_bias)
    picture = np.asarray(previewer.decode_latent_to_preview(LATENT_SCALE * latents))
    expected = (seen[0] / 2 + 0.5).clamp(0, 1).mul(255).numpy()
    np.testing.assert_allclose(picture, expected, atol=1.01)


def test_the_file_says_what_it_is_and_is_small(path: Path) -> None:
    assert path.stat().st_size < 30e6
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        assert all(file.get_tensor(key).dtype == torch.float16 for key in file.keys())
    architecture = json.loads(metadata["ip2p.architecture"])
    assert architecture["resolution"] == RESOLUTION
    assert architecture["clip_config"]["num_attention_heads"] == 4
    assert json.loads(metadata["ip2p.recipe"]) == {"seed": 0}
    config = {"params": {"ddconfig": architecture["vae_ddconfig"], "embed_dim": 4}}
    vae = comfy.sd.VAE(sd=load_part(path, "first_stage_model."), config=config)
    assert set(vae.first_stage_model.state_dict()) == set(load_part(path, "first_stage_model."))


def load_part(path: Path, prefix: str) -> dict[str, torch.Tensor]:
    with safe_open(path, "pt") as file:
        names = [key for key in file.keys() if key.startswith(prefix)]
        return {key.removeprefix(prefix): file.get_tensor(key) for key in names}
