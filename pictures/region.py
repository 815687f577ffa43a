"""From a map of where an instruction acts, in latent cells, to a mask of the original picture."""

from __future__ import annotations

import torch
from torch import Tensor

from .frame import Frame, as_rgb, to_original, to_working
from .masks import blurred, drawn_to_edges, grown, otsu_threshold


def draw_region(
    heat: Tensor, whole: list[bool], frame: Frame, threshold: float, grow: int, blur: int
) -> tuple[Tensor, Tensor]:
    """The map and the mask of each picture, both [B, H, W] of the original's size.

    heat       [B, h, w] in latent cells, 0..1
    whole      whether the edit changes all of the picture; then the mask is white
    frame      of the same pictures; outside of what it shows, map and mask are 0, and outside of
               its own mask the mask is
    threshold  where the mask ends in the map, 0..1; 0 finds a value by itself, see `otsu_threshold`
    grow       pixels of the original by which the mask is enlarged, or made smaller
    blur       pixels of the original over which its edge is made soft

    ValueError where nothing is left of a mask.
    """
    fine = fine_heat(heat, frame, whole)
    masks = [
        torch.ones_like(one) if everywhere else cut_out(one, threshold, grow, blur)
        for one, everywhere in zip(fine, whole, strict=True)
    ]
    shown = torch.zeros(len(fine), *frame.original.shape[1:3])
    mask = shown.clone()
    shown[frame.part], mask[frame.part] = fine, torch.stack(masks)
    return shown, mask if frame.mask is None else mask * frame.mask.to(mask)


def fine_heat(heat: Tensor, frame: Frame, whole: list[bool]) -> Tensor:
    """Maps in latent cells [B, h, w], 0..1, as maps of what the frame shows of the original.

    Drawn to the picture's edges, unless `whole` says that the edit has none.
    """
    size = frame.working_height, frame.working_width
    coarse = torch.nn.functional.interpolate(heat[:, None], size, mode="bilinear")[:, 0]
    picture = to_working(as_rgb(frame.original), frame).float().cpu().movedim(-1, 1)
    # A batch of one picture and several instructions.
    picture = picture.expand(len(heat), -1, -1, -1)
    drawn = drawn_to_edges(coarse, picture)
    drawn = drawn / drawn.amax((1, 2), keepdim=True).clamp(min=1e-6)
    kept = torch.tensor(whole)[:, None, None]
    return to_original(torch.where(kept, coarse, drawn)[..., None], frame)[..., 0]


def cut_out(heat: Tensor, threshold: float, grow: int, blur: int) -> Tensor:
    """The mask [H, W] of one fine map; ValueError where nothing is left of it."""
    mask = (heat >= (threshold or otsu_threshold(heat))).float()[None]
    mask = blurred(grown(mask, grow), blur)[0]
    if not mask.any():
        raise ValueError(
            f"threshold: nothing is left of the mask at threshold {threshold:g} and grow {grow}. "
            "Lower the threshold, or set it to 0, which finds one by itself; do not shrink so far."
        )
    return mask


def over_picture(heat: Tensor, original: Tensor) -> Tensor:
    """The map [B, H, W] in the colors blue, green, yellow, red over the picture in grey."""
    grey = as_rgb(original).float().cpu().mean(-1, keepdim=True)
    centres = torch.tensor([0.75, 0.5, 0.25])
    colors = (1.5 - (4 * (heat[..., None] - centres)).abs()).clamp(0, 1)
    return (grey + colors) / 2
