"""A loaded SDXL editor computes what diffusers' StableDiffusionXLInstructPix2PixPipeline does."""

import comfy.model_base
import comfy.model_sampling
import pytest
import safetensors.torch
import torch
from instruct_pix2pix.checkpoints.families import SDXL
from instruct_pix2pix.checkpoints.files import CheckpointError
from instruct_pix2pix.checkpoints.layouts import ARCHITECTURE_TENSOR
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.checkpoints.signs import look
from instruct_pix2pix.nodes.text import IP2PEncodeInstruction

from .factory import EMA, UNET, sd_scheduler
from .factory_sdxl import (
    SDXL_FORMATS,
    sdxl_checkpoint,
    sdxl_pipeline,
    sdxl_state_dict,
)


@pytest.fixture(scope="session")
def sdxl(tmp_path_factory):
    """`sdxl("cosxl.safetensors")` is the path of an editor in that format; not to be changed."""
    written = {}

    def path(format):
        if format not in written:
            written[format] = sdxl_checkpoint(tmp_path_factory.mktemp("sdxl"), format)
        return written[format]

    return path


@pytest.fixture(scope="module")
def pipeline():
    """diffusers' pipeline of the weights in those files; not to be changed."""
    return sdxl_pipeline()


@pytest.mark.parametrize("format", SDXL_FORMATS)
def test_the_loaded_unet_is_the_files_bit_for_bit(sdxl, pipeline, opened, format):
    weights = sdxl_state_dict(pipeline)
    names = [k.removeprefix(UNET) for k in weights if k.startswith(UNET)]
    if "ema" in format:
        stored = safetensors.torch.load_file(sdxl(format))
        wanted = {k: stored[EMA + "diffusion_model" + k.replace(".", "")] for k in names}
    else:
        wanted = {k: weights[UNET + k] for k in names}
    if "fp16" in format:
        wanted = {k: v.half().float() for k, v in wanted.items()}
    loaded = opened(sdxl(format))
    got = loaded.model.model.diffusion_model.state_dict()
    got.pop(ARCHITECTURE_TENSOR, None)
    assert got.keys() == wanted.keys()
    assert all(torch.equal(got[k].float(), wanted[k]) for k in got)
    assert isinstance(loaded.model.model, comfy.model_base.SDXL_instructpix2pix)
    assert (loaded.text_cfg, loaded.image_cfg) == (5.0, 1.5)
    # The folder's config says 32 latent pixels; a file says nothing.
    assert loaded.resolution == (256 if format.startswith("diffusers") else 1024)
    assert look(sdxl(format)).family is SDXL


@pytest.mark.parametrize("format", ["cosxl.safetensors", "diffusers.cosxl"])
def test_cosxl_samples_continuous_noise_levels_by_velocity(sdxl, opened, format):
    model = opened(sdxl(format)).model.model
    sampling = model.model_sampling
    assert isinstance(sampling, comfy.model_sampling.ModelSamplingContinuousEDM)
    assert isinstance(sampling, comfy.model_sampling.V_PREDICTION)
    assert float(sampling.sigma_max) == pytest.approx(120)
    assert float(sampling.sigma_min) == pytest.approx(0.002)
    source = torch.ones(1, 4, 8, 8)
    seen = model.concat_cond(concat_latent_image=source, noise=source, device="cpu")
    torch.testing.assert_close(seen, 0.13025 * source)


def test_sdxl_takes_the_source_unscaled(sdxl, opened):
    model = opened(sdxl("sdxl.safetensors")).model.model
    source = torch.ones(1, 4, 8, 8)
    seen = model.concat_cond(concat_latent_image=source, noise=source, device="cpu")
    assert torch.equal(seen, source)


@pytest.mark.parametrize("zero_terminal", [False, True])
def test_a_folder_says_how_it_was_trained(tmp_path, zero_terminal):
    scheduler = sd_scheduler(prediction_type="v_prediction", rescale_betas_zero_snr=zero_terminal)
    sdxl_pipeline(scheduler=scheduler).save_pretrained(tmp_path / "velocity")
    model = load_checkpoint(tmp_path / "velocity").model.model
    assert model.model_type is comfy.model_base.ModelType.V_PREDICTION
    # The noisiest level with zero terminal SNR is as good as endless; without, it is 14.6.
    assert (float(model.model_sampling.sigma_max) > 1000) is zero_terminal


@pytest.mark.parametrize("format", ["sdxl.safetensors", "sdxl.ckpt", "diffusers"])
@pytest.mark.parametrize("text", ["", "make it snow", "a " * 90 + "!!", "extraordinarily " * 40])
def test_text_equals_diffusers(sdxl, pipeline, opened, format, text):
    with torch.no_grad():
        expected, _, pooled, _ = pipeline.encode_prompt(text, do_classifier_free_guidance=False)
    clip = opened(sdxl(format)).clip
    (((got, settings),), _) = IP2PEncodeInstruction.execute(clip, text, "", "plain").args
    # fp32; the two sum in another order.
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(settings["pooled_output"], pooled, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("missing", "part"),
    [
        ("conditioner.embedders.1.model.ln_final.weight", "text encoder"),
        ("conditioner.embedders.1.model.text_projection", "text encoder"),
        ("conditioner.embedders.0.transformer.text_model.final_layer_norm.bias", "text encoder"),
        (UNET + "label_emb.0.2.weight", "UNet"),
    ],
)
def test_an_incomplete_editor_is_refused(tmp_path, pipeline, missing, part):
    weights = sdxl_state_dict(pipeline)
    weights.pop(missing)
    path = tmp_path / "cut.safetensors"
    safetensors.torch.save_file(weights, path)
    with pytest.raises(CheckpointError, match=f"^cut.safetensors: the {part} in it is incomplete"):
        load_checkpoint(path)
