"""Checks that an input is a picture, or a mask for it."""

from __future__ import annotations

import torch
from torch import Tensor


def check_picture(image: Tensor) -> None:
    """ValueError for anything but finite [B, H, W, 1, 3 or 4] with at least one pixel."""
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"image: got the shape {list(image.shape)}; a picture is [batch, height, width, "
            "channels] with 1, 3 or 4 channels."
        )
    if image.numel() == 0:
        raise ValueError(f"image: got the shape {list(image.shape)}, which holds no pixels.")
    if not torch.isfinite(image).all():
        raise ValueError(
            "image: some pixels are not numbers (NaN or infinite). If it comes from VAEDecode, "
            "the VAE or the model overflowed in half precision: start ComfyUI with --fp32-vae."
        )


def checked_mask(mask: Tensor, batch: int) -> Tensor:
    """The mask as [1 or batch, H, W] with values 0..1; ValueError for anything else."""
    if mask.ndim == 2:  # Core's own nodes accept and sometimes give a mask without batch.
        mask = mask[None]
    if mask.ndim != 3 or mask.numel() == 0:
        raise ValueError(
            f"mask: got the shape {list(mask.shape)}; a mask is [batch, height, width] with at "
            "least one pixel. Turn a picture into a mask with ImageToMask."
        )
    if len(mask) not in (1, batch):
        raise ValueError(
            f"mask: got {len(mask)} masks for {batch} pictures; give one for all or one for each."
        )
    if not torch.isfinite(mask).all():
        raise ValueError("mask: some values are not numbers (NaN or infinite).")
    return mask.float().clamp(0, 1)
