"""A run inside a graph: its folder, what interrupts it, and what it hands to ComfyUI's nodes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import comfy.model_management
import torch
from PIL import Image

from ..pairs.checks import split_pairs
from ..pairs.pair import Pair
from .result import as_model
from .run import Progress, Run
from .settings import FREE, RunError, Settings


@dataclass(frozen=True)
class Trained:
    """The MODEL with what was learnt, the LoRA of it, the loss of every step, the last sheet."""

    model: Any
    lora: dict[str, torch.Tensor]
    losses: list[float]
    sheet: Image.Image


def run_folder(root: Path, run: str, settings: Settings, pairs: Sequence[Pair]) -> Path:
    """The folder of a run below `root`, another one for other settings or other pairs.

    So the same prompt goes on where it was, and a changed one starts anew.
    """
    if not re.fullmatch(r"[\w -][\w .-]*", run):
        raise RunError(f"run: got {run!r}; a name of letters, digits, spaces, dots and hyphens.")
    fixed = {name: value for name, value in asdict(settings).items() if name not in FREE}
    stamps = [f"{p.source.stamp} {p.target.stamp} {p.instructions}" for p in pairs]
    key = hashlib.sha256(json.dumps([fixed, stamps]).encode()).hexdigest()[:8]
    return root / f"{run}-{key}"


@contextmanager
def training_allowed() -> Iterator[None]:
    """ComfyUI runs nodes without gradients, and newer ones save memory in ways that forbid them."""
    management = comfy.model_management
    before = getattr(management, "in_training", None)
    with torch.inference_mode(False), torch.enable_grad():
        if before is not None:
            management.in_training = True
        try:
            yield
        finally:
            if before is not None:
                management.in_training = before


def train_in_graph(
    folder: Path,
    settings: Settings,
    model: Any,
    clip: Any,
    vae: Any,
    pairs: Sequence[Pair],
    lessons: Sequence[str],
    show: Callable[[Progress], object],
) -> Trained:
    """Make or continue the run in `folder`; an interrupt keeps its state and is raised again."""

    def follow(progress: Progress) -> None:
        show(progress)
        comfy.model_management.throw_exception_if_processing_interrupted()

    with training_allowed():
        trained, held_out = split_pairs(pairs, settings.held_out)
        run = Run(folder, settings, model, clip, vae, trained, held_out, lessons)
        run.train(follow)
        sheet = folder / "samples" / f"step-{run.step}.jpg"
        if not sheet.is_file():  # a run that was ended there by other settings
            with run.weights.averaged(), run.autocast:
                run.shown.sheet(run.step, settings)
        learnt = as_model(run.weights, model, settings.resolution)
        lora = run.weights.lora_tensors()
    lines = (folder / "loss.jsonl").read_text(encoding="utf-8").splitlines()
    # Steps that were done again after a kill are there twice; the later counts.
    losses = {line["step"]: line["loss"] for line in map(json.loads, lines)}
    with Image.open(sheet) as picture:
        return Trained(learnt, lora, list(losses.values()), picture.convert("RGB"))
