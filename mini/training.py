"""What every training stage needs: a time budget, checkpoints that resume, a log."""

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import torch

SAVE_EVERY = 180.0
LOG_EVERY = 20.0


class Clock:
    """Seconds of training against a budget, and the learning rate's cosine over it."""

    def __init__(self, budget: float, warmup: float = 0.02):
        self.budget, self.warmup = budget, warmup
        self.spent = 0.0

    def rate(self) -> float:
        """The learning rate's factor: up to 1 over the warm-up, then down to 0."""
        done = min(self.spent / self.budget, 1.0)
        if done < self.warmup:
            return (done + 0.1 * self.warmup) / (1.1 * self.warmup)
        return 0.5 + 0.5 * math.cos(math.pi * (done - self.warmup) / (1 - self.warmup))


class Run:
    """One stage's state on disk: everything in `parts` is saved, and found again on the next start.

    Iterating yields the step until the clock's budget is spent.
    """

    def __init__(self, folder: Path, name: str, clock: Clock, parts: dict):
        self.path, self.log_path = folder / f"{name}.pt", folder / f"{name}.jsonl"
        self.clock, self.parts = clock, parts
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            self.step, clock.spent = state["step"], state["spent"]
            for key, part in parts.items():
                part.load_state_dict(state["parts"][key])

    def save(self) -> None:
        parts = {key: part.state_dict() for key, part in self.parts.items()}
        state = {"step": self.step, "spent": self.clock.spent, "parts": parts}
        fresh = self.path.with_suffix(".new")
        torch.save(state, fresh)
        os.replace(fresh, self.path)

    def log(self, **figures: float) -> None:
        row = {"step": self.step, "minutes": round(self.clock.spent / 60, 2), **figures}
        with self.log_path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def __iter__(self) -> Iterator[int]:
        saved = self.clock.spent
        while self.clock.spent < self.clock.budget:
            start = time.monotonic()
            yield self.step
            self.step += 1
            # The first steps of a start hold the compiler's minutes, which are not training.
            self.clock.spent += min(time.monotonic() - start, 10.0)
            if self.clock.spent - saved > SAVE_EVERY:
                self.save()
                saved = self.clock.spent
        self.save()
