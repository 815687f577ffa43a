"""Randomness by counter: what is drawn depends on the seed, the step and the place in the batch.

Nothing else is remembered. So a run that goes on, on other machines or in batches of another make,
draws what it would have drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draw:
    """All that is random about one sample.

    noise, spread  [4, h, w] standard normal: of the step, and of the target's posterior
    time           whole timestep
    chance         uniform in 0..1, which conditions are dropped
    flip, wording, teach, lesson  uniform in 0..1: mirror the pair; which of its wordings; whether
                   the frozen model teaches this sample; which other instruction it is asked then
    """

    noise: Tensor
    spread: Tensor
    time: int
    chance: float
    flip: float
    wording: float
    teach: float
    lesson: float


def generator(*counter: object) -> torch.Generator:
    """A CPU generator seeded by `counter` alone, alike on every machine."""
    digest = hashlib.blake2b("/".join(map(str, counter)).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


def draw(seed: int, step: int, place: int, shape: Sequence[int], timesteps: int = 1000) -> Draw:
    """The sample at `place` of the batch of `step`; `shape` is that of its latent."""
    source = generator("sample", seed, step, place)
    noise, spread = torch.randn((2, *shape), generator=source)
    time = int(torch.randint(timesteps, (), generator=source))
    uniform = torch.rand(5, generator=source, dtype=torch.float64).tolist()
    return Draw(noise, spread, time, *uniform)


class Order:
    """Which pairs each step takes: all of them once an epoch, those of one shape together.

    shapes  for each pair its shape; only equal ones fit into one batch
    batch   samples of one step, over all processes and accumulated parts

    Where the pairs of a shape do not fill their last batch, it is filled with pairs of that shape.
    """

    def __init__(self, seed: int, shapes: Sequence[Hashable], batch: int) -> None:
        self.seed, self.batch = seed, batch
        alike: dict[Hashable, list[int]] = {}
        for index, shape in enumerate(shapes):
            alike.setdefault(shape, []).append(index)
        self.groups = list(alike.values())
        self.length = sum(-(-len(group) // batch) for group in self.groups)
        self.epoch = (-1, list[list[int]]())

    def at(self, step: int) -> list[int]:
        """The pairs of `step`, as indices."""
        number, place = divmod(step, self.length)
        if self.epoch[0] != number:
            self.epoch = number, self._shuffled(number)
        return self.epoch[1][place]

    def _shuffled(self, number: int) -> list[list[int]]:
        source = generator("order", self.seed, number)
        batches = []
        for group in self.groups:
            turn = [group[i] for i in torch.randperm(len(group), generator=source).tolist()]
            missing = -len(turn) % self.batch
            more = torch.randint(len(group), (missing,), generator=source).tolist()
            turn += [group[i] for i in more]
            batches += [turn[i : i + self.batch] for i in range(0, len(turn), self.batch)]
        return [batches[i] for i in torch.randperm(len(batches), generator=source).tolist()]
