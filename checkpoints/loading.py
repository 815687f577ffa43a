"""A checkpoint on disk -> everything that an edit needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import comfy.sd
from comfy.model_patcher import ModelPatcher

from .files import CheckpointError, read_tensors
from .layouts import Parts, Weights, read_checkpoint
from .models import build_clip, build_model, build_vae
from .signs import UNET

FIRST = "input_blocks.0.0.weight"
TABLE = "text_model.embeddings.token_embedding.weight"
ROWS, TOKENS = "captions.rows", "captions.tokens"


@dataclass(frozen=True)
class Checkpoint:
    """`clip` is None and `vae` explains itself when used where the file has none, as in core."""

    model: ModelPatcher
    clip: comfy.sd.CLIP | None
    vae: comfy.sd.VAE
    resolution: int
    """Side in pixels of the pictures that the model was trained for."""
    text_cfg: float
    """The usual scales: those that its file tells, else those of its family."""
    image_cfg: float


def load_checkpoint(
    path: Path, weights: Weights = "auto", embedding_directory: list[str] | None = None
) -> Checkpoint:
    """Loads a single file or a diffusers folder of InstructPix2Pix, of any family.

    `weights`: "auto" prefers EMA, "ema" and "raw" insist. Raises CheckpointError, which names the
    file and says what is wrong with it.
    """
    return _load(partial(read_checkpoint, path, weights), path.name, embedding_directory)


def load_text_to_image(
    path: Path, editor: Path, embedding_directory: list[str] | None = None
) -> Checkpoint:
    """Loads a narrow text-to-image model that was trained from an editor.

    path    a file with what it has of its own, see `read_text_to_image`
    editor  the checkpoint with all else
    """
    return _load(partial(read_text_to_image, path, editor), path.name, embedding_directory)


def read_text_to_image(path: Path, editor: Path) -> Parts:
    """An editor without a source, and with the file's own weights of the UNet and words.

    The file has the rows ROWS of the table of words, and their numbers TOKENS.
    """
    parts = read_checkpoint(editor, "auto")
    tensors, metadata = read_tensors(path, path.name)
    learned = {k.removeprefix(UNET): v for k, v in tensors.items() if k.startswith(UNET)}
    if any(k not in parts.unet or v.shape != parts.unet[k].shape for k, v in learned.items()):
        raise CheckpointError(f"{path.name}: it was not trained from {editor.name}.")
    table = parts.text[0][TABLE].clone()
    table[tensors[TOKENS]] = tensors[ROWS].to(table)
    return replace(
        parts,
        # Core's class without a source beside the noise.
        family=replace(parts.family, core_class="SD15"),
        unet={**parts.unet, FIRST: parts.unet[FIRST][:, :4].contiguous(), **learned},
        text=({**parts.text[0], TABLE: table},),
        metadata=metadata,
    )


def _load(
    read: Callable[[], Parts], name: str, embedding_directory: list[str] | None
) -> Checkpoint:
    parts = read()
    model = build_model(parts, name)
    clip = build_clip(parts, name, embedding_directory)
    vae = build_vae(parts.vae, name)
    # With these, newer cores make a second copy: for hooks under dynamic VRAM, for a second GPU.
    model.cached_patcher_init = (_reload_model, (read, name))
    if clip is not None:
        clip.patcher.cached_patcher_init = (_reload_clip, (read, name, embedding_directory))
    if parts.vae:
        vae.patcher.cached_patcher_init = (_reload_vae, (read, name))
    text_cfg = parts.architecture.get("text_cfg", parts.family.text_cfg)
    image_cfg = parts.architecture.get("image_cfg", parts.family.image_cfg)
    return Checkpoint(model, clip, vae, parts.resolution, text_cfg, image_cfg)


def _reload_model(
    read: Callable[[], Parts], name: str, disable_dynamic: bool = False
) -> ModelPatcher:
    return build_model(read(), name, disable_dynamic=disable_dynamic)


def _reload_clip(
    read: Callable[[], Parts],
    name: str,
    embedding_directory: list[str] | None,
    disable_dynamic: bool = False,
) -> ModelPatcher:
    clip = build_clip(read(), name, embedding_directory, disable_dynamic=disable_dynamic)
    assert clip is not None  # only set where there was one
    return clip.patcher


def _reload_vae(
    read: Callable[[], Parts], name: str, disable_dynamic: bool = False
) -> ModelPatcher:
    # Core builds VAEs one way only.
    return build_vae(read().vae, name).patcher
