"""A saved editor is the same model again: every weight, its size, heads and way of sampling."""

import json

import folder_paths
import pytest
import safetensors
import torch
from instruct_pix2pix.checkpoints.files import CheckpointError
from instruct_pix2pix.checkpoints.layouts import read_checkpoint
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.checkpoints.merging import merge_models, patched_weight
from instruct_pix2pix.checkpoints.saving import save_model, save_parts
from instruct_pix2pix.nodes.saving import IP2PSaveCheckpoint

from .factory import ldm_state_dict, sd_scheduler, tiny_checkpoint, tiny_pipeline
from .factory_sd21 import sd21_checkpoint
from .factory_sdxl import sdxl_checkpoint, sdxl_pipeline
from .ordinary import ordinary_model

KINDS = (
    *("raw+ema.ckpt", "mini.safetensors", "diffusers", "sd21.ckpt", "sd21.velocity.diffusers"),
    *("sdxl.safetensors", "cosxl.safetensors"),
)


@pytest.fixture(scope="module")
def kind(tmp_path_factory):
    """`kind("sd21.ckpt")` is the path of a checkpoint in that format; not to be changed."""
    written = {}

    def path(format):
        if format not in written:
            folder = tmp_path_factory.mktemp("kind")
            make = sdxl_checkpoint if "xl" in format else tiny_checkpoint
            make = sd21_checkpoint if "sd21" in format else make
            written[format] = make(folder, format)
        return written[format]

    return path


def described(path):
    with safetensors.safe_open(path, framework="pt") as file:
        return file.metadata()


def encoded(clip):
    return clip.encode_from_tokens(clip.tokenize("make it snow"), return_pooled=True)


def same(before, after, precision):
    unet, again = (c.model.model.diffusion_model.state_dict() for c in (before, after))
    assert unet.keys() == again.keys()
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    for name, weight in unet.items():
        wanted = weight.to(dtype).float() if weight.is_floating_point() else weight
        assert torch.equal(again[name].to(wanted.dtype), wanted), name
    assert after.resolution == before.resolution
    assert after.model.model.model_type is before.model.model.model_type
    sampling, again = (c.model.model.model_sampling for c in (before, after))
    assert torch.equal(sampling.sigmas, again.sigmas)
    if precision == "fp32":
        for one, other in zip(encoded(before.clip), encoded(after.clip), strict=True):
            if one is not None:
                assert torch.equal(one, other), float((one - other).abs().max())
        latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        assert torch.equal(before.vae.decode(latent), after.vae.decode(latent))


@pytest.mark.parametrize(
    ("format", "precision"),
    [*((format, "fp32") for format in KINDS), (KINDS[0], "fp16"), (KINDS[-1], "bf16")],
)
def test_a_saved_model_is_the_same_again(kind, opened, tmp_path, format, precision):
    before = opened(kind(format))
    path = tmp_path / "saved.safetensors"
    save_model(path, before.model, before.clip, before.vae, precision)
    same(before, load_checkpoint(path), precision)
    family = "xl-v1" if "xl" in format else "v2" if "sd21" in format else "v1"
    assert described(path)["modelspec.architecture"] == f"stable-diffusion-{family}-edit"


@pytest.mark.parametrize(
    ("format", "precision"),
    [*((format, "fp32") for format in KINDS), (KINDS[0], "fp16"), (KINDS[-1], "bf16")],
)
def test_a_converted_file_is_the_same_again(kind, opened, tmp_path, format, precision):
    source, path = kind(format), tmp_path / "converted.safetensors"
    save_parts(path, read_checkpoint(source, "auto"), precision)
    same(opened(source), load_checkpoint(path), precision)


def test_precision_is_kept_where_none_is_asked(kind, tmp_path):
    source, path = kind("raw.fp16.safetensors"), tmp_path / "kept.safetensors"
    save_parts(path, read_checkpoint(source, "auto"), None)
    before, after = (read_checkpoint(p, "auto") for p in (source, path))
    for one, other in (
        (before.unet, after.unet),
        (before.vae, after.vae),
        *zip(before.text, after.text, strict=True),
    ):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[k], other[k]) and one[k].dtype == other[k].dtype for k in one)


