"""LoRAs of editors under every name that trainers give them, brought to what ComfyUI knows.

diffusers since 0.22 and PEFT write `unet.X.lora.down.weight`, `unet.X.lora_A.weight` and
`base_model.model.X.lora_A.weight`. Core knows none of them for Stable Diffusion and skips them with
lines in the log only, so the LoRA does nothing.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import comfy.lora
import comfy.lora_convert
import comfy.sd
import torch
from comfy.model_patcher import ModelPatcher
from comfy.weight_adapter import LoRAAdapter

from .files import CheckpointError, StateDict, read_settings, read_tensors

# In the metadata of a LoRA that holds guidance: the scales, {"text_cfg": 7.5, "image_cfg": 1.5}.
DISTILLED_AT = "ip2p.distilled"

# What begins a module's name in the two worlds, the longest first.
_PREFIXES = (
    ("unet.base_model.model.", "lora_unet_"),
    ("text_encoder_2.base_model.model.", "lora_te2_"),
    ("text_encoder.base_model.model.", "lora_te1_"),
    ("base_model.model.text_model.", "lora_te1_text_model."),
    ("base_model.model.", "lora_unet_"),
    ("unet.", "lora_unet_"),
    ("text_encoder_2.", "lora_te2_"),
    ("text_encoder.", "lora_te1_"),
)
# The two factors and what goes with them. PEFT may name its adapter in between.
_ENDINGS = (
    (r"\.(lora\.down|lora_A(\.\w+)?|lora_linear_layer\.down)\.weight", ".lora_down.weight"),
    (r"\.(lora\.up|lora_B(\.\w+)?|lora_linear_layer\.up)\.weight", ".lora_up.weight"),
    (r"\.lora_magnitude_vector(\.\w+)?(\.weight)?", ".dora_scale"),
    (r"\.alpha", ".alpha"),
)


def load_lora(
    path: Path, model: ModelPatcher, clip: comfy.sd.CLIP | None, strength: float, text: float
) -> tuple[ModelPatcher, comfy.sd.CLIP | None]:
    """Clones of both with the LoRA as patches, in any naming; inputs are not changed.

    strength  of the UNet's part
    text      of the text encoder's

    Raises CheckpointError for a file that is no LoRA or fits no module of this model.
    """
    tensors, metadata = read_tensors(path, path.name)
    lora = core_names(tensors, adapter_settings(path, metadata))
    known = dict(comfy.lora.model_lora_keys_unet(model.model, {}))
    if clip is not None:
        known = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, known)
    patches = comfy.lora.load_lora(comfy.lora_convert.convert_lora(lora), known)
    if not patches:
        raise CheckpointError(
            f"{path.name}: nothing in this file fits the model. It holds "
            f"{len(tensors)} tensors, the first is {next(iter(tensors), '')[:80]!r}. Choose a LoRA "
            "of the same family as the checkpoint."
        )
    weights = dict(model.model.named_parameters())
    if not any(_fits(patch, weights.get(key)) for key, patch in patches.items()):
        raise CheckpointError(
            f"{path.name}: its layers have the names of the model's and other sizes. Choose a LoRA "
            "that was trained on a model of this size."
        )
    patched = model.clone()
    used = set(patched.add_patches(patches, strength))
    texts = None
    if clip is not None:
        texts = clip.clone()
        used |= set(texts.add_patches(patches, text))
    logging.info("%s: put on %d modules.", path.name, len(used))
    if DISTILLED_AT in metadata:
        logging.info(
            "%s: holds the guidance of %s. Sample at text_cfg 1 and image_cfg 1.",
            path.name,
            metadata[DISTILLED_AT],
        )
    return patched, texts


def _fits(patch: Any, weight: torch.Tensor | None) -> bool:
    """Whether a low-rank patch has the size of its weight; what is of another kind core judges."""
    if not isinstance(patch, LoRAAdapter) or weight is None:
        return True
    up, down = patch.weights[:2]
    return bool(up.shape[0] == weight.shape[0] and down.shape[1] == weight.shape[1])


def core_names(tensors: StateDict, settings: dict[str, Any] | None = None) -> StateDict:
    """A LoRA's tensors under kohya's names, those that core knows; others keep their own.

    settings  `lora_alpha` and `r`, by prefix of the module where several are in one file; alpha is
              the rank where nothing tells
    """
    named: StateDict = {}
    for key, tensor in tensors.items():
        module, ending = _split(key)
        if module is None:
            named[key] = tensor
            continue
        named[module + ending] = tensor.reshape(()) if ending == ".alpha" else tensor
    for key, alpha in _alphas(tensors, settings or {}):
        named.setdefault(key, torch.tensor(float(alpha)))
    return named


def adapter_settings(path: Path, metadata: dict[str, str]) -> dict[str, Any]:
    """PEFT's settings of a LoRA: in the file's metadata, or in adapter_config.json beside it."""
    if "lora_adapter_metadata" in metadata:
        try:
            settings = json.loads(metadata["lora_adapter_metadata"])
        except ValueError as error:
            raise CheckpointError(
                f"{path.name}: its lora_adapter_metadata is not JSON ({error})."
            ) from error
        return settings if isinstance(settings, dict) else {}
    if path.stem == "adapter_model":
        return read_settings(path.with_name("adapter_config.json"))
    return {}


def _split(key: str) -> tuple[str | None, str]:
    """A tensor's name as its module in kohya's naming and its ending; None for other names."""
    prefix, ours = next(((p, o) for p, o in _PREFIXES if key.startswith(p)), ("", ""))
    if not prefix:
        return None, ""
    for pattern, ending in _ENDINGS:
        match = re.search(pattern + "$", key)
        if match and ".processor" not in key:  # old diffusers' naming, which core knows
            module = key[len(prefix) : match.start()]
            if ours in ("lora_te1_", "lora_te2_") and not module.startswith("text_model."):
                module = f"text_model.{module}"
            return (ours + module).replace(".", "_"), ending
    return None, ""


def _alphas(tensors: StateDict, settings: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """`alpha` of each module where the settings differ from the rank."""
    for key in tensors:
        module, ending = _split(key)
        if module is None or ending != ".lora_down.weight":
            continue
        parts = ("unet.", "text_encoder_2.", "text_encoder.")
        part = next((part for part in parts if key.startswith(part)), "")
        own = {k.removeprefix(part): v for k, v in settings.items() if k.startswith(part)}
        patterns = own.get("alpha_pattern") or {}
        usual = own.get("lora_alpha")
        alpha = next((v for name, v in patterns.items() if f"{name}." in key), usual)
        if isinstance(alpha, int | float):
            yield f"{module}.alpha", alpha
