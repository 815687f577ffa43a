"""Whatever is no SD 1.5 InstructPix2Pix checkpoint is refused with a sentence that fits it."""

import pytest
import safetensors.torch
import torch
from instruct_pix2pix.checkpoints.files import CheckpointError
from instruct_pix2pix.checkpoints.loading import load_checkpoint

from .factory import UNET, VAE, ldm_state_dict, tiny_pipeline


def unet_names(channels, context=768, **more):
    """The few tensors by which a UNet is recognised."""
    return {
        UNET + "input_blocks.0.0.weight": torch.zeros(32, channels, 3, 3),
        UNET + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(32, context),
        **{UNET + name.replace("__", "."): torch.zeros(8, 8) for name in more},
    }


LOAD_IP2P = r"Load an InstructPix2Pix checkpoint, such as"
OTHERS = {
    "text-to-image": (unet_names(4), r"a text-to-image checkpoint \(its UNet takes 4 channels\)"),
    "inpainting": (unet_names(9), r"an inpainting checkpoint \(its UNet takes 9 channels\)"),
    "depth": (unet_names(5), "its UNet takes 5 channels"),
    "sd2": (unet_names(4, 1024), "a Stable Diffusion 2.x checkpoint"),
    "sdxl": (unet_names(4, 2048, label_emb__0__0__weight=1), "an SDXL checkpoint"),
    "sdxl-ip2p": (unet_names(8, 2048, label_emb__0__0__weight=1), "CosXL Edit.*cannot use yet"),
    "video": (unet_names(8, 1024, time_stack=1, label_emb__0__0__weight=1), "a video checkpoint"),
    "zero123": (unet_names(8) | {"cc_projection.weight": torch.zeros(8, 8)}, "a Zero123"),
    "lora": ({"lora_unet_down_blocks_0.lora_down.weight": torch.zeros(4, 8)}, "a LoRA"),
    "peft-lora": ({"unet.down_blocks.0.to_q.lora_A.weight": torch.zeros(4, 8)}, "a LoRA"),
    "controlnet": ({"control_model.input_hint_block.0.weight": torch.zeros(4)}, "a ControlNet"),
    "vae": ({"decoder.conv_in.weight": torch.zeros(4, 4, 3, 3)}, "a VAE"),
    "ldm-vae": ({VAE + "decoder.conv_in.weight": torch.zeros(4, 4, 3, 3)}, "a VAE"),
    "clip": ({"text_model.encoder.layers.0.mlp.fc1.weight": torch.zeros(4, 4)}, "a text encoder"),
    "embedding": ({"emb_params": torch.zeros(2, 768)}, "a textual inversion"),
    "flux": ({"double_blocks.0.img_attn.qkv.weight": torch.zeros(4)}, "not a Stable Diffusion 1"),
    "anything": ({"weight": torch.zeros(3)}, "no UNet among its 1 tensors"),
    "nothing": ({}, "holds no tensors"),
    "scalar": ({UNET + "input_blocks.0.0.weight": torch.tensor(1.0)}, "no first layer"),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
def test_another_kind_of_file_is_named(tmp_path, kind, suffix):
    tensors, sentence = OTHERS[kind]
    path = tmp_path / f"some-{kind}.{suffix}"
    if suffix == "ckpt":
        torch.save({"state_dict": tensors}, path)
    else:
        safetensors.torch.save_file(tensors, path)
    with pytest.raises(CheckpointError, match=sentence) as refusal:
        load_checkpoint(path)
    assert str(refusal.value).startswith(f"some-{kind}.{suffix}: ")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["text-to-image", "inpainting", "sd2", "sdxl", "anything"])
def test_the_refusal_says_what_to_load(tmp_path, kind):
    path = tmp_path / "file.safetensors"
    safetensors.torch.save_file(OTHERS[kind][0], path)
    with pytest.raises(CheckpointError, match=LOAD_IP2P):
        load_checkpoint(path)


def test_a_text_to_image_folder_is_named(tmp_path):
    tiny_pipeline(in_channels=4).unet.save_pretrained(tmp_path / "sd15" / "unet")
    with pytest.raises(CheckpointError, match="^sd15: this is a text-to-image checkpoint"):
        load_checkpoint(tmp_path / "sd15")


def test_a_folder_without_unet_is_named(tmp_path):
    (tmp_path / "pipeline" / "vae").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="^pipeline: this folder has no UNet"):
        load_checkpoint(tmp_path / "pipeline")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w, key: w.pop(key), "incomplete: 1 of .* the first is"),
        (lambda w, key: w.update({key: w[key][:, :16]}), "incomplete: 1 of .* another shape"),
    ],
)
@pytest.mark.parametrize("key", ["out.2.weight", "middle_block.2.in_layers.2.weight"])
def test_an_incomplete_unet_is_refused(tmp_path, change, sentence, key):
    weights = ldm_state_dict(tiny_pipeline())
    change(weights, UNET + key)
    path = tmp_path / "cut.safetensors"
    safetensors.torch.save_file({k: v.contiguous() for k, v in weights.items()}, path)
    with pytest.raises(CheckpointError, match=f"^cut.safetensors: .*{sentence}"):
        load_checkpoint(path)
