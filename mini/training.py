"""What every training stage needs: a schedule, a recorded step, states that resume, a log."""

import contextlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor, nn

# Seconds between two saved states.
SAVE_EVERY = 240.0
# The learning rate rises over the first steps, stays, and falls over the last share of them
# (Hu et al. 2024): until then a run can be made longer without having been wrong.
WARMUP, COOLDOWN = 200, 0.3


# Held while a step is recorded, and by threads while they bring something to the device.
DEVICE = threading.Lock()


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def half_precision(device: str) -> contextlib.AbstractContextManager[None]:
    """Autocast to bfloat16 where the device computes in it."""
    # torch.cpu names no public function for it.
    able = device != "cpu" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device, torch.bfloat16, enabled=able)


class Clock:
    """How far a stage is: its steps, or its minutes, whichever are done first."""

    def __init__(self, steps: int, minutes: float = math.inf):
        self.steps, self.minutes = steps, minutes
        self.step, self.spent = 0, 0.0  # spent: seconds

    @property
    def done(self) -> float:
        """The share that is done, 0 to 1."""
        return min(max(self.step / self.steps, self.spent / (60 * self.minutes)), 1.0)

    def rate(self) -> float:
        """The learning rate's factor: up to 1 over the warm-up, down to 0 over the cool-down."""
        rising = (self.step + 1) / WARMUP
        falling = 0.5 - 0.5 * math.cos(math.pi * min((1 - self.done) / COOLDOWN, 1.0))
        return min(rising, falling)


class Average:
    """The running mean of weights (Polyak and Juditsky 1992): steadier than the last step's.

    Its decay rises with the steps up to `decay`, so that the first steps are soon forgotten.
    """

    def __init__(self, networks: nn.Module, decay: float = 0.999):
        self.decay = decay
        self.trained = [weight.detach() for weight in networks.parameters()]
        self.weights = {k: v.detach().clone() for k, v in networks.named_parameters()}
        self.steps = torch.zeros((), device=self.trained[0].device)

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        keep = ((1 + self.steps) / (10 + self.steps)).clamp(max=self.decay)
        means = list(self.weights.values())
        moves = torch._foreach_sub(self.trained, means)
        torch._foreach_mul_(moves, 1 - keep)
        torch._foreach_add_(means, moves)

    def state_dict(self) -> dict:
        return {"steps": self.steps, "weights": self.weights}

    def load_state_dict(self, state: dict) -> None:
        self.steps.copy_(state["steps"])
        for name, value in state["weights"].items():
            self.weights[name].copy_(value)


class Run:
    """One stage's state on disk: all of `parts` is saved, and found again on the next start.

    until  when to stop, by `time.monotonic()`, if the steps are not done before
    """

    def __init__(self, folder: Path, name: str, clock: Clock, parts: dict, until: float = math.inf):
        self.path, self.log_path = folder / f"{name}.pt", folder / f"{name}.jsonl"
        self.clock, self.parts, self.until = clock, parts, until
        folder.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            clock.step, clock.spent = state["step"], state["spent"]
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

    def steps(self) -> Iterator[int]:
        """Yield the step until all are done or the time is up; keep the time and save."""
        saved = now = time.monotonic()
        while self.clock.done < 1 and now < self.until:
            yield self.clock.step
            self.clock.step += 1
            self.clock.spent += time.monotonic() - now
            now = time.monotonic()
            if now - saved > SAVE_EVERY:
                self.save()
                saved = now


def averaged(folder: Path, name: str) -> dict[str, Tensor]:
    """The running means of a stage's weights, as far as the run in `folder` has come."""
    state = torch.load(folder / f"{name}.pt", weights_only=True, map_location="cpu")
    weights: dict[str, Tensor] = state["parts"]["average"]["weights"]
    return weights


class Step:
    """A training step: the loss, its gradients, the optimizer, the running mean.

    Networks as small as these keep a GPU waiting for the next launch. There the step is recorded
    once as a CUDA graph and then replayed, so whatever `loss` computes is computed on the device
    and its inputs stay where they are.

    rates  the learning rate of each of the optimizer's groups
    """

    def __init__(
        self,
        loss: Callable[[], Tensor],
        optimizer: torch.optim.Optimizer,
        rates: list[float],
        average: Average,
    ):
        self.loss, self.optimizer, self.average = loss, optimizer, average
        self.rates = rates
        device = average.steps.device
        for group in optimizer.param_groups:
            group |= {"lr": torch.zeros((), device=device), "capturable": device.type == "cuda"}
        self.total = torch.zeros((), device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.left_to_warm_up = 3 if device.type == "cuda" else -1

    def compute(self) -> None:
        loss = self.loss()
        loss.backward()
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        nn.utils.clip_grad_norm_(weights, 1.0)
        self.optimizer.step()
        self.average.update()
        self.total += loss.detach()

    def __call__(self, factor: float) -> None:
        """Take one step.

        factor  of the learning rates
        """
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"].fill_(rate * factor)
        if self.graph is not None:
            self.graph.replay()
            return
        self.optimizer.zero_grad(set_to_none=True)
        if self.left_to_warm_up < 0:
            self.compute()
        elif self.left_to_warm_up > 0:
            # As PyTorch asks for: what is allocated lazily is, on another stream than the graph's.
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                self.compute()
            torch.cuda.current_stream().wait_stream(stream)
            self.left_to_warm_up -= 1
        else:
            graph = torch.cuda.CUDAGraph()
            with DEVICE, torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.compute()
            self.graph = graph
            graph.replay()

    def mean_loss(self, steps: int) -> float:
        """The mean of the last steps' losses, forgotten by this."""
        mean = self.total.item() / steps
        self.total.zero_()
        return round(mean, 5)


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
