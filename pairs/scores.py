"""The scores of drawn pairs by ComfyUI's own CLIP and CLIP_VISION."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from comfy.image_encoders.dino2 import Dinov2Model
from torch import Tensor

from ..metrics.similarity import clip_scores, cosine
from .filter import Scores


def score_pairs(
    before: Tensor,
    after: Tensor,
    seeds: Sequence[int],
    clip_vision: Any,
    texts: tuple[Tensor, Tensor] | None,
) -> list[Scores]:
    """The scores of pairs of pictures [n, H, W, 3], in their order.

    clip_vision  a CLIP, or a DINOv2, which gives the score `dino` alone; None gives no score
    texts        the embeddings [1, D] of both captions by the same CLIP, see `embed_captions`
    """
    if clip_vision is None:
        return [Scores(seed) for seed in seeds]
    first, second = (clip_vision.encode_image(p)["image_embeds"].float() for p in (before, after))
    if isinstance(clip_vision.model, Dinov2Model):
        values = cosine(first, second).tolist()
        return [Scores(seed, dino=value) for seed, value in zip(seeds, values, strict=True)]
    if texts is None or texts[0].shape[-1] != first.shape[-1]:
        values = cosine(first, second).tolist()
        return [Scores(seed, image=value) for seed, value in zip(seeds, values, strict=True)]
    found = clip_scores(first, second, *(text.to(first).expand(len(first), -1) for text in texts))
    rows = zip(seeds, *(values.tolist() for values in found[:4]), strict=True)
    return [Scores(*row) for row in rows]


def embed_captions(clip: Any, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The embeddings [1, D] of both captions by a CLIP that has its text projection.

    Checkpoints of Stable Diffusion 1.x and 2.x leave it out, and ComfyUI then keeps what was in
    memory in its place. Raises ValueError where that shows.
    """
    model = clip.cond_stage_model
    part = model.clip_g if hasattr(model, "clip_g") else getattr(model, model.clip)
    projection = part.transformer.text_projection.weight.detach().float().cpu()
    # Finite and of full rank, as every trained one is; left-over memory seldom is both.
    usable = bool(projection.isfinite().all()) and projection.abs().max() < 1e3
    if not usable or torch.linalg.matrix_rank(projection) < len(projection) // 2:
        raise ValueError(
            "scoring_clip: this CLIP has no text projection, so it cannot compare captions with "
            "pictures; checkpoints of Stable Diffusion leave it out. Load CLIP's own file "
            "(clip_l.safetensors for ViT-L) with CLIPLoader."
        )
    first, second = (
        clip.encode_from_tokens(clip.tokenize(caption), return_pooled="unprojected")[1]
        for caption in captions
    )
    return first.float().cpu() @ projection.T, second.float().cpu() @ projection.T


def own_scoring_clip(clip: Any) -> Any:
    """`clip` where it surely has its text projection, as SDXL's CLIP-G; else None."""
    return clip if hasattr(clip.cond_stage_model, "clip_g") else None
