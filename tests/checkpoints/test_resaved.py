"""What ComfyUI's nodes save of a loaded checkpoint is the same model when it is loaded again."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from comfy_extras.nodes_model_merging import save_checkpoint
from instruct_pix2pix.checkpoints.layouts import ARCHITECTURE_TENSOR
from instruct_pix2pix.checkpoints.loading import load_checkpoint

from .factory import UNET, ldm_state_dict, tiny_pipeline


def saved(loaded, folder):
    save_checkpoint(loaded.model, loaded.clip, loaded.vae, None, "again", str(folder))
    return next(folder.glob("again*.safetensors"))


def encoded(clip, text="make it snow"):
    return clip.encode_from_tokens(clip.tokenize(text))


@pytest.mark.parametrize("format", ["mini.safetensors", "raw+ema.safetensors", "diffusers"])
def test_a_checkpoint_saved_by_core_is_the_same_model(tiny, tmp_path, format):
    before = load_checkpoint(tiny(format))
    after = load_checkpoint(saved(before, tmp_path))
    assert after.resolution == before.resolution
    assert torch.equal(encoded(after.clip), encoded(before.clip))
    unet, again = (c.model.model.diffusion_model.state_dict() for c in (before, after))
    assert unet.keys() == again.keys()
    assert all(torch.equal(again[k], v) for k, v in unet.items())
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(after.vae.decode(latent), before.vae.decode(latent))


def test_it_survives_a_second_time(tiny, tmp_path):
    once = load_checkpoint(saved(load_checkpoint(tiny("mini.safetensors")), tmp_path))
    (tmp_path / "more").mkdir()
    twice = load_checkpoint(saved(once, tmp_path / "more"))
    assert twice.resolution == 128
    assert torch.equal(encoded(twice.clip), encoded(once.clip))


def test_the_built_in_model_keeps_its_preview_colors(tmp_path):
    before = load_checkpoint(Path(__file__).parents[2] / "mini" / "ip2p-mini.safetensors")
    after = load_checkpoint(saved(before, tmp_path))
    colors = before.model.model.latent_format.latent_rgb_factors
    assert after.model.model.latent_format.latent_rgb_factors == colors
    assert after.resolution == before.resolution
    assert torch.equal(encoded(after.clip), encoded(before.clip))


def test_nothing_is_added_to_a_model_that_shapes_tell_whole(tiny):
    network = load_checkpoint(tiny("raw.safetensors")).model.model.diffusion_model
    assert ARCHITECTURE_TENSOR not in network.state_dict()


def test_scaled_fp8_of_a_narrow_model_is_its_numbers(tmp_path):
    weights = ldm_state_dict(tiny_pipeline())
    scaled, expected = {}, {}
    for name, weight in weights.items():
        module = name.removesuffix(".weight")
        if name.startswith(UNET) and name != module and weight.ndim == 2:
            scale = weight.abs().max() / 448
            small = (weight / scale).to(torch.float8_e4m3fn)
            scaled |= {name: small, f"{module}.scale_weight": scale.reshape(())}
            expected[name.removeprefix(UNET)] = small.float() * scale
        else:
            scaled[name] = weight
    assert len(expected) > 20
    scaled[UNET + "scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    path = tmp_path / "scaled.safetensors"
    safetensors.torch.save_file(scaled, path)
    got = load_checkpoint(path).model.model.diffusion_model.state_dict()
    for name, weight in expected.items():
        assert torch.equal(got[name].float(), weight), name
