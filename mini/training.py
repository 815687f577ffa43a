"""What every training stage needs: a schedule, states that resume, a log, two cores."""

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn

# Seconds between two saved states.
SAVE_EVERY = 240.0
# The learning rate rises over the first steps, stays, and falls over the last share of them
# (Hu et al. 2024): until then a run can be made longer without having been wrong.
WARMUP, COOLDOWN = 200, 0.3


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def half_precision(device: str) -> contextlib.AbstractContextManager[None]:
    """Autocast to bfloat16 where the device computes in it."""
    # torch.cpu names no public function for it.
    able = device != "cpu" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device, torch.bfloat16, enabled=able)


class Clock:
    """The steps of all workers against how many there are to be, and worker 0's seconds of CPU."""

    def __init__(self, steps: int):
        self.steps = steps
        self.shared = torch.zeros(2, dtype=torch.float64).share_memory_()

    @property
    def step(self) -> int:
        return int(self.shared[0])

    @property
    def spent(self) -> float:
        return float(self.shared[1])

    @property
    def done(self) -> float:
        """The share of the steps that are done, 0 to 1."""
        return min(self.step / self.steps, 1.0)

    def rate(self) -> float:
        """The learning rate's factor: up to 1 over the warm-up, down to 0 over the cool-down."""
        rising = (self.step + 1) / WARMUP
        falling = 0.5 - 0.5 * math.cos(math.pi * min((1 - self.done) / COOLDOWN, 1.0))
        return min(rising, falling)


class Run:
    """One stage's state on disk: all of `parts` is saved, and found again on the next start."""

    def __init__(self, folder: Path, name: str, clock: Clock, parts: dict):
        self.path, self.log_path = folder / f"{name}.pt", folder / f"{name}.jsonl"
        self.clock, self.parts = clock, parts
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            clock.shared[0], clock.shared[1] = state["step"], state["spent"]
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
        """Yield the step until all are done; worker 0 keeps the time and saves.

        The other workers stop when the process that started them has been killed.
        """
        saved, parent = time.monotonic(), os.getppid()
        while self.clock.done < 1 and (rank == 0 or os.getppid() == parent):
            start = time.process_time()
            yield self.clock.step
            self.clock.shared[0] += 1
            if rank == 0:
                self.clock.shared[1] += time.process_time() - start
                if time.monotonic() - saved > SAVE_EVERY:
                    self.save()
                    saved = time.monotonic()


class Average:
    """The running mean of weights (Polyak and Juditsky 1992): steadier than the last step's.

    Its decay rises with the steps up to `decay`, so that the first steps are soon forgotten.
    """

    def __init__(self, networks: nn.Module, decay: float = 0.998):
        self.networks, self.decay, self.steps = networks, decay, 0
        self.weights = {k: v.detach().clone() for k, v in networks.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in self.networks.state_dict().items():
            self.weights[name].lerp_(value.to(self.weights[name]), 1 - keep)

    def state_dict(self) -> dict:
        return {"steps": self.steps, "weights": self.weights}

    def load_state_dict(self, state: dict) -> None:
        self.steps = state["steps"]
        for name, value in state["weights"].items():
            self.weights[name].copy_(value)


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
    one thread each lose nothing to waiting for each other. They end with worker 0.
    """
    context = torch.multiprocessing.get_context("fork")
    others = [context.Process(target=work, args=(rank,), daemon=True) for rank in range(1, workers)]
    for other in others:
        other.start()
    work(0)
    for other in others:
        other.join()
        if other.exitcode:
            raise RuntimeError(f"a worker ended with exit code {other.exitcode}: see its error")


def plot_losses(folder: Path) -> None:
    """Draw every stage's log into `losses.png` beside them."""
    logs = sorted(folder.glob("*.jsonl"))
    figure, panels = plt.subplots(1, len(logs), figsize=(5 * len(logs), 4), squeeze=False)
    for panel, path in zip(panels[0], logs, strict=True):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [row for row in rows if "loss" in row]
        panel.plot([row["minutes"] for row in rows], [row["loss"] for row in rows])
        panel.set(title=path.stem, xlabel="minutes", ylabel="loss", yscale="log")
    figure.savefig(folder / "losses.png", bbox_inches="tight")
    plt.close(figure)
