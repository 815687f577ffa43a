"""From the edited working image back to the original picture: its size, framing and pixels.

Pictures are [batch, height, width, channels] with values 0..1, masks [batch, height, width] with 1
where the picture may change.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .frame import Frame, as_rgb, resize_mask, to_original
from .masks import feather_inward


def restore(
    image: Tensor,
    frame: Frame,
    mask: Tensor | None = None,
    feather: int = 0,
    match_color: bool = False,
) -> Tensor:
    """Bring an edited working image back to the original's size and framing.

    image        the decoded edit, [B, h, w, 3]; several edits of one original are fine
    mask         [1 or B, H, W] of any size; outside it (value 0) the result is the original, bit
                 for bit. None: the frame's own; where it has none, all that the frame shows is the
                 edit. What the frame does not show is the original in any case.
    feather      width in pixels of the transition, inside the mask or what the frame shows
    match_color  give the edit the original's mean and contrast per channel, see `match_mean_std`,
                 measured on what the frame shows outside the mask

    Returns [B, H, W, 3], or 4 channels with the original's alpha. A grey original (one channel)
    becomes RGB, as an edit may color it.
    """
    original, part = frame.original, frame.part
    batch = image.shape[0]
    if original.shape[0] not in (1, batch):
        raise ValueError(
            f"image holds {batch} pictures and the frame {original.shape[0]}: give one edit for "
            "each picture, or any number of edits of one picture. To keep some of a batch, pick "
            "them behind IP2PRestore, with ImageFromBatch."
        )
    if mask is None:
        mask = frame.mask
    edited = to_original(as_rgb(image), frame).to(original)
    rgb = as_rgb(original).expand(batch, -1, -1, -1)
    if mask is not None:
        mask = resize_mask(mask.to(original), original.shape[2], original.shape[1])
    if match_color:
        keep = torch.zeros(original.shape[1:3])[None] if mask is None else mask
        unedited = (keep == 0)[part].expand(batch, -1, -1)
        edited = match_mean_std(edited, rgb[part], unedited)
    if frame.box is not None:
        whole = torch.zeros_like(rgb[:1, ..., 0]) if mask is None else torch.zeros_like(mask)
        whole[part] = 1 if mask is None else mask[part]
        mask = whole
    if mask is not None:
        # lerp is exact at both ends: 0 gives the original's bits, 1 the edit's.
        weight = feather_inward(mask, feather)[part][..., None]
        edited = torch.lerp(rgb[part], edited, weight)
    if frame.box is not None:
        rgb = rgb.clone()
        rgb[part] = edited
        edited = rgb
    if original.shape[-1] == 4:
        edited = torch.cat((edited, original[..., 3:].expand(batch, -1, -1, -1)), -1)
    return edited


def match_mean_std(edited: Tensor, original: Tensor, unedited: Tensor) -> Tensor:
    """Undo a drift of colors: (edited - mean_e) / std_e * std_o + mean_o for each channel.

    unedited  bool [B, H, W]: where the statistics are taken, as there the two should agree; the
              whole picture where it is empty

    A contrast of less than 5 of 255 grey levels says nothing (a plain backdrop): then only the mean
    is matched. The result is limited to 0..1.
    """
    matched = []
    for picture, reference, region in zip(edited, original, unedited, strict=True):
        where = region if region.any() else torch.ones_like(region)
        std_e, mean_e = torch.std_mean(picture[where], 0, correction=0)
        std_o, mean_o = torch.std_mean(reference[where], 0, correction=0)
        gain = torch.where(torch.minimum(std_e, std_o) < 5 / 255, 1.0, std_o / std_e)
        matched.append(((picture - mean_e) * gain + mean_o).clamp(0, 1))
    return torch.stack(matched)
