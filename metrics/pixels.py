"""How far two pictures are apart, pixel by pixel.

Pictures are [B, H, W, 3] in 0..1, masks [B, H, W] with 1 (or True) where pixels count; each result
is [B]. Values need no weights, so they are there for every picture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# Decibels of equal pictures, whose PSNR is infinite: means stay finite.
MOST_PSNR = 100.0
WINDOW, SPREAD = 11, 1.5  # of the Gaussian of SSIM, in pixels


def l1(a: Tensor, b: Tensor, where: Tensor | None = None) -> Tensor:
    """The mean absolute difference, 0..1."""
    _check(a, b)
    return _mean((a - b).abs(), where)


def l2(a: Tensor, b: Tensor, where: Tensor | None = None) -> Tensor:
    """The mean squared difference, 0..1."""
    _check(a, b)
    return _mean((a - b) ** 2, where)


def psnr(a: Tensor, b: Tensor, where: Tensor | None = None) -> Tensor:
    """The peak signal-to-noise ratio in decibels, at most MOST_PSNR."""
    return (-10 * l2(a.double(), b.double(), where).log10()).clamp(max=MOST_PSNR)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """The structural similarity, -1..1, the mean over the places of whole windows (Wang 2004).

    Raises ValueError for pictures smaller than the window of 11 x 11 pixels.
    """
    _check(a, b)
    if min(a.shape[1:3]) < WINDOW:
        height, width = a.shape[1:3]
        raise ValueError(
            f"SSIM looks at windows of {WINDOW} x {WINDOW} pixels; the pictures have "
            f"{width} x {height}. Measure larger ones."
        )
    x, y = (picture.double().movedim(-1, 1) for picture in (a, b))

    def blurred(values: Tensor) -> Tensor:
        places = torch.arange(WINDOW, dtype=values.dtype, device=values.device) - WINDOW // 2
        row = torch.exp(-(places**2) / (2 * SPREAD**2))
        row = (row / row.sum()).expand(values.shape[1], 1, 1, -1)
        channels = values.shape[1]
        return F.conv2d(F.conv2d(values, row, groups=channels), row.mT, groups=channels)

    mean_x, mean_y = blurred(x), blurred(y)
    spread_x = blurred(x * x) - mean_x**2
    spread_y = blurred(y * y) - mean_y**2
    shared = blurred(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    values = (2 * mean_x * mean_y + c1) * (2 * shared + c2)
    values = values / ((mean_x**2 + mean_y**2 + c1) * (spread_x + spread_y + c2))
    return values.mean((1, 2, 3)).float()


def _mean(values: Tensor, where: Tensor | None) -> Tensor:
    """The mean over the pixels that count; NaN for a picture of which none does."""
    if where is None:
        return values.mean((1, 2, 3))
    if where.shape != values.shape[:3]:
        raise ValueError(
            f"the mask has the shape {list(where.shape)}, the pictures {list(values.shape)}: "
            "a mask has one value for each pixel"
        )
    weights = where.to(values).unsqueeze(-1)
    return (values * weights).sum((1, 2, 3)) / (weights.sum((1, 2, 3)) * values.shape[-1])


def _check(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ValueError(
            f"the pictures have the shapes {list(a.shape)} and {list(b.shape)}; "
            "bring them to one size first"
        )
