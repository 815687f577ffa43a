"""The files of other people that templates name, and small ones of the same kinds in their place.

The LoRA and the ControlNet fit ip2p-mini and hold random numbers from a fixed seed. They show that
a graph runs through them, and not what trained ones do. The ordinary models are ip2p-mini without
the source. ComfyUI lists them, but its loader knows no models as narrow as these.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

MINI = Path(__file__).resolve().parents[2] / "mini" / "ip2p-mini.safetensors"
HUB = "https://huggingface.co"
# As the editor wants them, to offer their download.
MODELS = [
    {
        "name": "instruct-pix2pix-00-22000.safetensors",
        "url": f"{HUB}/timbrooks/instruct-pix2pix/resolve/main/"
        "instruct-pix2pix-00-22000.safetensors",
        "directory": "checkpoints",
    },
    {
        "name": "add_detail.safetensors",
        "url": f"{HUB}/OedoSoldier/detail-tweaker-lora/resolve/main/add_detail.safetensors",
        "directory": "loras",
    },
    {
        "name": "control_v11p_sd15_canny_fp16.safetensors",
        "url": f"{HUB}/comfyanonymous/ControlNet-v1-1_fp16_safetensors/resolve/main/"
        "control_v11p_sd15_canny_fp16.safetensors",
        "directory": "controlnet",
    },
    {
        "name": "DreamShaper_8_pruned.safetensors",
        "url": f"{HUB}/Lykon/DreamShaper/resolve/main/DreamShaper_8_pruned.safetensors",
        "directory": "checkpoints",
    },
    {
        "name": "v1-5-pruned-emaonly-fp16.safetensors",
        "url": f"{HUB}/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/"
        "v1-5-pruned-emaonly-fp16.safetensors",
        "directory": "checkpoints",
    },
]
# Channels between the convolutions that bring a ControlNet's hint to latent size, but the last.
HINT = (3, 16, 16, 32, 32, 96, 96, 256)


def write_stand_ins(folder: Path) -> list[str]:
    """Write one for each of MODELS below `folder`; what to start ComfyUI with to have them.

    The editor is ip2p-mini itself.
    """
    prefix = "model.diffusion_model."
    first = f"{prefix}input_blocks.0.0.weight"
    weights = safetensors.torch.load_file(MINI)
    unet = {key.removeprefix(prefix): weights[key] for key in weights if key.startswith(prefix)}
    files = [folder / file["directory"] / file["name"] for file in MODELS]
    for file in files:
        file.parent.mkdir(exist_ok=True)
    shutil.copyfile(MINI, files[0])
    safetensors.torch.save_file(lora(unet), files[1])
    safetensors.torch.save_file(controlnet(unet), files[2])
    ordinary = weights | {first: weights[first][:, :4].contiguous()}
    for file in files[3:]:
        safetensors.torch.save_file(ordinary, file)
    paths = folder / "paths.json"
    folders = {file["directory"]: str(folder / file["directory"]) for file in MODELS}
    paths.write_text(json.dumps({"stand-ins": folders}))
    return ["--extra-model-paths-config", str(paths)]


def lora(unet: dict[str, Tensor], rank: int = 4, spread: float = 0.5) -> dict[str, Tensor]:
    """Changes of the attentions' values by about `spread` of their size."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for key, weight in unet.items():
        if key.endswith(".to_v.weight"):
            name = "lora_unet_" + key.removesuffix(".weight").replace(".", "_")
            up = torch.randn(weight.shape[0], rank, generator=generator)
            down = torch.randn(rank, weight.shape[1], generator=generator)
            made[f"{name}.lora_up.weight"] = up * weight.std() * spread / rank**0.5
            made[f"{name}.lora_down.weight"] = down
    return made


def controlnet(unet: dict[str, Tensor], spread: float = 0.5) -> dict[str, Tensor]:
    """A ControlNet as training begins with (arXiv:2302.05543, 3.1), a copy of the encoder, but with
    random outputs of `spread` times its features where training begins with none."""
    generator = torch.Generator().manual_seed(0)

    def convolution(name: str, wide_in: int, wide_out: int, side: int, gain: float) -> None:
        weight = torch.randn(wide_out, wide_in, side, side, generator=generator)
        made[f"{name}.weight"] = weight * gain / (wide_in * side**2) ** 0.5
        made[f"{name}.bias"] = torch.zeros(wide_out)

    encoder = ("time_embed.", "input_blocks.", "middle_block.")
    made = {key: weight.clone() for key, weight in unet.items() if key.startswith(encoder)}
    # It sees the noisy latent alone, and not the source.
    first = made["input_blocks.0.0.weight"] = made["input_blocks.0.0.weight"][:, :4].clone()
    widths = (*HINT, first.shape[0])
    for number, (wide_in, wide_out) in enumerate(zip(widths, widths[1:], strict=False)):
        convolution(f"input_hint_block.{2 * number}", wide_in, wide_out, 3, 2**0.5)
    for key in [*made]:
        # The last layer of an input block: of the first one, of a stride, of a residual block.
        if key.endswith((".0.0.bias", ".op.bias", ".0.out_layers.3.bias")):
            kind, number, *_ = key.split(".")
            if kind == "input_blocks":
                convolution(f"zero_convs.{number}.0", len(made[key]), len(made[key]), 1, spread)
    width = len(made["middle_block.0.out_layers.3.bias"])
    convolution("middle_block_out.0", width, width, 1, spread)
    return made
