"""The way through the pack that a graph takes, for whole batches of pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..checkpoints.loading import load_checkpoint
from ..pictures.frame import fit_training_size, to_working
from ..samplers.comfy.sampling import Cell, Edit
from ..samplers.comfy.text import encode_instruction
from .evaluate import NUMERICS, Editing


def encoded(clip: Any, instructions: list[str]) -> tuple[list[Any], list[Any]]:
    """The conditionings of a batch, instructions and empty negatives: a row each."""
    rows = [encode_instruction(clip, words, "", "plain") for words in instructions]
    asked, negative = ([[torch.cat([row[i][0][0] for row in rows]), {}]] for i in range(2))
    return asked, negative


def to_pixels(pictures: torch.Tensor) -> np.ndarray:
    """uint8 of pictures whose values go from 0 to 1; what lies outside is clamped."""
    return np.asarray((255 * pictures.clamp(0, 1)).round().to(torch.uint8).cpu())


def load_editing(checkpoint: Path, steps: int, text_cfg: float, image_cfg: float) -> Editing:
    """What IP2PLoadCheckpoint, IP2PEncodeSource, IP2PEncodeInstruction, IP2PKSampler do in turn.

    With Euler ancestral and the scheduler `normal`.
    """
    loaded = load_checkpoint(checkpoint)

    def encode(images: np.ndarray) -> dict[str, Any]:
        pictures = torch.tensor(images).float() / 255
        frame = fit_training_size(pictures, loaded.resolution)
        return {"samples": loaded.vae.encode(to_working(pictures, frame))}

    def decode(samples: torch.Tensor) -> np.ndarray:
        return to_pixels(loaded.vae.decode(samples))

    def edit(images: np.ndarray, instructions: list[str], seed: int) -> np.ndarray:
        conds = encoded(loaded.clip, instructions)
        shared = (loaded.model, *conds, encode(images), steps, "euler_ancestral", "normal")
        made = Edit(*shared, numerics=NUMERICS)
        return decode(made.sample([Cell(text_cfg, image_cfg, seed)], lambda *_: None))

    return Editing(edit, lambda images: decode(encode(images)["samples"]), loaded.resolution)
