"""Finer control of dual guidance: when and where each scale acts, and how hard it may push."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .guidance import (
    Branches,
    Scale,
    branches_needed,
    combine_guidance,
    project_guidance,
    rescale_guidance,
    with_stand_ins,
)
from .reuse import Reuse

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

    def factor(self, progress: float) -> float | None:
        """By how much the scale is multiplied at `progress`: 0 the first step, 1 the last one.

        None where the scale does not act.
        """
        if not self.start <= progress <= self.end:
            return None
        run = (progress - self.start) / (self.end - self.start) if self.end > self.start else 1.0
        if self.curve == "linear":
            return 1 + (self.final - 1) * run
        if self.curve == "cosine":
            return self.final + (1 - self.final) * (1 + math.cos(math.pi * run)) / 2
        return 1.0

    def scale(self, scale: Scale, factor: float | None, region: Tensor | None) -> Scale:
        """`scale` with a factor of this schedule over `region` [B or 1, 1, h, w]."""
        if factor is None:
            return 1.0
        if region is None or self.outside == 1:
            return scale * factor
        return scale * factor * (self.outside + (1 - self.outside) * region)


class Step(NamedTuple):
    """What the guidance of one step follows: both scales, and which branches have a weight."""

    text_cfg: Scale
    image_cfg: Scale
    needed: Branches


@dataclass(frozen=True)
class Guidance:
    """Everything beside the two scales; the default changes nothing.

    text, image    how S_T and S_I run
    rescale        0 to 1, see `rescale_guidance`, measured in `rescale_space`
    apg_eta        0 to 1, see `project_guidance`; 1 is off
    apg_norm       longest norm of the text term's difference, 0 is off
    region         mask [B, h, w] in 0..1 over the working picture, white is inside
    reuse          which predictions serve several steps; None makes all of them at each step
    """

    text: Schedule = field(default_factory=Schedule)
    image: Schedule = field(default_factory=Schedule)
    rescale: float = 0.0
    rescale_space: Literal["eps", "v"] = "eps"
    apg_eta: float = 1.0
    apg_norm: float = 0.0
    region: Tensor | None = None
    reuse: Reuse | None = None

    def plan(
        self, text_cfg: Scale, image_cfg: Scale, steps: int, region: Tensor | None
    ) -> list[Step]:
        """What each of `steps` steps follows. Steps that follow the same share one object.

        region  `region` for the latent of this run, see `latent_region`
        """
        known: dict[tuple[float | None, float | None], Step] = {}
        plan = []
        for step in range(steps):
            progress = step / max(steps - 1, 1)
            factors = self.text.factor(progress), self.image.factor(progress)
            if factors not in known:
                text = self.text.scale(text_cfg, factors[0], region)
                image = self.image.scale(image_cfg, factors[1], region)
                known[factors] = Step(text, image, branches_needed(text, image))
            plan.append(known[factors])
        return plan

    def combine(
        self,
        predictions: Branches,
        text_cfg: Scale,
        image_cfg: Scale,
        x: Tensor,
        sigma: Tensor,
    ) -> Tensor:
        """The guided denoised prediction of `predictions`; None for one that was left out.

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


def latent_region(region: Tensor, shape: torch.Size) -> Tensor:
    """The mask `region` [B, H, W] as weights [B or 1, 1, h, w] for a latent of `shape`, by area.

    On the CPU, since not every device has interpolation by area.
    """
    if len(region) not in (1, shape[0]):
        raise ValueError(
            f"region: {len(region)} masks for a batch of {shape[0]}; give one mask, or one for "
            "each."
        )
    return torch.nn.functional.interpolate(
        region[:, None].to("cpu", torch.float32), size=shape[-2:], mode="area"
    )
