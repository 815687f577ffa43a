"""Reuse of the differences between branches from step to step.

The picture's difference e1 - e0 hardly changes from one step to the next, and its weight
image_cfg - 1 is small, so it may serve several steps and the branch without picture is not run in
between. The instruction's difference e2 - e1 may, too, where text_cfg is small.

Differences are kept in units of the noise prediction, (D_a - D_b) / sigma, which change least from
step to step. Features deep in the network change little, too (Ma, Fang and Wang, "DeepCache",
2024); those of the two branches with picture may serve two steps.

What a step does depends on its place among the noise levels alone, so a cell of a grid is the edit
alone, and samplers that evaluate a step several times refresh at each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from .guidance import Branches, Scale


@dataclass(frozen=True)
class Reuse:
    """For how many steps something serves; 1 makes it anew at each step.

    image_every  e1 - e0, 1 to 50; None goes by the number of steps
    text_every   e2 - e1, 1 to 10
    deep_every   the features deep in the network, of the branches with picture
    """

    image_every: int | None = None
    text_every: int = 1
    deep_every: int = 1

    def image_interval(self, steps: int, image_cfg: Scale) -> int:
        """`image_every`, or a fifth of the steps, and half of that where image_cfg is above 2.

        The error goes with image_cfg - 1. Rounded up to steps that run the whole network anyway.
        """
        if self.image_every is not None:
            return self.image_every
        fifth = max(1, round(steps / 5))
        largest = float(image_cfg.max()) if isinstance(image_cfg, Tensor) else image_cfg
        every = max(1, fifth // 2) if largest > 2 else fifth
        return -(-every // self.deep_every) * self.deep_every


class Moment(NamedTuple):
    """A step, counted from 0, and its noise level."""

    step: int
    sigma: float


class Difference(NamedTuple):
    """(D_a - D_b) / sigma [B, C, h, w], and when it was made."""

    value: Tensor
    made: Moment


class Reusing:
    """The differences of one run.

    every  what serves how long; its `image_every` is a number
    edges  steps at which conditionings or controls begin or end, where all is made anew

    run, needed, shallow  evaluations so far; `shallow` of those run took kept deep features
    """

    def __init__(self, every: Reuse, edges: set[int]) -> None:
        self.every, self.edges = every, edges
        self.image: Difference | None = None
        self.text: Difference | None = None
        self.deep: tuple[Branches, Moment] | None = None
        self.run = self.needed = self.shallow = 0

    def fresh(self, now: Moment, needed: Branches) -> Branches:
        """The branches to run of those that are needed."""
        # A difference is only known to a step that has both of its branches.
        if not (needed.image and needed.uncond):
            self.image = None
        if not (needed.image and needed.instruction):
            self.text = None
        image = self.is_due(self.image and self.image.made, self.every.image_every or 1, now)
        text = image or self.is_due(self.text and self.text.made, self.every.text_every, now)
        fresh = Branches(needed.instruction, needed.image and text, needed.uncond and image)
        self.run += sum(fresh)
        self.needed += sum(needed)
        return fresh

    def summary(self) -> str:
        """What the run saved, in a sentence."""
        said = f"{self.run} of {self.needed} evaluations run, {self.needed - self.run} reused"
        if self.shallow:
            said += f"; {self.shallow} of those run had their deep features reused"
        return f"{said}."

    def deep_is_due(self, now: Moment, fresh: Branches) -> bool:
        """Whether the whole network is to run: always where the branch without picture does."""
        ran, made = self.deep or (None, None)
        unknown = ran is None or any(run and not kept for run, kept in zip(fresh, ran, strict=True))
        due = fresh.uncond or unknown or self.is_due(made, self.every.deep_every, now)
        if due:
            self.deep = fresh, now
        return due

    def is_due(self, made: Moment | None, every: int, now: Moment) -> bool:
        if made is None or now.step % every == 0 or now.step in self.edges:
            return True
        # Samplers may go up again, and may pass over a step.
        return made.sigma < now.sigma or now.step - made.step >= every

    def filled(self, predictions: Branches, needed: Branches, now: Moment) -> Branches:
        """`predictions` with those that are needed and were not run; keeps the differences."""
        e2, e1, e0 = predictions
        if e1 is not None and e2 is not None:
            self.text = Difference((e1 - e2) / now.sigma, now)
        elif needed.image and e1 is None and self.text is not None:
            e1 = e2 + self.text.value * now.sigma
        if e0 is not None and e1 is not None:
            self.image = Difference((e0 - e1) / now.sigma, now)
        elif needed.uncond and e0 is None and self.image is not None:
            e0 = e1 + self.image.value * now.sigma
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
