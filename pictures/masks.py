"""Masks and maps of a picture: their edges moved, made soft, and drawn to those of the picture.

Masks and maps are [batch, height, width] with values 0..1, pictures [batch, channels, height,
width] with values 0..1.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# One and a half latent cells: as far as a map in latent cells may miss an edge of the picture.
RADIUS = 12


def feather_inward(mask: Tensor, feather: int) -> Tensor:
    """Let a mask [B, H, W] rise from its edge to its full value within `feather` pixels inside it.

    Nothing grows outward: what was 0 stays 0. The distance is Euclidean, to the nearest pixel that
    is 0; the border of the picture is not an edge. Where the mask is narrower than twice the
    feather, it does not reach its full value.
    """
    if feather == 0:
        return mask
    return torch.stack([picture * _ramp(picture > 0, feather).to(picture) for picture in mask])


def _ramp(inside: Tensor, feather: int) -> Tensor:
    """min(1, distance to the outside / (feather + 1)) for a bool mask [H, W], on the CPU."""
    ramp = torch.zeros(inside.shape)
    if not inside.any():
        return ramp
    # Only the mask's surroundings matter, with one pixel of outside around them.
    ys, xs = inside.any(1).nonzero().squeeze(1), inside.any(0).nonzero().squeeze(1)
    part = (
        slice(max(0, int(ys[0]) - 1), int(ys[-1]) + 2),
        slice(max(0, int(xs[0]) - 1), int(xs[-1]) + 2),
    )
    solid = inside[part].cpu().numpy()
    limit = feather + 1
    # Distance within the column to the nearest outside, from above and from below.
    rows = np.arange(len(solid), dtype=np.int32)[:, None]
    above = np.maximum.accumulate(np.where(solid, -limit, rows), 0)
    below = np.minimum.accumulate(np.where(solid, len(solid) + limit, rows)[::-1], 0)[::-1]
    column = np.minimum(np.minimum(rows - above, below - rows), limit)
    # d(x)^2 = min over dx of dx^2 + column(x + dx)^2, the separable Euclidean distance transform
    column = np.square(column.astype(np.float32))
    squared = column.copy()
    for dx in range(1, min(limit, column.shape[1])):
        np.minimum(squared[:, dx:], column[:, :-dx] + dx * dx, out=squared[:, dx:])
        np.minimum(squared[:, :-dx], column[:, dx:] + dx * dx, out=squared[:, :-dx])
    ramp[part] = torch.from_numpy(np.sqrt(squared, out=squared)).div_(limit)
    return ramp


def otsu_threshold(heat: Tensor) -> float:
    """The value that splits one map's values into two groups as far apart as can be.

    Otsu, "A Threshold Selection Method from Gray-Level Histograms", 1979: the split of the largest
    variance between the groups, in 256 levels from 0 to 1.
    """
    levels = (torch.arange(256, dtype=torch.float64, device="cpu") + 0.5) / 256
    counts = torch.histc(heat.float().cpu(), 256, 0, 1).double()
    below = counts.cumsum(0)[:-1]
    above = counts.sum() - below
    moment = (counts * levels).cumsum(0)
    between = (moment[:-1] * counts.sum() - below * moment[-1]) ** 2 / (below * above).clamp(min=1)
    return (int(between.argmax()) + 1) / 256


def drawn_to_edges(
    heat: Tensor, picture: Tensor, radius: int = RADIUS, eps: float = 1e-3
) -> Tensor:
    """A soft map [B, H, W] as one whose edges are those of the picture.

    picture  colors [B, 3, H, W], values 0..1
    radius   pixels around each over which the map is taken for a linear function of the colors
    eps      variance of color below which an edge does not count

    He, Sun, Tang, "Guided Image Filtering", 2013, section 3.4 (color guide).
    """
    fine = heat[:, None]
    mean_i, mean_p = box_mean(picture, radius), box_mean(fine, radius)
    covariance = box_mean(picture * fine, radius) - mean_i * mean_p
    products = (picture[:, :, None] * picture[:, None]).flatten(1, 2)
    spread = box_mean(products, radius).unflatten(1, (3, 3)) - mean_i[:, :, None] * mean_i[:, None]
    spread = spread.movedim((1, 2), (-2, -1)) + eps * torch.eye(3, device=picture.device)
    slope = torch.linalg.solve(spread, covariance.movedim(1, -1)[..., None])[..., 0].movedim(-1, 1)
    offset = mean_p - (slope * mean_i).sum(1, keepdim=True)
    drawn = (box_mean(slope, radius) * picture).sum(1) + box_mean(offset, radius)[:, 0]
    return drawn.clamp(0, 1)


def box_mean(values: Tensor, radius: int) -> Tensor:
    """The mean over the square of 2 * radius + 1 pixels around each, within the picture."""
    for axis in (-2, -1):
        values = values.transpose(axis, -1)
        width = values.shape[-1]
        total = torch.nn.functional.pad(values.double().cumsum(-1), (1, 0))
        place = torch.arange(width, device=values.device)
        first, last = (place - radius).clamp(min=0), (place + radius + 1).clamp(max=width)
        mean = (total[..., last] - total[..., first]) / (last - first)
        values = mean.to(values.dtype).transpose(axis, -1)
    return values


def grown(mask: Tensor, grow: int) -> Tensor:
    """The mask [B, H, W] larger by `grow` pixels on every side, or smaller where it is negative."""
    reach, side = abs(grow), 2 * abs(grow) + 1
    out = mask[:, None] if grow > 0 else -mask[:, None]
    # Two passes of one axis each cost 2 * side and not side * side.
    out = torch.nn.functional.max_pool2d(out, (side, 1), 1, (reach, 0))
    out = torch.nn.functional.max_pool2d(out, (1, side), 1, (0, reach))
    return out[:, 0] if grow > 0 else -out[:, 0]


def blurred(mask: Tensor, blur: int) -> Tensor:
    """The mask [B, H, W] with its edge made soft over `blur` pixels to either side."""
    if blur == 0:
        return mask
    # Three box filters in a row are a Gaussian to the eye, and reach as far as their radii add up.
    out = mask[:, None]
    for radius in (blur // 3, (blur + 1) // 3, (blur + 2) // 3):
        out = box_mean(out, radius)
    return out[:, 0].clamp(0, 1)
