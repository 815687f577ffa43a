"""A loaded checkpoint computes what diffusers computes from the same weights."""

import functools

import comfy.model_management
import pytest
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline
from instruct_pix2pix.checkpoints.layouts import ARCHITECTURE_TENSOR
from instruct_pix2pix.checkpoints.loading import load_checkpoint

from .factory import (
    EMA,
    FORMATS,
    SD15_LAYOUT,
    UNET,
    UNET_CONFIG,
    ema_of,
    ldm_state_dict,
    tiny_pipeline,
)


def loaded_weights(checkpoint):
    weights = checkpoint.model.model.diffusion_model.state_dict()
    weights.pop(ARCHITECTURE_TENSOR, None)
    return weights


@functools.cache
def expected_weights(which, full=False):
    layout = SD15_LAYOUT if full else UNET_CONFIG
    weights = ldm_state_dict(tiny_pipeline(layout=layout), layout)
    raw = {k.removeprefix(UNET): v for k, v in weights.items() if k.startswith(UNET)}
    if which == "raw":
        return raw
    ema = ema_of(weights)
    return {k: ema[EMA + "diffusion_model" + k.replace(".", "")] for k in raw}


@pytest.mark.parametrize("format", FORMATS)
def test_the_loaded_unet_is_the_files_bit_for_bit(tiny, opened, format):
    expected = expected_weights("ema" if "ema" in format else "raw", format == "ema.safetensors")
    if "fp16" in format or "mini" in format:
        expected = {k: v.half().float() for k, v in expected.items()}
    got = loaded_weights(opened(tiny(format)))
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[k].float().cpu(), expected[k]) for k in got)


@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
@pytest.mark.parametrize(("choice", "which"), [("auto", "ema"), ("ema", "ema"), ("raw", "raw")])
def test_one_of_two_sets_is_chosen(tiny, suffix, choice, which):
    got = loaded_weights(load_checkpoint(tiny(f"raw+ema.{suffix}"), choice))
    expected = expected_weights(which)
    assert all(torch.equal(got[k].cpu(), expected[k]) for k in got)


@pytest.mark.parametrize(
    ("format", "resolution"),
    [("raw.safetensors", 512), ("mini.safetensors", 128), ("diffusers", 64)],
)
def test_the_training_size_comes_from_the_file(tiny, opened, format, resolution):
    assert opened(tiny(format)).resolution == resolution


@pytest.fixture(scope="module")
def oracle(tiny):
    return StableDiffusionInstructPix2PixPipeline.from_pretrained(
        tiny("diffusers"), safety_checker=None
    )


def predicted_noise(checkpoint, latent, timestep, text):
    patcher = checkpoint.model
    comfy.model_management.load_models_gpu([patcher])
    unet = patcher.model.diffusion_model
    place = {"device": patcher.load_device}
    with torch.no_grad():
        return unet(latent.to(**place), timestep.to(**place), context=text.to(**place)).cpu()


@pytest.mark.parametrize("format", ["raw.safetensors", "diffusers", "diffusers.sharded"])
def test_unet_equals_diffusers(tiny, opened, oracle, format):
    generator = torch.Generator().manual_seed(3)
    latent = torch.randn(2, 8, 8, 12, generator=generator)
    text = torch.randn(2, 77, 32, generator=generator)
    timestep = torch.tensor([981.0, 17.0])
    got = predicted_noise(opened(tiny(format)), latent, timestep, text)
    with torch.no_grad():
        expected = oracle.unet(latent, timestep, text).sample
    # fp32; the two sum in another order.
    torch.testing.assert_close(got, expected, atol=5e-6, rtol=0)


def test_file_and_folder_are_one_model(tiny, opened):
    generator = torch.Generator().manual_seed(3)
    latent = torch.randn(1, 8, 8, 8, generator=generator)
    text = torch.randn(1, 77, 32, generator=generator)
    timestep = torch.tensor([500.0])
    file, folder = (
        predicted_noise(opened(tiny(format)), latent, timestep, text)
        for format in ("raw.safetensors", "diffusers")
    )
    assert torch.equal(file, folder)


@pytest.mark.parametrize("format", ["raw.safetensors", "raw+ema.ckpt", "diffusers"])
def test_vae_equals_diffusers(tiny, opened, oracle, format):
    vae = opened(tiny(format)).vae
    pixels = torch.rand(1, 64, 40, 3, generator=torch.Generator().manual_seed(4))
    got = vae.encode(pixels)
    with torch.no_grad():
        expected = oracle.vae.encode(pixels.movedim(-1, 1) * 2 - 1).latent_dist.mode()
        decoded = oracle.vae.decode(expected).sample.movedim(1, -1) / 2 + 0.5
    torch.testing.assert_close(got, expected, atol=5e-6, rtol=0)
    torch.testing.assert_close(vae.decode(expected), decoded.clamp(0, 1), atol=5e-6, rtol=0)


@pytest.mark.parametrize("format", ["raw.safetensors", "diffusers", "diffusers.bin"])
def test_clip_equals_transformers(tiny, opened, oracle, format):
    clip = opened(tiny(format)).clip
    for text in ("", "make her hair blue", "Turn it into a Renaissance painting, 1510!"):
        tokens = oracle.tokenizer(text, padding="max_length", max_length=77, return_tensors="pt")
        with torch.no_grad():
            expected = oracle.text_encoder(tokens.input_ids)[0]
        got = clip.encode_from_tokens(clip.tokenize(text))
        torch.testing.assert_close(got, expected, atol=5e-6, rtol=0)


def test_heads_of_the_text_encoder_come_from_the_metadata(tiny, opened):
    clip = opened(tiny("mini.safetensors")).clip
    pipeline = tiny_pipeline(text_heads=4)
    tokens = pipeline.tokenizer("make it snow", padding="max_length", return_tensors="pt")
    with torch.no_grad():
        expected = pipeline.text_encoder.half().float()(tokens.input_ids)[0]
    got = clip.encode_from_tokens(clip.tokenize("make it snow"))
    torch.testing.assert_close(got, expected, atol=5e-6, rtol=0)


def test_missing_parts_are_as_in_core(tiny):
    checkpoint = load_checkpoint(tiny("unet.safetensors"))
    assert checkpoint.clip is None
    with pytest.raises(RuntimeError, match="does not contain a valid VAE"):
        checkpoint.vae.encode(torch.zeros(1, 64, 64, 3))


def test_a_file_loads_twice_alike_and_is_left_as_it_was(tiny):
    path = tiny("raw+ema.safetensors")
    before = path.read_bytes()
    first, second = (loaded_weights(load_checkpoint(path)) for _ in range(2))
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert path.read_bytes() == before


def test_each_part_can_be_made_again_for_newer_cores(tiny):
    checkpoint = load_checkpoint(tiny("raw+ema.safetensors"), "raw")
    for patcher in (checkpoint.model, checkpoint.clip.patcher, checkpoint.vae.patcher):
        remake, arguments = patcher.cached_patcher_init
        again = remake(*arguments, disable_dynamic=True).model.state_dict()
        # Core leaves the projection that SD 1.x does not have as it finds the memory.
        kept = {k: v for k, v in patcher.model.state_dict().items() if "projection" not in k}
        assert all(torch.equal(again[k], v) for k, v in kept.items())
