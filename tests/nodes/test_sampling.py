"""An edit from picture to picture, against diffusers' pipeline and the authors' sampler."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.nodes.sampling import IP2PKSampler
from instruct_pix2pix.nodes.text import IP2PEncodeInstruction
from PIL import Image

from ..checkpoints.factory import tiny_checkpoints

INSTRUCTION = "Make it snow (a lot), please: white hills!"
SEED = 11


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return tiny_checkpoints(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def checkpoint(files):
    return load_checkpoint(files.single)


@pytest.fixture(scope="module")
def pipeline(files):
    pipe = StableDiffusionInstructPix2PixPipeline.from_pretrained(files.folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def picture():
    pixels = np.random.default_rng(0).integers(0, 256, (72, 64, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def official_edit(checkpoint, picture, steps):
    """The picture [H, W, 3] in 0..255, not yet rounded, through our nodes."""
    pixels = torch.from_numpy(np.array(picture)).float()[None] / 255
    encoded = IP2PEncodeInstruction.execute(checkpoint.clip, INSTRUCTION, "", "plain")
    latent = IP2PKSampler.execute(
        checkpoint.model,
        encoded[0],
        encoded[1],
        {"samples": checkpoint.vae.encode(pixels)},
        seed=SEED,
        steps=steps,
        text_cfg=7.5,
        image_cfg=1.5,
        sampler_name="euler_ancestral",
        scheduler="normal",
        denoise=1.0,
        numerics="official",
    )[0]
    return checkpoint.vae.decode(latent["samples"])[0].numpy() * 255


def authors_edit(pipeline, picture, steps):
    """The authors' edit_cli.py from its formulas: k-diffusion's Euler ancestral in x0 space.

    The networks are diffusers' modules, called one branch at a time.
    """
    generator = torch.Generator("cpu").manual_seed(SEED)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
    picture_latent = pipeline.vae.encode(pixels).latent_dist.mode()
    text, nothing = (
        pipeline.text_encoder(
            pipeline.tokenizer(
                words, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
            ).input_ids
        )[0]
        for words in (INSTRUCTION, "")
    )
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas_cumprod = torch.cumprod(1 - betas, 0)
    log_sigmas = ((1 - alphas_cumprod) / alphas_cumprod).sqrt().log()
    timesteps = torch.linspace(999, 0, steps, dtype=torch.float64)
    low = timesteps.floor().long()
    weight = timesteps - low
    log_sigma = (1 - weight) * log_sigmas[low] + weight * log_sigmas[(low + 1).clamp(max=999)]
    sigmas = torch.cat([log_sigma.exp(), torch.zeros(1)]).float()

    def denoise(x, sigma, t):
        scaled = x / (sigma**2 + 1).sqrt()
        zeros = torch.zeros_like(picture_latent)
        e2, e1, e0 = (
            pipeline.unet(torch.cat([scaled, image], 1), t, encoder_hidden_states=words)[0]
            for image, words in (
                (picture_latent, text),
                (picture_latent, nothing),
                (zeros, nothing),
            )
        )
        d2, d1, d0 = (x - sigma * e for e in (e2, e1, e0))
        return d0 + 7.5 * (d2 - d1) + 1.5 * (d1 - d0)

    x = torch.randn(picture_latent.shape, generator=generator) * sigmas[0]
    for sigma, following, t in zip(sigmas, sigmas[1:], timesteps.float(), strict=False):
        denoised = denoise(x, sigma, t)
        up = (following**2 * (sigma**2 - following**2) / sigma**2).sqrt().clamp(max=following)
        down = (following**2 - up**2).sqrt()
        x = x + (x - denoised) / sigma * (down - sigma)
        x = x + torch.randn(x.shape, generator=generator) * up
    decoded = pipeline.vae.decode(x / 0.18215).sample
    return ((decoded[0].permute(1, 2, 0) + 1) / 2).clamp(0, 1).numpy() * 255


@torch.no_grad()
@pytest.mark.parametrize("steps", [10, 20, 28])
def test_official_numerics_give_the_picture_of_diffusers(checkpoint, pipeline, picture, steps):
    """Within one grey level for every pixel."""
    theirs = pipeline(
        INSTRUCTION,
        image=picture,
        num_inference_steps=steps,
        guidance_scale=7.5,
        image_guidance_scale=1.5,
        generator=torch.Generator("cpu").manual_seed(SEED),
        output_type="np",
    ).images[0]
    ours = official_edit(checkpoint, picture, steps)
    assert np.ptp(ours) > 50, "a flat picture would prove nothing"
    assert np.abs(ours.round() - (theirs * 255).round()).max() <= 1


@torch.no_grad()
@pytest.mark.parametrize("steps", [10, 20, 28])
def test_official_numerics_give_the_picture_of_the_authors(checkpoint, pipeline, picture, steps):
    ours = official_edit(checkpoint, picture, steps)
    assert np.abs(ours.round() - authors_edit(pipeline, picture, steps).round()).max() <= 1
