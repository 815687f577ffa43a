"""A checkpoint on disk -> everything that an edit needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import comfy.sd
from comfy.model_patcher import ModelPatcher

from .layouts import Weights, read_checkpoint
from .models import build_clip, build_model, build_vae


@dataclass(frozen=True)
class Checkpoint:
    """`clip` is None and `vae` explains itself when used where the file has none, as in core."""

    model: ModelPatcher
    clip: comfy.sd.CLIP | None
    vae: comfy.sd.VAE
    resolution: int
    """Side in pixels of the pictures that the model was trained for."""
    text_cfg: float
    """The usual scales of its family."""
    image_cfg: float


def load_checkpoint(
    path: Path, weights: Weights = "auto", embedding_directory: list[str] | None = None
) -> Checkpoint:
    """Loads a single file or a diffusers folder of InstructPix2Pix, of any family.

    `weights`: "auto" prefers EMA, "ema" and "raw" insist. Raises CheckpointError, which names the
    file and says what is wrong with it.
    """
    parts = read_checkpoint(path, weights)
    model = build_model(parts, path.name)
    clip = build_clip(parts, path.name, embedding_directory)
    vae = build_vae(parts.vae, path.name)
    # With these, newer cores make a second copy: for hooks under dynamic VRAM, for a second GPU.
    model.cached_patcher_init = (_reload_model, (path, weights))
    if clip is not None:
        clip.patcher.cached_patcher_init = (_reload_clip, (path, weights, embedding_directory))
    if parts.vae:
        vae.patcher.cached_patcher_init = (_reload_vae, (path, weights))
    family = parts.family
    return Checkpoint(model, clip, vae, parts.resolution, family.text_cfg, family.image_cfg)


def _reload_model(path: Path, weights: Weights, disable_dynamic: bool = False) -> ModelPatcher:
    parts = read_checkpoint(path, weights)
    return build_model(parts, path.name, disable_dynamic=disable_dynamic)


def _reload_clip(
    path: Path,
    weights: Weights,
    embedding_directory: list[str] | None,
    disable_dynamic: bool = False,
) -> ModelPatcher:
    parts = read_checkpoint(path, weights)
    clip = build_clip(parts, path.name, embedding_directory, disable_dynamic=disable_dynamic)
    assert clip is not None  # only set where there was one
    return clip.patcher


def _reload_vae(path: Path, weights: Weights, disable_dynamic: bool = False) -> ModelPatcher:
    # Core builds VAEs one way only.
    return build_vae(read_checkpoint(path, weights).vae, path.name).patcher
