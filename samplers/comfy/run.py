"""What a guider keeps for the length of one sampling run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..control import Guidance, Step, latent_region
from ..guidance import Scale
from ..levels import step_of
from ..reuse import Reusing, steps_at
from .finite import FiniteWatch


class Run:
    """The noise levels of a run, the plan of its steps, and the watch over its predictions.

    All that the steps ask of it is on the host, so that no step waits for the device.

    sigmas  the noise levels of the run
    shape   of its latent, [B, C, h, w]
    """

    def __init__(
        self, guidance: Guidance, sigmas: list[float], shape: torch.Size, device: torch.device
    ) -> None:
        self.guidance, self.sigmas, self.device = guidance, sigmas, device
        self.region = None if guidance.region is None else latent_region(guidance.region, shape)
        self.plans: dict[tuple[Scale, Scale], list[Step]] = {}
        self.watch = FiniteWatch(device)
        self.steps = max(len(sigmas) - 1, 1)
        self.reusing: Reusing | None = None

    def step(self, sigma: Tensor, text_cfg: Scale, image_cfg: Scale) -> Step:
        """What the step at noise level `sigma` [B] follows, at these scales of the guider.

        The scales may change within a run: nodes that override them do so from step to step.
        """
        scales = text_cfg, image_cfg
        if scales not in self.plans:
            plan = self.guidance.plan(*scales, self.steps, self.region)
            moved = {id(step): self.on_device(step) for step in plan}
            self.plans[scales] = [moved[id(step)] for step in plan]
        plan = self.plans[scales]
        if all(step is plan[0] for step in plan):
            return plan[0]  # without asking the device for its noise level
        return plan[step_of(float(sigma.flatten()[0]), self.sigmas) - 1]

    def start_reusing(
        self, image_cfg: Scale, conds: dict[str, list[dict[str, Any]]]
    ) -> Reusing | None:
        """What keeps differences in this run, if `reuse` says so; made at its first step.

        conds  of the guider, with the noise levels between which they act
        """
        reuse = self.guidance.reuse
        if reuse is not None and self.reusing is None:
            every = reuse.image_interval(self.steps, image_cfg)
            edges = steps_at([*edges_of(conds)], self.sigmas)
            self.reusing = Reusing(every, reuse.text_every, edges)
        return self.reusing

    def on_device(self, step: Step) -> Step:
        text, image = (
            scale.to(self.device) if isinstance(scale, Tensor) else scale for scale in step[:2]
        )
        return Step(text, image, step.needed)


def edges_of(conds: dict[str, list[dict[str, Any]]]) -> Iterator[float]:
    """The noise levels at which conditionings and their controls begin or end."""
    for cond in (cond for branch in conds.values() for cond in branch):
        limits = (cond.get(name) for name in ("timestep_start", "timestep_end"))
        yield from (float(limit) for limit in limits if limit is not None)
        control = cond.get("control")
        while control is not None:
            yield from map(float, control.timestep_range or ())
            control = control.previous_controlnet
