"""An editor on Stable Diffusion 2.1 (HIVE's kind) through the nodes: diffusers' latents."""

from functools import cache

import numpy as np
import pytest
import torch
from comfy.model_base import IP2P, ModelType
from instruct_pix2pix.checkpoints.families import SD21
from instruct_pix2pix.checkpoints.layouts import read_checkpoint
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.checkpoints.signs import look
from instruct_pix2pix.nodes.pictures import IP2PEncodeSource
from instruct_pix2pix.nodes.sampling import IP2PKSampler
from instruct_pix2pix.nodes.text import IP2PEncodeInstruction
from PIL import Image

from ..checkpoints.factory_sd21 import TEXT_H, sd21_checkpoint, sd21_pipeline, sd21_state_dict

STEPS, SEED, SCALE = 6, 7, 0.18215
TEXT = "move it to Mars"
FORMATS = ("sd21.safetensors", "sd21.ckpt", "sd21.diffusers")
VELOCITY = ("sd21.velocity.safetensors", "sd21.velocity.diffusers")


@pytest.fixture(scope="module")
def sd21(tmp_path_factory):
    folder, written = tmp_path_factory.mktemp("sd21"), {}

    def path(format):
        if format not in written:
            written[format] = sd21_checkpoint(folder, format)
        return written[format]

    return path


@pytest.fixture(scope="module")
def loaded_sd21(sd21):
    """The parts of a file of each format; not to be changed."""
    return cache(lambda format: load_checkpoint(sd21(format)))


@pytest.fixture(scope="module")
def reference():
    return sd21_pipeline()


@pytest.fixture(scope="module")
def picture():
    numbers = np.random.default_rng(3).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    return Image.fromarray(numbers)


@pytest.fixture(scope="module")
def expected(picture):
    """Latents of diffusers' pipeline, and of the other kind of prediction."""

    def edit(velocity):
        pipeline = sd21_pipeline(velocity=velocity)
        pipeline.set_progress_bar_config(disable=True)
        with torch.no_grad():
            return pipeline(
                TEXT,
                image=picture,
                num_inference_steps=STEPS,
                guidance_scale=7.5,
                image_guidance_scale=1.5,
                negative_prompt="",
                generator=torch.Generator("cpu").manual_seed(SEED),
                output_type="latent",
            ).images

    return {velocity: edit(velocity) for velocity in (False, True)}


@pytest.mark.parametrize("format", FORMATS + VELOCITY)
def test_latents_are_those_of_diffusers(loaded_sd21, picture, expected, format):
    loaded = loaded_sd21(format)
    pixels = torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)[None]
    source, _ = IP2PEncodeSource.execute(
        image=pixels, vae=loaded.vae, fit="keep size", resolution=64, margin=64
    ).args
    text = IP2PEncodeInstruction.execute(loaded.clip, TEXT, "", "plain").args
    got = IP2PKSampler.execute(
        loaded.model,
        *text,
        source,
        seed=SEED,
        steps=STEPS,
        text_cfg=loaded.text_cfg,
        image_cfg=loaded.image_cfg,
        sampler_name="euler_ancestral",
        scheduler="normal",
        denoise=1.0,
        numerics="official",
    ).args[0]["samples"]
    wanted = expected["velocity" in format]
    span = float(wanted.max() - wanted.min())
    print(f"{format}: {float((got * SCALE - wanted).abs().max()):.2g} of {span:.3g}")
    assert float((got * SCALE - wanted).abs().max()) < 1e-4 * span
    # The other kind of prediction is far off: the tolerance would not hide it.
    assert float((expected[False] - expected[True]).abs().max()) > 1e-2 * span


@pytest.mark.parametrize("text", ["", "make it snow", "a " * 90 + "!!"])
@pytest.mark.parametrize("format", FORMATS)
def test_text_equals_diffusers(loaded_sd21, reference, format, text):
    with torch.no_grad():
        wanted = reference._encode_prompt(text, "cpu", 1, False)
    clip = loaded_sd21(format).clip
    (((got, _),), _) = IP2PEncodeInstruction.execute(clip, text, "", "plain").args
    torch.testing.assert_close(got, wanted, atol=1e-5, rtol=0)  # fp32 in another order of sums


@pytest.mark.parametrize("format", FORMATS)
def test_it_is_an_editor_of_its_own_family(sd21, loaded_sd21, format):
    loaded = loaded_sd21(format)
    assert look(sd21(format)).family is SD21
    assert look(sd21(format)).what == "InstructPix2Pix (Stable Diffusion 2.1)"
    assert isinstance(loaded.model.model, IP2P)
    source = torch.ones(1, 4, 8, 8)
    seen = loaded.model.model.concat_cond(concat_latent_image=source, noise=source, device="cpu")
    assert torch.equal(seen, source)


def test_a_file_shows_velocity_by_the_spread_of_a_bias(tmp_path):
    """As core tells 2.1 from 2.1-base; the layout has that bias at full depth only."""
    unet = {"input_blocks.0.0.weight": torch.zeros(32, 8, 3, 3)}
    unet["input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"] = torch.zeros(32, 1024)
    for spread, velocity in ((0.05, False), (0.12, True)):
        bias = spread * torch.tensor([-1.0, 1.0]).repeat(32)
        unet["output_blocks.11.1.transformer_blocks.0.norm1.bias"] = bias
        path = tmp_path / f"{spread}.ckpt"
        torch.save({f"model.diffusion_model.{k}": v for k, v in unet.items()}, path)
        assert ("v_pred" in read_checkpoint(path, "auto").sampling) is velocity


def test_a_file_that_tells_decides(loaded_sd21):
    for format, kind in (("sd21.safetensors", "EPS"), (VELOCITY[0], "V_PREDICTION")):
        assert loaded_sd21(format).model.model.model_type is ModelType[kind]


def test_the_pooled_text_is_no_chance_where_a_folder_has_no_projection(loaded_sd21):
    """Core has a projection in every encoder, and leaves one that is missing at random."""
    clip = loaded_sd21("sd21.diffusers").clip
    projection = clip.cond_stage_model.clip_h.transformer.text_projection.weight
    assert torch.equal(projection, torch.eye(64))
    (((_, settings),), _) = IP2PEncodeInstruction.execute(clip, TEXT, "", "plain").args
    assert settings["pooled_output"].abs().max() < 100


def test_the_layer_that_is_never_read_changes_nothing(sd21, tmp_path):
    weights = sd21_state_dict(sd21_pipeline())
    last = f"{TEXT_H}transformer.resblocks.2."
    assert any(key.startswith(last) for key in weights)
    changed = {k: v + 1 if k.startswith(last) else v for k, v in weights.items()}
    torch.save({"state_dict": changed}, tmp_path / "other.ckpt")
    one, other = (
        IP2PEncodeInstruction.execute(load_checkpoint(path).clip, TEXT, "", "plain").args[0]
        for path in (sd21("sd21.ckpt"), tmp_path / "other.ckpt")
    )
    assert torch.equal(one[0][0], other[0][0])
