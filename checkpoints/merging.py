"""Any ordinary model as an editor: A + m (B - C), as live patches on the editor.

A is an InstructPix2Pix model, B the custom model whose look is wanted, C the base that B was
trained from, m the multiplier. What B learnt over C is put on top of A: AUTOMATIC1111's "Add
difference" for InstructPix2Pix. The first layer of B and C has 4 input channels, the noise; they
are the first 4 of the editor's 8, and the source's 4 stay the editor's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import comfy.lora
import comfy.model_management
import comfy.sd
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor

UNET = "diffusion_model."
FIRST_LAYER = "diffusion_model.input_blocks.0.0.weight"
# ComfyUI's text encoders have these beside the weights that files hold.
NOT_WEIGHTS = (".position_ids", ".logit_scale", "clip_l.transformer.text_projection.weight")


def merge_models(
    editor: ModelPatcher, custom: ModelPatcher, base: ModelPatcher, multiplier: float
) -> ModelPatcher:
    """A clone of `editor` with multiplier * (custom - base) as patches; inputs are not changed.

    Patches that the three carry count. Raises ValueError for models in the wrong order, with other
    input channels, or of another family.
    """
    shapes = {
        name: _shapes(model)
        for name, model in (("editor", editor), ("custom", custom), ("base", base))
    }
    channels = {name: shape[FIRST_LAYER][1] for name, shape in shapes.items()}
    if channels["editor"] != 8:
        raise ValueError(
            f"editor: this model takes {channels['editor']} input channels and cannot see a "
            "picture. Connect the InstructPix2Pix model (8 channels) here and the ordinary models "
            "to custom and base."
        )
    for name in ("custom", "base"):
        if channels[name] != 4:
            raise ValueError(
                f"{name}: this model takes {channels[name]} input channels. Connect an ordinary "
                "text-to-image model (4 channels); the editor belongs to the input editor."
            )
        _check_alike(name, shapes[name], shapes["editor"])
    merged = editor.clone()
    _add_difference(merged, custom, base, multiplier, set(shapes["base"]) - {FIRST_LAYER})
    change = weight_of(custom, FIRST_LAYER) - weight_of(base, FIRST_LAYER)
    padded = torch.zeros(shapes["editor"][FIRST_LAYER])
    padded[:, :4] = change
    merged.add_patches({FIRST_LAYER: (padded,)}, multiplier)
    return merged


def merge_clips(
    editor: comfy.sd.CLIP, custom: comfy.sd.CLIP, base: comfy.sd.CLIP, multiplier: float
) -> comfy.sd.CLIP:
    """The same of the text encoders. Raises ValueError where they are of different kinds."""
    of_editor = _clip_shapes(editor)
    for name, clip in (("custom_clip", custom), ("base_clip", base)):
        if _clip_shapes(clip) != of_editor:
            raise ValueError(
                f"{name}: this text encoder is of another kind than the editor's. Connect those of "
                "models of one family."
            )
    merged = editor.clone()
    _add_difference(merged.patcher, custom.patcher, base.patcher, multiplier, set(of_editor))
    return merged


def weight_of(model: ModelPatcher, key: str) -> Tensor:
    """One weight with the patches that lie on it, float32 on the CPU; a copy."""
    return patched_weight(key, model.get_key_patches(key)[key])


def patched_weight(key: str, parts: Sequence[Any]) -> Tensor:
    """The same of an entry of `model.get_key_patches()`, which looks at every weight each time."""
    (weight, convert), *patches = parts
    cpu, exact = torch.device("cpu"), torch.float32
    weight = comfy.model_management.cast_to_device(weight, cpu, exact, copy=True)
    weight = convert(weight, inplace=True)
    return comfy.lora.calculate_weight(patches, weight, key, intermediate_dtype=exact)


def _add_difference(
    merged: ModelPatcher,
    custom: ModelPatcher,
    base: ModelPatcher,
    multiplier: float,
    keys: set[str],
) -> None:
    """Adds multiplier * (custom - base) by reference: nothing is computed or copied before use."""
    ours, theirs = custom.get_key_patches(), base.get_key_patches()
    differences = {
        key: [*ours[key], (-1.0, theirs[key], 1.0, None, None)]
        for key in keys & ours.keys() & theirs.keys()
    }
    merged.add_patches(differences, multiplier)


def _shapes(model: ModelPatcher) -> dict[str, tuple[int, ...]]:
    network = model.model.diffusion_model.state_dict()
    return {UNET + key: tuple(tensor.shape) for key, tensor in network.items()}


def _clip_shapes(clip: comfy.sd.CLIP) -> dict[str, tuple[int, ...]]:
    weights: dict[str, Any] = clip.patcher.model_state_dict()
    return {k: tuple(v.shape) for k, v in weights.items() if not k.endswith(NOT_WEIGHTS)}


def _check_alike(
    name: str, model: dict[str, tuple[int, ...]], editor: dict[str, tuple[int, ...]]
) -> None:
    """Raises ValueError unless the models differ in the first layer's channels alone."""
    differs = next(
        (key for key, shape in model.items() if key != FIRST_LAYER and editor.get(key) != shape),
        None,
    )
    if differs is not None:
        raise ValueError(
            f"{name}: this model is of another family than the editor: {differs} is "
            f"{model[differs]} here and {editor.get(differs, 'missing')} in the editor. Connect a "
            "model of the same family (Stable Diffusion 1.5 to an editor of 1.5)."
        )
