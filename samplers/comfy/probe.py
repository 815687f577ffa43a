"""Asking the model what an instruction means for a picture, without sampling an edit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.model_patcher import set_model_options_patch_replace
from torch import Tensor

from ..guidance import Branches
from ..official import NoiseStream
from ..relevance import attention_map, relevance_map
from .guider import DualGuider
from .noised import predict_noised

LOWEST = 0.625

# More than any Stable Diffusion UNet has in a row.
BLOCKS = [("middle", 0), *((name, i) for name in ("input", "output") for i in range(12))]


@dataclass(frozen=True)
class Found:
    """What a probe found, in latent cells.

    relevance  see `relevance_map`, [B, h, w]
    attention  see `attention_map`, [B, about h / 2, about w / 2]; None where the model has no
               cross-attention of that size
    """

    relevance: Tensor
    attention: Tensor | None


def probe(
    model: Any,
    instruction: Any,
    negative: Any,
    source: dict[str, Any],
    seed: int,
    noise_level: float,
    draws: int,
) -> Found:
    """Noise the source `draws` times and predict it with and without the instruction.

    noise_level  0 to 1, how far up the model's noise levels; 0.8 is the timestep 800 of 1000
    draws        noises to take the mean over, 1 or more; each costs one batch of two evaluations.
                 They are spread from `noise_level` down to LOWEST of it: the high levels tell
                 what is meant, the low ones where it ends

    The model and the source are not modified. Raises ValueError as `DualGuider` does.
    """
    guider = DualGuider(model, instruction, negative, source, 1.0, 1.0)
    latent = source["samples"].float()
    # From the lowest up: a run that starts at the top starts from nothing but noise.
    levels = torch.linspace(1, LOWEST, draws).flip(0) * noise_level
    sigmas = torch.tensor([*(sigma_at(model, level) for level in levels.tolist()), 0.0])
    watch = AttentionWatch(latent.shape)
    differences: list[Tensor] = []
    maps: list[Tensor] = []

    def watched(options: dict[str, Any]) -> dict[str, Any]:
        for name, number in BLOCKS:  # in the options of this run alone
            options = set_model_options_patch_replace(options, watch, "attn2", name, number)
        return options

    def see(sigma: Tensor, latent: Tensor, predictions: Branches) -> None:
        for name, cond in (("instruction", "instruction"), ("image", "negative")):
            # ComfyUI's answer where no part of a conditioning acts is all zeros.
            if not torch.count_nonzero(getattr(predictions, name)):
                raise ValueError(
                    f"{cond}: it is limited to steps that are less noisy or noisier than "
                    f"noise_level {noise_level:g} and what is below, where the model is asked. "
                    "Take the limit off (ConditioningSetTimestepRange), or choose another "
                    "noise_level."
                )
        # D = x - sigma * e, so this is the difference of the noise predictions.
        differences.append((predictions.image - predictions.instruction) / sigma)
        if watch.map is not None:
            maps.append(watch.map.cpu())
        watch.map = None

    needed = Branches(instruction=True, image=True, uncond=False)
    draw = NoiseStream(seed, latent.shape).draw
    predict_noised(guider, latent, sigmas, draw, needed, see, watched, show_progress=True)
    return Found(
        relevance_map(torch.stack(differences)).cpu(),
        torch.stack(maps).mean(0) if maps else None,
    )


def check_instruction(instruction: Any, negative: Any) -> None:
    """ValueError where the two say the same, so that there is no edit."""
    pairs = zip(instruction, negative, strict=False)
    if len(instruction) == len(negative) and all(torch.equal(a[0], b[0]) for a, b in pairs):
        raise ValueError(
            "instruction: it is empty or says the same as the negative, so there is no edit. "
            "Write what to change in IP2PEncodeInstruction."
        )


def sigma_at(model: Any, noise_level: float) -> float:
    """The model's sigma at a share 0..1 of its noise levels."""
    sampling = model.get_model_object("model_sampling")
    sigma = float(sampling.percent_to_sigma(1 - noise_level))
    return min(max(sigma, float(sampling.sigma_min)), float(sampling.sigma_max))


class AttentionWatch:
    """A cross-attention patch that changes nothing and keeps one map of the instruction branch.

    Of the layers at half the latent's size or below, the last of the finest: the closest to the
    result of those that still see objects.
    """

    def __init__(self, latent: torch.Size) -> None:
        self.map: Tensor | None = None
        self.batch, _, *self.size = latent

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
        heads = options["n_heads"]
        height, width = size_of(q.shape[1], self.size)
        known = 0 if self.map is None else self.map[0].numel()
        is_coarse = 2 * height <= self.size[0] + 1
        if is_coarse and height * width == q.shape[1] >= known:
            # 0 is the instruction branch, as the guider numbers them.
            for index, number in enumerate(options["cond_or_uncond"]):
                if number == 0:
                    rows = slice(index * self.batch, (index + 1) * self.batch)
                    self.map = attention_map(q[rows], k[rows], heads).unflatten(1, (height, width))
        return optimized_attention(q, k, v, heads, attn_precision=options.get("attn_precision"))


def size_of(places: int, size: Sequence[int]) -> tuple[int, int]:
    """The height and width of a layer of so many places, halved from the latent's, rounded up."""
    height, width = size
    while height * width > places and max(height, width) > 1:
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    return height, width
