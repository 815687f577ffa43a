"""Finer control of dual guidance: when and where each scale acts, and how hard it may push."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from .guidance import (
    Scale,
    combine_guidance,
    project_guidance,
    rescale_guidance,
    with_stand_ins,
)

Curve = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class Schedule:
    """How one scale runs over the steps and over the picture.

    start, end  fractions of the steps, 0 to 1, between which it acts; outside it is 1, which is
                no guidance (Kynkaanniemi et al., "Applying Guidance in a Limited Interval", 2024)
    curve       how its factor goes from 1 at `start` to `final` at `end`
    final       factor reached at `end`; unused by "constant"
    outside     factor where the region is black; blended where it is grey
    """

    start: float = 0.0
    end: float = 1.0
    curve: Curve = "constant"
    final: float = 1.0
    outside: float = 1.0

    def at(self, scale: Scale, progress: float, region: Tensor | None) -> Scale:
        """`scale` at `progress` (0 first step, 1 last step) over `region` [B, 1, h, w]."""
        if not self.start <= progress <= self.end:
            return 1.0
        run = (progress - self.start) / (self.end - self.start) if self.end > self.start else 1.0
        if self.curve == "linear":
            scale = scale * (1 + (self.final - 1) * run)
        elif self.curve == "cosine":
            scale = scale * (self.final + (1 - self.final) * (1 + math.cos(math.pi * run)) / 2)
        if region is None or self.outside == 1:
            return scale
        return scale * (self.outside + (1 - self.outside) * region)


@dataclass(frozen=True)
class Guidance:
    """Everything beside the two scales; the default changes nothing.

    text, image    how S_T and S_I run
    rescale        0 to 1, see `rescale_guidance`, measured in `rescale_space`
    apg_eta        0 to 1, see `project_guidance`; 1 is off
    apg_norm       longest norm of the text term's difference, 0 is off
    region         mask [B, h, w] in 0..1 over the working picture, white is inside
    """

    text: Schedule = field(default_factory=Schedule)
    image: Schedule = field(default_factory=Schedule)
    rescale: float = 0.0
    rescale_space: Literal["eps", "v"] = "eps"
    apg_eta: float = 1.0
    apg_norm: float = 0.0
    region: Tensor | None = None

    def scales(
        self, text_cfg: Scale, image_cfg: Scale, progress: float, x: Tensor
    ) -> tuple[Scale, Scale]:
        """The two scales for the latent x [B, C, h, w] at this point of the run."""
        region = None if self.region is None else latent_region(self.region, x)
        return (
            self.text.at(text_cfg, progress, region),
            self.image.at(image_cfg, progress, region),
        )

    def combine(
        self,
        predictions: tuple[Tensor | None, Tensor | None, Tensor | None],
        text_cfg: Scale,
        image_cfg: Scale,
        x: Tensor,
        sigma: Tensor,
    ) -> Tensor:
        """The guided denoised prediction of `predictions` (instruction, image, uncond).

        x      the noisy latent [B, C, h, w]
        sigma  its noise level [B]
        """
        if self.apg_eta == 1 and self.apg_norm == 0:
            guided = combine_guidance(*predictions, text_cfg, image_cfg)
        else:
            e2, e1, e0 = with_stand_ins(*predictions)
            pushed = project_guidance(e2 - e1, e2, self.apg_eta, self.apg_norm)
            guided = e2 + pushed * (text_cfg - 1) + (e1 - e0) * (image_cfg - 1)
        if self.rescale == 0:
            return guided
        sigma = sigma.view(-1, 1, 1, 1)
        centre = x if self.rescale_space == "eps" else x / (sigma**2 + 1)
        instruction, _, _ = with_stand_ins(*predictions)
        return rescale_guidance(guided, instruction, centre, self.rescale)


def latent_region(region: Tensor, x: Tensor) -> Tensor:
    """The mask `region` [B, H, W] as weights [B or 1, 1, h, w] for the latent x, by area."""
    region = torch.nn.functional.interpolate(
        region[:, None].to(x.device, torch.float32), size=x.shape[-2:], mode="area"
    )
    if len(region) not in (1, len(x)):
        raise ValueError(
            f"region: {len(region)} masks for a batch of {len(x)}; give one mask, or one for each."
        )
    return region
