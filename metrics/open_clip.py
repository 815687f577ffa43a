"""open_clip's one-file CLIP under the names of transformers' CLIPModel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

# open_clip's name of a part -> transformers'; {} is the number of the layer.
TOWERS = {
    "vision": ("visual.transformer.resblocks.", "vision_model.encoder.layers."),
    "text": ("transformer.resblocks.", "text_model.encoder.layers."),
}
OUTER = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.": "vision_model.pre_layrnorm.",  # spelt so by transformers
    "visual.ln_post.": "vision_model.post_layernorm.",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.": "text_model.final_layer_norm.",
    "logit_scale": "logit_scale",
}
INNER = {
    "ln_1.": "layer_norm1.",
    "ln_2.": "layer_norm2.",
    "attn.out_proj.": "self_attn.out_proj.",
    "mlp.c_fc.": "mlp.fc1.",
    "mlp.c_proj.": "mlp.fc2.",
}


def read_open_clip(path: Path) -> Any:
    """Read a .safetensors of open_clip's ViT as a CLIPModel.

    What no shape tells (the activation, the heads) comes from `open_clip_config.json` beside it, as
    open_clip publishes it. Raises ValueError where a file is missing or of another kind.
    """
    from transformers import CLIPConfig, CLIPModel

    described = path.with_name("open_clip_config.json")
    try:
        settings = json.loads(described.read_text(encoding="utf-8"))["model_cfg"]
        weights = load_file(path)
        heads = {
            "vision": weights["visual.class_embedding"].shape[0]
            // settings["vision_cfg"].get("head_width", 64),
            "text": settings["text_cfg"].get("heads", 8),
        }
        config = CLIPConfig(
            projection_dim=settings["embed_dim"],
            **{
                f"{tower}_config": _sizes(weights, tower)
                | {
                    "num_attention_heads": heads[tower],
                    "hidden_act": "quick_gelu" if settings.get("quick_gelu") else "gelu",
                }
                for tower in TOWERS
            },
        )
    except OSError as error:
        raise ValueError(
            f"{error.filename}: {error.strerror}; an open_clip file needs its "
            "open_clip_config.json beside it"
        ) from None
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} with {described.name} is not an open_clip ViT ({type(error).__name__}: "
            f"{error}); give open_clip's own two files, or a folder of transformers"
        ) from None
    model = CLIPModel(config)
    left, unknown = model.load_state_dict(to_transformers(weights), strict=False)
    left = [name for name in left if not name.endswith("position_ids")]
    if left or unknown:
        raise ValueError(f"{path} is an open_clip model of another kind: {(left + unknown)[0]}")
    return model.float()


def _sizes(weights: dict[str, Tensor], tower: str) -> dict[str, int]:
    """What the shapes of a tower tell of it."""
    prefix = TOWERS[tower][0]
    layers = {
        name.removeprefix(prefix).split(".")[0] for name in weights if name.startswith(prefix)
    }
    inner, width = weights[f"{prefix}0.mlp.c_fc.weight"].shape
    sizes = {"hidden_size": width, "intermediate_size": inner, "num_hidden_layers": len(layers)}
    if tower == "vision":
        patch = weights["visual.conv1.weight"].shape[-1]
        places = weights["visual.positional_embedding"].shape[0] - 1
        return sizes | {"patch_size": patch, "image_size": patch * round(places**0.5)}
    return sizes | {
        "vocab_size": weights["token_embedding.weight"].shape[0],
        "max_position_embeddings": weights["positional_embedding"].shape[0],
        "eos_token_id": 2,  # the value that means "the highest token of each row"
    }


def to_transformers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights; q, k and v, which open_clip keeps in one matrix, are taken apart."""
    renamed: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if name == "visual.proj":
            renamed["visual_projection.weight"] = weight.T.contiguous()
        elif name == "text_projection":
            renamed["text_projection.weight"] = weight.T.contiguous()
        else:
            for new, part in _renamed(name, weight):
                renamed[new] = part
    return renamed


def _renamed(name: str, weight: Tensor) -> list[tuple[str, Tensor]]:
    for old, new in TOWERS.values():
        if not name.startswith(old):
            continue
        number, inner = name.removeprefix(old).split(".", 1)
        layer = f"{new}{number}."
        if inner.startswith("attn.in_proj_"):
            kind = inner.removeprefix("attn.in_proj_")
            parts = torch.chunk(weight, 3)
            return [
                (f"{layer}self_attn.{letter}_proj.{kind}", part.clone())
                for letter, part in zip("qkv", parts, strict=True)
            ]
        for old_inner, new_inner in INNER.items():
            if inner.startswith(old_inner):
                return [(layer + new_inner + inner.removeprefix(old_inner), weight)]
    for old, new in OUTER.items():
        if name == old or (old.endswith(".") and name.startswith(old)):
            return [(new + name.removeprefix(old), weight)]
    return []
