"""Predictions of a latent under noise, without sampling an edit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.samplers
import comfy.utils
import torch
from torch import Tensor

from ..guidance import Branches
from .guider import DualGuider

# (noise level [], the latent [B, C, h, w] as the model has it, predictions of it under noise)
See = Callable[[Tensor, Tensor, Branches], None]


def predict_noised(
    guider: DualGuider,
    latent: Tensor,
    sigmas: Tensor,
    draw: Callable[[], Tensor],
    needed: Branches,
    see: See,
    patch: Callable[[dict[str, Any]], dict[str, Any]] = lambda options: options,
    show_progress: bool = False,
) -> None:
    """Noise a latent at each of `sigmas` and have the guider's branches predict it.

    latent         [B, C, h, w], unscaled
    draw           the next noise, [B, C, h, w]
    needed         the branches to run
    see            called at each level that is above 0
    patch          what to add to the model_options of this run
    show_progress  whether the node's progress bar advances by one at each level
    """
    sampler = Noised(guider, draw, needed, see, patch, show_progress)
    guider.sample(torch.zeros_like(latent), latent, sampler, sigmas)


class Noised(comfy.samplers.Sampler):
    """A "sampler" that takes no step, see `predict_noised`."""

    def __init__(
        self,
        guider: DualGuider,
        draw: Callable[[], Tensor],
        needed: Branches,
        see: See,
        patch: Callable[[dict[str, Any]], dict[str, Any]],
        show_progress: bool,
    ) -> None:
        self.guider, self.draw, self.needed, self.see = guider, draw, needed, see
        self.patch, self.show_progress = patch, show_progress

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Callable[..., None] | None,
        noise: Tensor,
        latent_image: Tensor,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        options = self.patch(extra_args["model_options"])
        sampling = self.guider.inner_model.model_sampling
        levels = [sigma for sigma in sigmas if sigma > 0]
        progress = comfy.utils.ProgressBar(len(levels)) if self.show_progress else None
        for sigma in levels:
            drawn = self.draw().to(latent_image)
            x = sampling.noise_scaling(sigma, drawn, latent_image, False)
            level = sigma.expand(len(x))
            predictions = self.guider.predict_branches(x, level, self.needed, options)
            self.see(sigma, latent_image, predictions)
            if progress is not None:
                progress.update(1)  # where an interrupt is noticed
        return latent_image
