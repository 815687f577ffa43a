"""Real files take core's own route; narrow ones are built from the same classes."""

import logging

import comfy.diffusers_convert
import comfy.model_base
import comfy.model_detection
import comfy.sd
import comfy.supported_models
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from instruct_pix2pix.checkpoints.families import SD15
from instruct_pix2pix.checkpoints.files import CheckpointError
from instruct_pix2pix.checkpoints.layouts import Parts, choose_unet, unet_from_diffusers
from instruct_pix2pix.checkpoints.models import (
    build_clip,
    build_model,
    build_vae,
    detect,
)

from .factory import (
    TEXT,
    UNET,
    VAE,
    ema_of,
    ldm_state_dict,
    tiny_pipeline,
)


def parts(unet=None, text=None, described=None, architecture=None):
    return Parts(
        SD15,
        unet or {},
        {},
        (text or {},),
        512,
        text_configs=(described or {},),
        architecture=architecture or {},
    )


@pytest.fixture(scope="module")
def full_width_unet():
    """Shapes alone: the UNet of timbrooks/instruct-pix2pix in diffusers names, 860 M parameters."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=64, in_channels=8, cross_attention_dim=768, attention_head_dim=8
        )
    return unet.state_dict()


def test_core_recognises_a_real_diffusers_unet_once_renamed(full_width_unet):
    unet = unet_from_diffusers(full_width_unet)
    assert len(unet) == len(full_width_unet) == 686
    found = comfy.model_detection.model_config_from_unet(dict(unet), "")
    assert type(found) is comfy.supported_models.SD15_instructpix2pix
    assert sum(tensor.numel() for tensor in unet.values()) == 859_532_484


def test_a_real_unet_takes_cores_loader(full_width_unet):
    config = detect(SD15, unet_from_diffusers(full_width_unet), "real")
    assert comfy.supported_models.SD15_instructpix2pix.matches(config.unet_config)


def test_real_ema_alone_is_complete(full_width_unet):
    raw = {UNET + name: tensor for name, tensor in unet_from_diffusers(full_width_unet).items()}
    ema = {"model_ema." + k.removeprefix("model.").replace(".", ""): v for k, v in raw.items()}
    chosen = choose_unet(ema, "auto", "real", SD15)
    assert detect(SD15, chosen, "real").unet_config["in_channels"] == 8


def test_a_narrow_model_is_cores_ip2p_class():
    weights = ldm_state_dict(tiny_pipeline())
    unet = {k.removeprefix(UNET): v for k, v in weights.items() if k.startswith(UNET)}
    before = dict(unet)
    patcher = build_model(parts(unet=unet), "tiny")
    assert isinstance(patcher.model, comfy.model_base.SD15_instructpix2pix)
    assert patcher.model.concat_cond(noise=torch.zeros(1, 4, 8, 8), device="cpu").shape[1] == 4
    # What came in is still there, untouched.
    assert unet.keys() == before.keys()
    assert all(torch.equal(unet[k], before[k]) for k in unet)


def test_nothing_is_missing_or_left_over(caplog):
    weights = ldm_state_dict(tiny_pipeline()) | ema_of({})
    part = {
        prefix: {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        for prefix in (UNET, VAE, TEXT)
    }
    with caplog.at_level(logging.WARNING):
        build_model(parts(unet=part[UNET]), "tiny")
        build_vae(part[VAE], "tiny")
    assert not caplog.records
    clip = build_clip(parts(text=part[TEXT]), "tiny", None)
    loaded = clip.cond_stage_model.clip_l.transformer.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in part[TEXT].items())


def test_a_vae_of_any_width_has_its_blocks():
    vae = AutoencoderKL(
        block_out_channels=(32, 64, 64, 96),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
    )
    loaded = build_vae(comfy.diffusers_convert.convert_vae_state_dict(vae.state_dict()), "wide")
    pixels = torch.rand(1, 16, 24, 3)
    with torch.no_grad():
        expected = vae.encode(pixels.movedim(-1, 1) * 2 - 1).latent_dist.mode()
    torch.testing.assert_close(loaded.encode(pixels), expected, atol=5e-6, rtol=0)


@pytest.mark.parametrize("missing", ["post_quant_conv.weight", "decoder.norm_out.bias"])
def test_a_vae_with_a_part_missing_is_refused(missing):
    weights = ldm_state_dict(tiny_pipeline())
    vae = {k.removeprefix(VAE): v for k, v in weights.items() if k.startswith(VAE)}
    vae.pop(missing)
    with pytest.raises(CheckpointError, match="^cut: the VAE in it is incomplete"):
        build_vae(vae, "cut")


def test_no_vae_explains_itself_when_used():
    with pytest.raises(RuntimeError, match="VAE is invalid"):
        build_vae({}, "none").decode(torch.zeros(1, 4, 8, 8))


@pytest.mark.parametrize(
    "described",
    [
        {"num_attention_heads": 0},
        {"num_attention_heads": 5},
        {"num_attention_heads": "4"},
        {"hidden_act": "__import__"},
        {"hidden_act": ["gelu"]},
    ],
)
def test_an_impossible_text_encoder_is_refused(described):
    weights = ldm_state_dict(tiny_pipeline())
    text = {k.removeprefix(TEXT): v for k, v in weights.items() if k.startswith(TEXT)}
    with pytest.raises(CheckpointError, match="^odd: a text encoder of width 32 cannot have"):
        build_clip(parts(text=text, described=described), "odd", None)


@pytest.mark.parametrize(
    "missing", ["embeddings.token_embedding.weight", "encoder.layers.1.mlp.fc2.bias"]
)
def test_a_text_encoder_with_a_part_missing_is_refused(missing):
    weights = ldm_state_dict(tiny_pipeline())
    text = {k.removeprefix(TEXT): v for k, v in weights.items() if k.startswith(TEXT)}
    text.pop(f"text_model.{missing}")
    with pytest.raises(CheckpointError, match="^cut: the text encoder in it is incomplete"):
        build_clip(parts(text=text), "cut", None)


@pytest.mark.parametrize("colors", [3, "red", [[0.1, 0.2]], [[float("nan")] * 3] * 5, [[{}]]])
def test_nonsense_for_preview_colors_is_refused(colors):
    weights = ldm_state_dict(tiny_pipeline())
    unet = {k.removeprefix(UNET): v for k, v in weights.items() if k.startswith(UNET)}
    with pytest.raises(CheckpointError, match="^odd: its metadata has a latent_rgb that is not 5"):
        build_model(parts(unet=unet, architecture={"latent_rgb": colors}), "odd")
