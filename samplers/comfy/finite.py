"""A watch over predictions that are NaN or infinite, and the cause of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..guidance import Branches
from ..levels import step_of

# No text encoder of Stable Diffusion comes near it: CLIP-L's last layer stays below 40.
LARGEST_EMBEDDING = 1e4


class NotFinite(NamedTuple):
    """Where a run broke first: the noise level, the branches, and whether the latent had before."""

    sigma: float
    branches: tuple[str, ...]
    latent: bool


class FiniteWatch:
    """Notes the noise level at which a prediction first was NaN or infinite.

    The device keeps the note and copies it to the host in its own time, so that looking does not
    wait for the device: on a GPU an error may be raised a step after the one that it names.
    """

    def __init__(self, device: torch.device) -> None:
        # The latent, then the branches; below zero while all is well.
        self.first = torch.full((4,), -1.0, device=device)
        self.fine = torch.ones((), dtype=torch.bool, device=device)
        self.copied = torch.full((4,), -1.0, pin_memory=device.type == "cuda")

    def look(self, x: Tensor, predictions: Branches, sigma: Tensor) -> None:
        """Note what is not finite in the latent x and its predictions at `sigma` [B]."""
        finite = [self.fine if one is None else one.isfinite().all() for one in (x, *predictions)]
        known = torch.stack(finite) | (self.first >= 0)
        self.first = torch.where(known, self.first, sigma.flatten()[0].to(self.first))
        self.copied.copy_(self.first, non_blocking=True)

    def found(self, wait: bool = False) -> NotFinite | None:
        """What was noted, as far as the host knows; `wait` for all of it."""
        levels = (self.first if wait else self.copied).tolist()
        highest = max(levels)
        if highest < 0:
            return None
        broken = [level == highest for level in levels]
        names = zip(Branches._fields, broken[1:], strict=True)
        return NotFinite(highest, tuple(name for name, is_broken in names if is_broken), broken[0])


def explain(
    found: NotFinite, sigmas: list[float], conds: dict[str, list[dict[str, Any]]], model: Any
) -> str:
    """What broke, where, its cause as far as it shows, and what to do about that.

    sigmas  noise levels of the run
    conds   of the guider: positive, negative, uncond
    model   the model that predicted
    """
    step, steps = step_of(found.sigma, sigmas), max(len(sigmas) - 1, 1)
    names = " and ".join(found.branches) or "guided"
    what = (
        f"the {names} branch gave NaN or infinite numbers at step {step} of {steps} "
        f"(sigma {found.sigma:.3f})."
    )
    for name, cond in (("instruction", conds["positive"]), ("negative", conds["negative"])):
        largest = max(float(one["cross_attn"].abs().nan_to_num(torch.inf).max()) for one in cond)
        if largest > LARGEST_EMBEDDING:
            return (
                f"{name}: {what} Its conditioning holds numbers up to {largest:.3g}, which no "
                "network takes. Give the words ordinary weights, such as (snow:1.3)."
            )
    picture = conds["positive"][0]["concat_latent_image"]
    if not picture.isfinite().all():
        return (
            f"source: {what} The source itself holds NaN or infinite numbers: the VAE overflowed "
            "in half precision. Start ComfyUI with --fp32-vae and encode it again."
        )
    if found.latent:
        return (
            f"model: {what} The latent was not a number before the model saw it, so the sampling "
            "ran away: lower text_cfg and image_cfg, or try another sampler and scheduler."
        )
    dtype = model.manual_cast_dtype or model.get_dtype()
    if dtype == torch.float16:
        return (
            f"model: {what} The model runs in half precision, which overflows with some "
            "checkpoints and LoRAs: start ComfyUI with --force-fp32 or --bf16-unet, or try "
            "without the last patch."
        )
    return (
        f"model: {what} The model runs in {str(dtype).removeprefix('torch.')}, which does not "
        "overflow, so its weights are damaged or a patch or LoRA is too strong: try without the "
        "last patch, then another copy of the file."
    )
