"""Reuse of the differences between branches from step to step.

The picture's difference e1 - e0 hardly changes from one step to the next, and its weight
image_cfg - 1 is small, so it may serve several steps and the branch without picture is not run in
between. The instruction's difference e2 - e1 may, too, where text_cfg is small.

Differences are kept in units of the noise prediction, (D_a - D_b) / sigma, which change least from
step to step. What a step does depends on its place among the noise levels alone, so a cell of a
grid is the edit alone, and samplers that evaluate a step several times refresh at each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from .guidance import Branches, Scale


@dataclass(frozen=True)
class Reuse:
    """For how many steps a difference is used; 1 computes it at each step.

    image_every  e1 - e0, 1 to 50; None goes by the number of steps
    text_every   e2 - e1, 1 to 10
    """

    image_every: int | None = None
    text_every: int = 1

    def image_interval(self, steps: int, image_cfg: Scale) -> int:
        """`image_every`, or a fifth of the steps, and half of that where image_cfg is above 2.

        The error goes with image_cfg - 1.
        """
        if self.image_every is not None:
            return self.image_every
        fifth = max(1, round(steps / 5))
        largest = float(image_cfg.max()) if isinstance(image_cfg, Tensor) else image_cfg
        return max(1, fifth // 2) if largest > 2 else fifth


class Difference(NamedTuple):
    """(D_a - D_b) / sigma [B, C, h, w], and the step and noise level that it is from."""

    value: Tensor
    step: int
    sigma: float


class Reusing:
    """The differences of one run.

    image_every, text_every  as in `Reuse`
    edges                    steps at which conditionings or controls begin or end, where all is
                             made anew
    """

    def __init__(self, image_every: int, text_every: int, edges: set[int]) -> None:
        self.image_every, self.text_every, self.edges = image_every, text_every, edges
        self.image: Difference | None = None
        self.text: Difference | None = None
        self.run = self.needed = 0

    def fresh(self, step: int, sigma: float, needed: Branches) -> Branches:
        """The branches to run of those that step `step` needs, counted from 0, at `sigma`."""
        # A difference is only known to a step that has both of its branches.
        if not (needed.image and needed.uncond):
            self.image = None
        if not (needed.image and needed.instruction):
            self.text = None
        image = self.is_due(self.image, self.image_every, step, sigma)
        text = image or self.is_due(self.text, self.text_every, step, sigma)
        fresh = Branches(needed.instruction, needed.image and text, needed.uncond and image)
        self.run += sum(fresh)
        self.needed += sum(needed)
        return fresh

    def is_due(self, kept: Difference | None, every: int, step: int, sigma: float) -> bool:
        if kept is None or step % every == 0 or step in self.edges:
            return True
        # Samplers may go up again, and may pass over a step.
        return kept.sigma < sigma or step - kept.step >= every

    def filled(self, predictions: Branches, needed: Branches, step: int, sigma: float) -> Branches:
        """`predictions` with those that are needed and were not run; keeps the differences."""
        e2, e1, e0 = predictions
        if e1 is not None and e2 is not None:
            self.text = Difference((e1 - e2) / sigma, step, sigma)
        elif needed.image and e1 is None and self.text is not None:
            e1 = e2 + self.text.value * sigma
        if e0 is not None and e1 is not None:
            self.image = Difference((e0 - e1) / sigma, step, sigma)
        elif needed.uncond and e0 is None and self.image is not None:
            e0 = e1 + self.image.value * sigma
        return Branches(e2, e1, e0)


def steps_at(levels: list[float], sigmas: list[float]) -> set[int]:
    """The steps at which a noise level of `levels` is first reached, and first passed."""
    found = set()
    for level in levels:
        for passed in (
            [step for step, sigma in enumerate(sigmas) if sigma <= level],
            [step for step, sigma in enumerate(sigmas) if sigma < level],
        ):
            found.update(passed[:1])
    return found
