"""A run: pairs and a model in, what was learnt out, and a state from which it goes on.

RUN/run.toml            the settings as used, and digests of what it is made from
RUN/state/              weights, their average and the optimizer's memory: the last two states
RUN/cache/              latents and texts; may be deleted
RUN/loss.jsonl          a line a step: loss, loss of each branch, held-out loss, speed, memory
RUN/samples/            sheets of sample edits
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import comfy.model_management
import torch
from PIL import Image

from ..pairs.pair import Pair
from .batches import Batches
from .cache import CachedLatents, Encoder, Latents, LiveLatents, Texts, digest
from .network import trainable
from .processes import Processes
from .settings import RunError, Settings, check_same_run, from_toml, to_toml
from .shown import SHOWN, Shown
from .state import load_state, save_state
from .step import BRANCHES, Batch, branch_of, edit_errors, guided
from .weights import Weights


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    loss      of the last step;  branches  of each dropout branch, a moving mean
    held_out  the loss on held-out pairs, as it was measured last; None before that
    speed     samples a second;  left  seconds;  memory  peak of the accelerator in GB
    picture   a sheet of sample edits, where this step made one
    """

    step: int
    steps: int
    loss: float
    branches: dict[str, float]
    held_out: float | None
    speed: float
    left: float
    memory: float
    picture: Image.Image | None = None


@dataclass
class BranchLosses:
    """The mean loss of each dropout branch over about its last 50 samples."""

    means: dict[str, float] = field(default_factory=dict)

    def add(self, branch: str, loss: float) -> None:
        mean = self.means.get(branch, loss)
        self.means[branch] = mean + 0.02 * (loss - mean)


