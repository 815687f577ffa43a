"""The noise levels of a run: where it starts, and which step a level belongs to."""

from __future__ import annotations

import bisect
import math
from itertools import pairwise


def is_full_edit(sigmas: list[float], levels: list[float]) -> bool:
    """Whether noise levels are those of a whole edit, which starts from nothing but noise.

    sigmas  of the run, falling
    levels  all of the model's, rising

    A whole edit starts at the model's highest level. ComfyUI's `ddim_uniform` alone starts below:
    it takes every n-th level from the second one up, and a whole one goes as high as n allows.
    """
    if not sigmas:
        return False
    if sigmas[0] > levels[-1] * (1 - 1e-5):
        return True
    taken = [bisect.bisect(levels, sigma * (1 - 1e-5)) for sigma in sigmas if sigma > 0]
    gaps = {high - low for high, low in pairwise(taken)}
    if len(gaps) != 1 or min(gaps) <= 0:
        return False
    (gap,) = gaps
    exact = all(
        math.isclose(levels[place], sigma, rel_tol=1e-5)
        for place, sigma in zip(taken, sigmas, strict=False)
    )
    return exact and taken[0] % gap == 1 % gap and taken[0] + gap >= len(levels)


def step_of(sigma: float, sigmas: list[float]) -> int:
    """The step, counted from 1, that has the level of a run's `sigmas` nearest to `sigma`."""
    nearest = min(range(len(sigmas)), key=lambda index: abs(sigmas[index] - sigma))
    return min(nearest + 1, max(len(sigmas) - 1, 1))