def test_scaled_fp8_is_converted_to_its_numbers(kind, tmp_path):
    """The stored numbers are those of the weights divided by their scales."""
    parts = read_checkpoint(kind("raw.safetensors"), "auto")
    name = "middle_block.1.transformer_blocks.0.attn1.to_q"
    scale, stored = torch.tensor(0.01), torch.full((64, 64), 2.0, dtype=torch.float8_e4m3fn)
    parts.unet.update({f"{name}.weight": stored, f"{name}.scale_weight": scale})
    parts.unet["scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    save_parts(tmp_path / "x.safetensors", parts, "fp32")
    saved = read_checkpoint(tmp_path / "x.safetensors", "auto").unet
    torch.testing.assert_close(saved[f"{name}.weight"], torch.full((64, 64), 0.02))
    assert not any("scale" in key for key in saved)


@pytest.mark.parametrize("zero_terminal", [False, True])
def test_v_prediction_survives(tmp_path, zero_terminal):
    scheduler = sd_scheduler(prediction_type="v_prediction", rescale_betas_zero_snr=zero_terminal)
    sdxl_pipeline(scheduler=scheduler).save_pretrained(tmp_path / "velocity")
    before = load_checkpoint(tmp_path / "velocity")
    save_model(tmp_path / "a.safetensors", before.model, before.clip, before.vae, "fp32")
    save_parts(tmp_path / "b.safetensors", read_checkpoint(tmp_path / "velocity", "auto"), "fp32")
    for name in "ab":
        same(before, load_checkpoint(tmp_path / f"{name}.safetensors"), "fp32")


def test_patches_are_saved_for_good(kind, opened, tmp_path):
    editor = opened(kind("raw.safetensors"))
    custom, base = (
        ordinary_model(ldm_state_dict(tiny_pipeline(seed, in_channels=4))) for seed in (1, 2)
    )
    merged = merge_models(editor.model, custom, base, 0.6)
    path = tmp_path / "merged.safetensors"
    save_model(path, merged, None, None, "fp32")
    saved = read_checkpoint(path, "auto").unet
    parts = merged.get_key_patches("diffusion_model.")
    assert {f"diffusion_model.{name}" for name in saved} == parts.keys()
    for key, each in parts.items():
        weight = saved[key.removeprefix("diffusion_model.")]
        assert torch.equal(weight, patched_weight(key, each))
    assert not editor.model.patches


def test_what_does_not_fit_is_refused_and_leaves_no_file(kind, tmp_path):
    parts = read_checkpoint(kind("raw.safetensors"), "auto")
    parts.unet["out.2.bias"] = torch.full((4,), 1e6)
    with pytest.raises(CheckpointError, match="^precision: .*out.2.bias .* 1e.06.*Choose bf16"):
        save_parts(tmp_path / "x.safetensors", parts, "fp16")
    assert list(tmp_path.iterdir()) == []
    save_parts(tmp_path / "x.safetensors", parts, "bf16")
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_one_tensor_under_two_names_is_written_twice(kind, tmp_path):
    parts = read_checkpoint(kind("raw.ckpt"), "auto")
    one, other = (f"middle_block.1.transformer_blocks.0.norm{n}.bias" for n in (1, 2))
    parts.unet[other] = parts.unet[one]
    save_parts(tmp_path / "x.safetensors", parts, None)
    saved = read_checkpoint(tmp_path / "x.safetensors", "auto").unet
    assert torch.equal(saved[one], parts.unet[one]) and torch.equal(saved[other], parts.unet[one])


def test_the_architecture_is_kept_in_the_metadata(kind, opened, tmp_path):
    before = opened(kind("mini.safetensors"))
    save_model(tmp_path / "a.safetensors", before.model, before.clip, before.vae, "fp16")
    assert (
        json.loads(described(tmp_path / "a.safetensors")["ip2p.architecture"])["resolution"] == 128
    )


def test_the_node_saves_into_the_output_folder(kind, opened, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    editor = opened(kind("raw.safetensors"))
    for _ in range(2):
        IP2PSaveCheckpoint.execute(editor.model, "mine/editor", "fp16", editor.clip, editor.vae)
    names = sorted(path.name for path in (tmp_path / "mine").iterdir())
    assert names == ["editor_00001_.safetensors", "editor_00002_.safetensors"]
    assert (tmp_path / "mine" / names[0]).stat().st_mode & 0o044 == 0o044  # others may read it
    assert load_checkpoint(tmp_path / "mine" / names[0]).clip is not None
    ordinary = ordinary_model(ldm_state_dict(tiny_pipeline(1, in_channels=4)))
    with pytest.raises(ValueError, match="^model: this is .* 4 input channels"):
        IP2PSaveCheckpoint.execute(ordinary, "x", "fp16")
    with pytest.raises(ValueError, match="^precision: 'fp8' is not one of"):
        IP2PSaveCheckpoint.execute(editor.model, "x", "fp8")
