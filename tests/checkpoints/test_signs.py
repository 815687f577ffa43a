"""A header tells what a file is: editors by family, everything else by its right name."""

import json

import pytest
import safetensors.torch
import torch
from instruct_pix2pix.checkpoints.families import SD15, SD21, SDXL
from instruct_pix2pix.checkpoints.files import CheckpointError
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.checkpoints.signs import Sign, look

from .factory import FORMATS, UNET, VAE, ldm_state_dict, tiny_pipeline
from .factory_sd21 import sd21_pipeline


def unet_names(channels, context=768, **more):
    """The few tensors by which a UNet is recognised."""
    return {
        UNET + "input_blocks.0.0.weight": torch.zeros(32, channels, 3, 3),
        UNET + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": torch.zeros(32, context),
        **{UNET + name.replace("__", "."): torch.zeros(8, 8) for name in more},
    }


def named(*names):
    return {name: torch.zeros(4, 4) for name in names}


LOAD_IP2P = r"Load an InstructPix2Pix checkpoint, such as"
OTHERS = {
    "text-to-image": (unet_names(4), r"a text-to-image checkpoint \(its UNet takes 4 channels\)"),
    "inpainting": (unet_names(9), r"an inpainting checkpoint \(its UNet takes 9 channels\)"),
    "depth": (unet_names(5), "its UNet takes 5 channels"),
    "sd2": (unet_names(4, 1024), "a Stable Diffusion 2.x checkpoint"),
    "sdxl": (unet_names(4, 2048, label_emb__0__0__weight=1), "an SDXL checkpoint"),
    "video": (unet_names(8, 1024, time_stack=1, label_emb__0__0__weight=1), "a video checkpoint"),
    "zero123": (unet_names(8) | {"cc_projection.weight": torch.zeros(8, 8)}, "a Zero123"),
    "lora": (named("lora_unet_down_blocks_0.lora_down.weight"), "a LoRA. It goes on top"),
    "peft-lora": (named("unet.down_blocks.0.to_q.lora_A.weight"), "a LoRA. .* by IP2PLoadLora"),
    "oft": (named("lora_unet_down_blocks_0.oft_blocks"), "an OFT adapter"),
    "controlnet": (named("control_model.input_hint_block.0.weight"), "a ControlNet.*ip2p.*works"),
    "ip-adapter": (named("ip_adapter.1.to_k_ip.weight"), "an IP-Adapter"),
    "t2i-adapter": (named("body.0.block1.weight"), "a T2I-Adapter"),
    "nf4": (
        unet_names(8) | named(UNET + "out.2.weight.quant_state.bitsandbytes__nf4"),
        "quantised by bitsandbytes .* float16",
    ),
    "vae": ({"decoder.conv_in.weight": torch.zeros(4, 4, 3, 3)}, "a VAE alone"),
    "ldm-vae": ({VAE + "decoder.conv_in.weight": torch.zeros(4, 4, 3, 3)}, "a VAE alone"),
    "clip": (named("text_model.encoder.layers.0.mlp.fc1.weight"), "a text encoder alone"),
    "embedding": ({"emb_params": torch.zeros(2, 768)}, "a textual inversion"),
    "sd3": (named("model.diffusion_model.joint_blocks.0.x.weight"), "a Stable Diffusion 3 model"),
    "flux": (named("double_blocks.0.img_attn.qkv.weight"), "a Flux or Hunyuan model"),
    "qwen": (named("transformer_blocks.0.img_mod.1.weight"), "a Qwen-Image model"),
    "anything": ({"weight": torch.zeros(3)}, "no UNet among its 1 tensors"),
    "nothing": ({}, "without tensors"),
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
    said = str(refusal.value)
    assert said.startswith(f"some-{kind}.{suffix}: this is ") and said.endswith((".", ")."))
    assert "\n" not in said and ".." not in said
    # What the header tells is what the loader says.
    seen = look(path)
    assert seen.family is None
    assert said == f"some-{kind}.{suffix}: this is {seen.what}. {seen.advice}"


def test_a_hypernetwork_is_named(tmp_path):
    path = tmp_path / "style.pt"
    layer = {"linear.0.weight": torch.zeros(4, 4), "linear.0.bias": torch.zeros(4)}
    torch.save({768: [layer, layer], 320: [layer, layer], "step": 3, "name": "style"}, path)
    assert look(path).what == "a hypernetwork"
    with pytest.raises(CheckpointError, match="^style.pt: this is a hypernetwork"):
        load_checkpoint(path)


EDITORS = {
    "sd15": (unet_names(8), SD15, "InstructPix2Pix (Stable Diffusion 1.5)"),
    "ema": (
        {
            "model_ema.diffusion_modelinput_blocks00weight": torch.zeros(32, 8, 3, 3),
            "model_ema.diffusion_modelinput_blocks11transformer_blocks0attn2to_kweight": (
                torch.zeros(32, 768)
            ),
        },
        SD15,
        "InstructPix2Pix (Stable Diffusion 1.5)",
    ),
    "sd21": (unet_names(8, 1024), SD21, "InstructPix2Pix (Stable Diffusion 2.1)"),
    "sdxl": (
        unet_names(8, 2048, label_emb__0__0__weight=1),
        SDXL,
        "InstructPix2Pix (SDXL)",
    ),
    "cosxl": (
        unet_names(8, 2048, label_emb__0__0__weight=1)
        | {"edm_vpred.sigma_max": torch.tensor(120.0)},
        SDXL,
        "CosXL Edit (SDXL)",
    ),
    "sdxl-diffusers": (
        {
            "conv_in.weight": torch.zeros(32, 8, 3, 3),
            "add_embedding.linear_1.weight": torch.zeros(8, 8),
        },
        SDXL,
        "InstructPix2Pix (SDXL)",
    ),
}


@pytest.mark.parametrize("kind", EDITORS)
@pytest.mark.parametrize("suffix", ["safetensors", "ckpt"])
def test_an_editor_is_recognised_by_its_header(tmp_path, kind, suffix):
    tensors, family, what = EDITORS[kind]
    path = tmp_path / f"editor.{suffix}"
    if suffix == "ckpt":
        torch.save({"state_dict": tensors}, path)
    else:
        safetensors.torch.save_file(tensors, path)
    assert look(path) == Sign(family, what)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_that_the_loader_takes_is_recognised(tiny, format):
    assert look(tiny(format)).family is SD15


def test_a_file_from_before_zip_archives_does_not_tell(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    assert look(tmp_path / "old.ckpt") is None


def test_a_folder_of_another_architecture_is_named(tmp_path):
    folder = tmp_path / "ultraedit"
    (folder / "transformer").mkdir(parents=True)
    tensors = named("transformer_blocks.0.attn.to_q.weight")
    safetensors.torch.save_file(
        tensors, folder / "transformer" / "diffusion_pytorch_model.safetensors"
    )
    index = {"_class_name": "StableDiffusion3InstructPix2PixPipeline"}
    (folder / "model_index.json").write_text(json.dumps(index))
    assert look(folder).what.startswith("an UltraEdit pipeline")
    with pytest.raises(CheckpointError, match="^ultraedit: this is an UltraEdit pipeline"):
        load_checkpoint(folder)


def test_a_depth_pipeline_of_eight_channels_is_no_editor(tmp_path):
    """Marigold's UNet has the shapes of an editor on Stable Diffusion 2.1."""
    sd21_pipeline().save_pretrained(tmp_path / "depth")
    index = tmp_path / "depth" / "model_index.json"
    index.write_text(json.dumps({"_class_name": "MarigoldDepthPipeline"}))
    assert look(tmp_path / "depth").what == "a Marigold pipeline, which estimates depth"
    with pytest.raises(CheckpointError, match="^depth: this is a Marigold pipeline"):
        load_checkpoint(tmp_path / "depth")


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
