"""A checkpoint written as a diffusers folder: the same weights, and the same edit in diffusers."""

import json

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from instruct_pix2pix.checkpoints.files import CheckpointError
from instruct_pix2pix.checkpoints.folders import save_folder, vae_to_diffusers
from instruct_pix2pix.checkpoints.layouts import read_checkpoint
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.checkpoints.saving import save_parts
from PIL import Image

from .factory import tiny_checkpoint, tiny_pipeline
from .factory_sd21 import sd21_checkpoint, sd21_pipeline
from .factory_sdxl import sdxl_checkpoint, sdxl_pipeline

MAKE = {"tiny": tiny_checkpoint, "sdxl": sdxl_checkpoint, "sd21": sd21_checkpoint}
KINDS = {
    "tiny": ("raw+ema.ckpt", "mini.safetensors", "raw.fp16.safetensors", "diffusers"),
    "sdxl": ("sdxl.safetensors", "cosxl.safetensors", "diffusers.cosxl"),
    "sd21": ("sd21.safetensors", "sd21.velocity.safetensors", "sd21.diffusers"),
}
FORMATS = [(family, format) for family, formats in KINDS.items() for format in formats]
PIPELINES = {
    "tiny": tiny_pipeline,
    "sdxl": sdxl_pipeline,
    "cosxl": lambda: sdxl_pipeline(cosxl=True),
    "sd21": sd21_pipeline,
    "velocity": lambda: sd21_pipeline(velocity=True),
}


def every_tensor(parts):
    for place, tensors in (("unet", parts.unet), ("vae", parts.vae), ("", parts.sampling)):
        yield from ((f"{place}.{name}", tensor) for name, tensor in tensors.items())
    for encoder, text in zip(parts.family.text, parts.text, strict=True):
        # What only some files have and nothing reads: a projection, and the layer after the last.
        unread = ("position_ids", "logit_scale") + ("text_projection.weight",) * (
            encoder.name != "g"
        )
        number = max(int(name.split(".")[3]) for name in text if ".layers." in name)
        last = f".layers.{number}." if encoder.unused else "-"
        for name, tensor in text.items():
            if not name.endswith(unread) and last not in name:
                yield f"{encoder.name}.{name}", tensor


def same(before, after):
    one, other = dict(every_tensor(before)), dict(every_tensor(after))
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]) and tensor.dtype == other[name].dtype, name
    assert (before.resolution, before.family) == (after.resolution, after.family)
    for key, value in before.architecture.items():
        assert after.architecture[key] == value


@pytest.mark.parametrize(("family", "format"), FORMATS)
def test_to_a_folder_and_back_every_number_is_the_same(tmp_path, family, format):
    source = MAKE[family](tmp_path, format)
    before = read_checkpoint(source, "auto")
    save_folder(tmp_path / "folder", before, None)
    same(before, read_checkpoint(tmp_path / "folder", "auto"))
    save_parts(tmp_path / "again.safetensors", read_checkpoint(tmp_path / "folder", "auto"), None)
    same(before, read_checkpoint(tmp_path / "again.safetensors", "auto"))


@pytest.mark.parametrize("format", ["mini.safetensors", "raw.safetensors"])
def test_the_loaded_models_are_the_same(tmp_path, format):
    source = tiny_checkpoint(tmp_path, format)
    save_folder(tmp_path / "folder", read_checkpoint(source, "auto"), "fp32")
    one, other = load_checkpoint(source), load_checkpoint(tmp_path / "folder")
    assert one.resolution == other.resolution
    text = (each.clip.encode_from_tokens(each.clip.tokenize("snow")) for each in (one, other))
    assert torch.equal(*text)
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one.vae.decode(latent), other.vae.decode(latent))


def edited(pipeline, sdxl):
    pipeline.set_progress_bar_config(disable=True)
    numbers = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        return pipeline(
            "make it snow",
            image=Image.fromarray(numbers),
            num_inference_steps=3,
            generator=torch.Generator("cpu").manual_seed(0),
            output_type="latent",
            **({"height": 64, "width": 64} if sdxl else {}),
        ).images


@pytest.mark.parametrize("kind", PIPELINES)
def test_diffusers_edits_with_the_folder_as_with_the_original(tmp_path, kind):
    """`from_pretrained` takes it as it is, tokenizers, scheduler and CosXL's rule included."""
    original = PIPELINES[kind]()
    original.save_pretrained(tmp_path / "original")
    parts = read_checkpoint(tmp_path / "original", "auto")
    save_parts(tmp_path / "file.safetensors", parts, None)
    save_folder(tmp_path / "folder", read_checkpoint(tmp_path / "file.safetensors", "auto"), None)
    made = DiffusionPipeline.from_pretrained(tmp_path / "folder")
    assert type(made) is type(original)
    sdxl = kind in ("sdxl", "cosxl")
    if kind == "sdxl":  # whose usual scheduler a file does not tell
        made.scheduler = original.scheduler
    assert torch.equal(edited(made, sdxl), edited(original, sdxl))


def test_the_real_vaes_names_are_diffusers():
    """Of the full depth; the tiny ones have one block a level."""
    import comfy.diffusers_convert
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        names = AutoencoderKL(
            block_out_channels=(32, 64, 128, 128),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
        ).state_dict()
    there = comfy.diffusers_convert.convert_vae_state_dict(names)
    back = vae_to_diffusers(there | {"loss.logvar": torch.zeros(1)})
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in names.items()}


def test_a_unet_alone_is_a_folder_of_a_unet(tmp_path):
    source = tiny_checkpoint(tmp_path, "unet.safetensors")
    before = read_checkpoint(source, "auto")
    save_folder(tmp_path / "folder", before, None)
    assert not (tmp_path / "folder" / "model_index.json").exists()
    after = read_checkpoint(tmp_path / "folder", "auto")
    assert all(torch.equal(after.unet[k], v) for k, v in before.unet.items())
    assert not after.vae and not any(after.text)


def test_a_files_own_words_are_kept(tmp_path):
    source = tiny_checkpoint(tmp_path, "mini.safetensors")
    parts = read_checkpoint(source, "auto")
    said = {"modelspec.author": "Ann", "modelspec.hash_sha256": "0x12", "ip2p.recipe": "{}"}
    parts.metadata.update(said)
    save_folder(tmp_path / "folder", parts, "fp16")
    save_parts(tmp_path / "file.safetensors", parts, "fp16")
    for place in (tmp_path / "folder", tmp_path / "file.safetensors"):
        found = read_checkpoint(place, "auto").metadata
        assert found["modelspec.author"] == "Ann" and found["ip2p.recipe"] == "{}"
        assert "modelspec.hash_sha256" not in found
        assert json.loads(found["ip2p.architecture"])["resolution"] == 128


def test_what_is_incomplete_or_does_not_fit_leaves_nothing(tmp_path):
    source = tiny_checkpoint(tmp_path, "raw.safetensors")
    parts = read_checkpoint(source, "auto")
    parts.unet["out.2.bias"] = torch.full((4,), 1e6)
    with pytest.raises(CheckpointError, match="^precision: .* Choose bf16"):
        save_folder(tmp_path / "folder", parts, "fp16")
    del parts.unet["out.2.bias"]
    with pytest.raises(CheckpointError, match="^folder: the UNet in it is incomplete"):
        save_folder(tmp_path / "folder", parts, "fp16")
    assert [path.name for path in tmp_path.iterdir()] == [source.name]
