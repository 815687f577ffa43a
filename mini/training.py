"""What every training stage needs: a time budget, checkpoints that resume, a log, two cores."""

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn

SAVE_EVERY = 120.0


class Clock:
    """Steps and seconds of training against a budget, shared by all workers."""

    def __init__(self, budget: float, warmup: float = 0.02):
        self.budget, self.warmup = budget, warmup
        self.shared = torch.zeros(2, dtype=torch.float64).share_memory_()

    @property
    def step(self) -> int:
        return int(self.shared[0])

    @property
    def spent(self) -> float:
        return float(self.shared[1])

    @property
    def done(self) -> float:
        """The share of the budget that is spent, 0 to 1."""
        return min(self.spent / self.budget, 1.0)

    def rate(self) -> float:
        """The learning rate's factor: up to 1 over the warm-up, then a cosine down to 0."""
        if self.done < self.warmup:
            return (self.done + 0.05 * self.warmup) / (1.05 * self.warmup)
        return 0.5 + 0.5 * math.cos(math.pi * (self.done - self.warmup) / (1 - self.warmup))


class Run:
    """One stage's state on disk: all of `parts` is saved, and found again on the next start."""

    def __init__(self, folder: Path, name: str, clock: Clock, parts: dict):
        self.path, self.log_path = folder / f"{name}.pt", folder / f"{name}.jsonl"
        self.clock, self.parts = clock, parts
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            clock.shared[:] = torch.tensor([state["step"], state["spent"]])
            for key, part in parts.items():
                part.load_state_dict(state["parts"][key])

    def save(self) -> None:
        parts = {key: part.state_dict() for key, part in self.parts.items()}
        state = {"step": self.clock.step, "spent": self.clock.spent, "parts": parts}
        fresh = self.path.with_suffix(".new")
        torch.save(state, fresh)
        os.replace(fresh, self.path)

    def log(self, **figures: float) -> None:
        minutes = round(self.clock.spent / 60, 2)
        row = {"step": self.clock.step, "minutes": minutes, **figures}
        with self.log_path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def steps(self, rank: int) -> Iterator[int]:
        """Yield the step until the budget is spent; worker 0 keeps the time and saves."""
        saved = self.clock.spent
        while self.clock.done < 1:
            start = time.monotonic()
            yield self.clock.step
            self.clock.shared[0] += 1
            if rank == 0:
                self.clock.shared[1] += time.monotonic() - start
                if self.clock.spent - saved > SAVE_EVERY:
                    self.save()
                    saved = self.clock.spent


def share(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put the weights and the optimizer's state where every worker sees them."""
    model.share_memory()
    if not optimizer.state:
        # A step without gradients makes the state and changes nothing.
        rates = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = 0.0
            for weight in group["params"]:
                weight.grad = torch.zeros_like(weight)
        optimizer.step()
        optimizer.zero_grad()
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
    for state in optimizer.state.values():
        for value in state.values():
            value.share_memory_()


def run_workers(work: Callable[[int], None], workers: int) -> None:
    """Run `work(rank)` in so many processes, which train the same shared weights without locks.

    Hogwild (Niu et al. 2011): on a machine whose cores are shared with others, two workers of
    one thread each lose nothing to waiting for each other.
    """
    context = torch.multiprocessing.get_context("fork")
    others = [context.Process(target=work, args=(rank,)) for rank in range(1, workers)]
    for other in others:
        other.start()
    work(0)
    for other in others:
        other.join()


def plot_losses(folder: Path) -> None:
    """Draw every stage's log into `losses.png` beside them."""
    logs = sorted(folder.glob("*.jsonl"))
    figure, panels = plt.subplots(1, len(logs), figsize=(5 * len(logs), 4), squeeze=False)
    for panel, path in zip(panels[0], logs, strict=True):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        panel.plot([row["minutes"] for row in rows], [row["loss"] for row in rows])
        panel.set(title=path.stem, xlabel="minutes", ylabel="loss", yscale="log")
    figure.savefig(folder / "losses.png", bbox_inches="tight")
    plt.close(figure)