class Run:
    """One fine-tuning in `folder`, which goes on from its newest state where there is one.

    settings   `resolution` is the size in pixels by now, not 0
    pairs      to train on, all usable;  held_out  to measure on and to show
    lessons    instructions that the frozen model is asked where it teaches (`keep`)
    preparing  is called with the pairs encoded and their number

    Raises RunError or ValueError for what cannot be trained.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        model: Any,
        clip: Any,
        vae: Any,
        pairs: Sequence[Pair],
        held_out: Sequence[Pair] = (),
        lessons: Sequence[str] = (),
        preparing: Callable[[int, int], object] = lambda done, of: None,
    ) -> None:
        if not pairs:
            raise RunError("pairs: there is none to train on.")
        if settings.keep and not lessons:
            raise RunError(
                "keep: the frozen model needs other instructions to be asked; give some."
            )
        self.folder, self.settings = folder, settings
        self.processes = Processes()
        self.net = trainable(model, self.processes.device)
        if settings.keep and self.net.grown:
            raise RunError(
                "keep: this base has never seen a picture before the edit, so it has nothing to "
                "keep. Set keep to 0."
            )
        if settings.distill and self.net.grown:
            raise RunError(
                "distill: this base has never seen a picture before the edit, so its guidance is "
                "none. Start from an editor."
            )
        encoder, texts = Encoder(vae, settings.resolution), Texts(clip)
        self._remember(encoder, pairs, lessons)
        shown = list(held_out or pairs)[:SHOWN]
        every = [*pairs, *shown]
        latents = self._encode(every, encoder, texts, lessons, preparing)
        device = self.processes.device
        on_cpu = device.type == "cpu"
        bf16 = settings.precision == "bf16" or (settings.precision == "auto" and not on_cpu)
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
        self.weights = Weights(self.net, settings, bf16)
        self.parts = settings.accumulate * self.processes.count
        self.batches = Batches(pairs, latents, texts, self.net, settings, lessons, self.parts)
        self.shown = Shown(folder / "samples", self.batches, vae, shown, bool(held_out))
        self.branches = BranchLosses()
        self.held_out: float | None = None
        self.step, self.stopped, self.updating = 0, False, False
        if found := load_state(folder / "state"):
            self.step, tensors = found
            self.weights.restore(tensors)

    def _remember(self, encoder: Encoder, pairs: Sequence[Pair], lessons: Sequence[str]) -> None:
        """Write run.toml, or hold this run against what it says was started here."""
        stamps = [f"{p.source.stamp} {p.target.stamp} {p.instructions}" for p in pairs]
        made_from = {
            "base": digest(self.net.unet),
            "vae": encoder.digest,
            "pairs": hashlib.sha256("\n".join(stamps).encode()).hexdigest()[:32],
            "lessons": hashlib.sha256("\n".join(lessons).encode()).hexdigest()[:32],
        }
        path, used = self.folder / "run.toml", asdict(self.settings)
        if path.is_file():
            check_same_run(from_toml(path.read_text("utf-8")), used | made_from, self.folder)
        if self.processes.first:
            text = to_toml(used) + "\n[made_from]\n" + to_toml(made_from)
            self._write(path, text)

    def _write(self, path: Path, text: str, mode: str = "w") -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open(mode, encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise RunError(
                f"{path} cannot be written ({error.strerror}). Free space on the disk, or name "
                "another place, and start the same run again."
            ) from error

    def _encode(
        self,
        pairs: Sequence[Pair],
        encoder: Encoder,
        texts: Texts,
        lessons: Sequence[str],
        preparing: Callable[[int, int], object],
    ) -> Latents:
        if not self.settings.cache:
            return LiveLatents(pairs, encoder)
        cache = self.folder / "cache"

        def make() -> CachedLatents:
            latents = CachedLatents(
                pairs, encoder, cache, self.settings.flip, lambda done: preparing(done, len(pairs))
            )
            wordings = [text for pair in pairs for text in pair.instructions]
            texts.keep(["", *lessons, *wordings], cache / "texts.safetensors")
            return latents

        latents = self.processes.first_alone(make)
        comfy.model_management.unload_all_models()  # VAE and text encoder are needed no more
        return latents

    def train(self, on_step: Callable[[Progress], object] = lambda progress: None) -> None:
        """Train to the end, or until `stopped` is set; whatever ends it, the state is kept."""
        began, first = time.monotonic(), self.step
        try:
            if self.step == 0 and self.settings.sample_every and self.processes.first:
                with self.autocast:
                    self.shown.start(self.settings)
            while self.step < self.settings.steps and not self.processes.any(self.stopped):
                loss = self._update()
                picture = self._look() if self._due_to_look() else None
                seconds = max(1e-9, time.monotonic() - began)
                self._tell(on_step, loss, picture, (self.step - first) / seconds)
                if self.settings.save_every and self.step % self.settings.save_every == 0:
                    self.save()
        finally:
            # In the middle of an update the weights are of no step.
            if not self.updating and self.step > first:
                self.save()

    def _update(self) -> float:
        """One update from all its parts; the mean loss of this process's."""
        self.net.unet.train()
        self.weights.optimizer.zero_grad()
        mine = range(self.processes.rank, self.parts, self.processes.count)
        total = 0.0
        for part in mine:
            batch = self.batches.at(self.step, part)
            with self.autocast:
                errors = self.errors(batch)
                loss = errors.mean()
            (loss / self.parts).backward()
            total += self._noted(loss, errors, batch) / len(mine)
        self.updating = True
        gradients = [w.grad for w in self.weights.weights if w.grad is not None]
        self.processes.add_up(gradients)
        self.weights.update(self.step)
        self.step += 1
        self.updating = False
        return total

    def errors(self, batch: Batch) -> torch.Tensor:
        """The squared errors [B, 4, h, w] of the network as it is, whose mean is the loss."""
        net, settings, teacher = self.net, self.settings, self.weights.teacher
        if teacher is not None and settings.distill:
            scales = settings.text_cfg, settings.image_cfg
            teacher = guided(teacher, batch.null_text, batch.null_vector, *scales)
        return edit_errors(net, batch, net.alphas, settings.dropout, net.prediction, teacher)

    def _noted(self, loss: torch.Tensor, errors: torch.Tensor, batch: Batch) -> float:
        """The loss as a number, after noting those of the pairs by branch."""
        branches = branch_of(batch.chance, self.settings.dropout)[~batch.taught]
        each = errors.detach().mean((1, 2, 3))[~batch.taught]
        for branch, error in zip(branches.tolist(), each.tolist(), strict=True):
            self.branches.add(BRANCHES[branch], error)
        found = loss.item()
        if not math.isfinite(found):
            raise RunError(
                f"The loss is {found} at step {self.step}. Lower the learning rate, or choose "
                "precision fp32; the state before this step is kept."
            )
        return found

    def _due_to_look(self) -> bool:
        every, last = self.settings.sample_every, self.step == self.settings.steps
        return bool(every) and (last or self.step % every == 0)

    def _look(self) -> Image.Image | None:
        """Measure the held-out loss and draw the sample edits, with the averaged weights."""
        if not self.processes.first:
            return None
        with self.weights.averaged(), self.autocast:
            self.held_out = self.shown.loss(self.errors)
            return self.shown.sheet(self.step, self.settings)

    def _tell(
        self,
        on_step: Callable[[Progress], object],
        loss: float,
        picture: Image.Image | None,
        rate: float,
    ) -> None:
        if not self.processes.first:
            return
        on_cuda = self.processes.device.type == "cuda"
        progress = Progress(
            step=self.step,
            steps=self.settings.steps,
            loss=loss,
            branches=dict(self.branches.means),
            held_out=self.held_out,
            speed=rate * self.parts * self.settings.batch_size,
            left=(self.settings.steps - self.step) / rate,
            memory=torch.cuda.max_memory_allocated() / 1e9 if on_cuda else 0.0,
            picture=picture,
        )
        line = {k: v for k, v in vars(progress).items() if k not in ("picture", "steps", "left")}
        self._write(self.folder / "loss.jsonl", json.dumps(line) + "\n", "a")
        on_step(progress)

    def save(self) -> None:
        """Write the state after the steps that are done."""
        if self.processes.first:
            save_state(self.folder / "state", self.step, self.weights.state())
