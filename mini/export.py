"""A finished run -> one .safetensors with the keys of an SD 1.x checkpoint.

`python -m instruct_pix2pix.mini.export --run FOLDER`, with ComfyUI on the path.
"""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import comfy.diffusers_convert
import torch
from safetensors.torch import save_file
from torch import Tensor

from ..checkpoints.layouts import unet_from_diffusers
from .networks import CLIP_CONFIG, VAE_DDCONFIG
from .recipe import Recipe, load_recipe
from .scenes import VERSION
from .text_to_image import LEARNING
from .train_text_to_image import NAME, load_text_to_image
from .train_unet import build_networks
from .train_vae import load_vae
from .training import averaged, plot_losses
from .vocabulary import used_tokens

Weights = dict[str, Tensor]


def unet_to_ldm(weights: Weights) -> Weights:
    """diffusers' names -> LDM's."""
    return dict(unet_from_diffusers(weights))


def vae_to_ldm(weights: Weights, mean: Tensor, scale: Tensor) -> Weights:
    """diffusers' names -> LDM's, with raw latents (z - mean) * scale.

    mean   [1, 4, 1, 1] of the latents that the networks give as they are
    scale  a number
    """
    ldm: Weights = dict(comfy.diffusers_convert.convert_vae_state_dict(dict(weights)))
    # At the full size the format has one block more on either side than is trained.
    ldm |= idle_block("encoder.down.0.block.0", VAE_DDCONFIG["ch"])
    ldm |= idle_block("decoder.up.0.block.1", VAE_DDCONFIG["ch"])
    shift = mean.flatten()
    ldm["quant_conv.weight"] = weights["quant_conv.weight"].clone()
    ldm["quant_conv.bias"] = weights["quant_conv.bias"].clone()
    ldm["quant_conv.weight"][:4] *= scale
    ldm["quant_conv.bias"][:4] = (ldm["quant_conv.bias"][:4] - shift) * scale
    # The posterior's width is not trained: as narrow as the format goes.
    ldm["quant_conv.weight"][4:] = 0
    ldm["quant_conv.bias"][4:] = -30
    out = weights["post_quant_conv.weight"]
    ldm["post_quant_conv.weight"] = out / scale
    ldm["post_quant_conv.bias"] = weights["post_quant_conv.bias"] + out[:, :, 0, 0] @ shift
    return ldm


def idle_block(name: str, width: int) -> Weights:
    """A residual block that adds nothing to its input."""
    block: Weights = {}
    for index in (1, 2):
        block[f"{name}.norm{index}.weight"] = torch.ones(width)
        block[f"{name}.norm{index}.bias"] = torch.zeros(width)
        block[f"{name}.conv{index}.weight"] = torch.zeros(width, width, 3, 3)
        block[f"{name}.conv{index}.bias"] = torch.zeros(width)
    return block


def text_to_ldm(weights: Weights, used: list[int]) -> Weights:
    """All of CLIP's tokens again: a row for each, zeros for those that training never met."""
    # The first word of the names is there or not, by the version of transformers.
    ldm = {"text_model." + key.removeprefix("text_model."): v for key, v in weights.items()}
    name = "text_model.embeddings.token_embedding.weight"
    table = torch.zeros(CLIP_CONFIG["vocab_size"], CLIP_CONFIG["hidden_size"])
    table[used] = ldm[name][: len(used)]
    ldm[name] = table
    ldm.pop("text_model.embeddings.position_ids", None)
    return ldm


def export(
    path: Path,
    resolution: int,
    unet: Weights,
    vae: Weights,
    text: Weights,
    recipe: dict[str, Any],
    colors: list[list[float]],
) -> None:
    """Write the file in half precision; all three in LDM's names without their prefixes.

    colors  [5][3], what turns a scaled latent into a live preview: see `preview_colors`
    """
    parts = {
        "model.diffusion_model.": unet,
        "first_stage_model.": vae,
        "cond_stage_model.transformer.": text,
    }
    tensors = {
        prefix + key: value.detach().half().contiguous()
        for prefix, part in parts.items()
        for key, value in part.items()
    }
    architecture = {
        "resolution": resolution,
        "vae_ddconfig": VAE_DDCONFIG | {"resolution": resolution},
        "clip_config": CLIP_CONFIG,
        "latent_rgb": colors,
    }
    write(path, tensors, architecture, recipe)


def write(
    path: Path, tensors: Weights, architecture: dict[str, Any], recipe: dict[str, Any]
) -> None:
    metadata = {
        "ip2p.architecture": json.dumps(architecture),
        "ip2p.recipe": json.dumps(recipe),
    }
    fresh = path.with_suffix(".new")
    save_file(tensors, fresh, metadata)
    fresh.chmod(0o644)  # safetensors writes for the owner alone
    os.replace(fresh, path)


def export_text_to_image(folder: Path, recipe: Recipe, path: Path) -> None:
    """Write what the text-to-image model has beside the editor: attention, and words."""
    networks, vocabulary = load_text_to_image(folder)
    unet = networks["unet"].state_dict()
    names = unet_to_ldm({name: torch.tensor(LEARNING in name) for name in unet})
    tensors = {
        f"model.diffusion_model.{name}": value.detach().half().contiguous()
        for name, value in unet_to_ldm(unet).items()
        if names[name]
    }
    known = len(used_tokens(folder))
    text = networks["text"].state_dict()
    rows = next(value for name, value in text.items() if name.endswith("token_embedding.weight"))
    tensors |= {
        "captions.rows": rows[known:-1].half(),
        "captions.tokens": torch.tensor(vocabulary.used[known:]),
    }
    write(path, tensors, {}, asdict(recipe) | {"drawings": VERSION})


def export_run(folder: Path, recipe: Recipe, path: Path) -> None:
    """Write the running means of a run's weights to `path`, as far as the run has come."""
    used = used_tokens(folder)
    networks = build_networks(len(used) + 1)
    networks.load_state_dict(averaged(folder, "unet"))
    latents = torch.load(folder / "latents.pt", weights_only=True)
    # The last that each stage's log says.
    figures = {
        log_path.stem: json.loads(log_path.read_text().splitlines()[-1])
        for log_path in sorted(folder.glob("*.jsonl"))
    }
    export(
        path,
        recipe.resolution,
        unet_to_ldm(networks["unet"].state_dict()),
        vae_to_ldm(load_vae(folder, "cpu").state_dict(), latents["mean"], latents["scale"]),
        text_to_ldm(networks["text"].state_dict(), used),
        asdict(recipe) | {"drawings": VERSION} | figures,
        latents["colors"].tolist(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/mini"), help="folder of the run")
    parser.add_argument("--output", type=Path, help="default: in the run's folder")
    arguments = parser.parse_args()
    folder = arguments.run
    path, recipe = arguments.output or folder / "ip2p-mini.safetensors", load_recipe(folder)
    export_run(folder, recipe, path)
    if (folder / f"{NAME}.pt").exists():
        export_text_to_image(folder, recipe, path.with_stem(f"{path.stem}-text-to-image"))
    plot_losses(folder)


if __name__ == "__main__":
    main()
