"""The frame: where the working image that the model sees lies in the original picture.

A model of InstructPix2Pix wants sides of a certain size and multiple; people have pictures of any
size. `fit_training_size` and `fit_keep_size` decide how a picture goes into a working image without
cropping it, `fit_around_mask` how the part of it that is to change does; `to_working` makes that
image, and `restore` brings the edited one back to the size and framing of the original. Pictures
are [batch, height, width, channels] with values 0..1, masks [batch, height, width] with 1 where the
picture may change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

# Both are antialiased when they reduce. Masks take the one that does not overshoot.
LANCZOS = Image.Resampling.LANCZOS
BILINEAR = Image.Resampling.BILINEAR

# Latents are made of 8 x 8 pixels.
CELL = 8


@dataclass(frozen=True)
class Frame:
    """The original picture and the place of its resized self in the working image, in pixels.

    original                  the pixels as they came, [B, H, W, 1, 3 or 4]; not a copy
    width, height             size of the picture in the working image
    left, top, right, bottom  padding around it
    box                       left, top, right and bottom edge of the part of the original that the
                              working image shows; None shows all of it
    """

    original: Tensor
    width: int
    height: int
    left: int
    top: int
    right: int
    bottom: int
    box: tuple[int, int, int, int] | None = None

    @property
    def part(self) -> tuple[slice, slice, slice]:
        """Picks what the working image shows from [B, H, W, ...] of the original's size."""
        height, width = self.original.shape[1:3]
        left, top, right, bottom = self.box or (0, 0, width, height)
        return slice(None), slice(top, bottom), slice(left, right)

    @property
    def working_width(self) -> int:
        return self.left + self.width + self.right

    @property
    def working_height(self) -> int:
        return self.top + self.height + self.bottom


def training_size(width: int, height: int, resolution: int) -> tuple[int, int]:
    """Sides of the working image for a picture of width x height, by the paper's authors' rule.

    Their rule (edit_cli.py, resolution 512, block 64): scale the picture so that its long side is
    `resolution`, round the short side up to whole blocks, scale the long side by as much as that
    scaled the short one, and round it down to whole blocks. So the long side may exceed
    `resolution`.

    Three things differ. The block is an eighth of the resolution (at least 8, at most 64 pixels),
    so that models for other sizes get the same shapes. The arithmetic is in whole numbers: the
    authors' floats lose a block where a side should come out exact (206 x 480: 192 x 576, here
    256 x 576). And the long side is at most 8 times the resolution: theirs grows without bound for
    very long pictures.
    """
    block = min(64, max(CELL, resolution // 64 * CELL))
    short, long = sorted((width, height))
    # ceil(short * resolution / long / block) blocks
    working_short = -(-short * resolution // (long * block)) * block
    working_long = long * working_short // (short * block) * block
    working_long = min(working_long, 8 * resolution // block * block)
    return (working_long, working_short) if width > height else (working_short, working_long)


def fit_training_size(original: Tensor, resolution: int) -> Frame:
    """The picture as large as fits into its `training_size`, the rest padded on both sides alike.

    The aspect is kept: one side is exact, the other is off by less than a pixel.
    """
    if resolution < 64:
        raise ValueError(f"resolution must be at least 64, got {resolution}.")
    height, width = original.shape[1:3]
    working_width, working_height = training_size(width, height, resolution)
    if working_width * height <= working_height * width:
        inner = working_width, max(1, round(height * working_width / width))
    else:
        inner = max(1, round(width * working_height / height)), working_height
    return _centred(original, inner, (working_width, working_height))


def fit_keep_size(original: Tensor) -> Frame:
    """The picture in its own size, padded on both sides alike to whole latent cells."""
    height, width = original.shape[1:3]
    working = -(-width // CELL) * CELL, -(-height // CELL) * CELL
    return _centred(original, (width, height), working)


def fit_around_mask(original: Tensor, mask: Tensor, margin: int, resolution: int) -> Frame:
    """The surroundings of a mask as large as fit into their `training_size`.

    mask    [1 or B, H, W] of the original's size; the masks of a batch share one box
    margin  pixels of the original that are shown around everything above 0

    The shorter side is lengthened as far as the picture goes, up to a square: more of the picture
    tells the model more. ValueError where the mask is black or a speck.
    """
    if margin < 0:
        raise ValueError(f"margin: must be 0 or more pixels, got {margin}.")
    touched = (mask > 0).any(0)
    edges = [_span(touched.any(axis)) for axis in (0, 1)]
    longest = max(end - start for start, end in edges)
    if longest < min(CELL, *touched.shape):
        found = f"is white in {longest} x {longest} pixels at most" if longest else "is all black"
        raise ValueError(
            f"mask: it {found}, so there is nothing to fit around. Paint white over what is to "
            "change, or choose another fit."
        )
    height, width = touched.shape
    (left, right), (top, bottom) = (
        (max(0, start - margin), min(size, end + margin))
        for (start, end), size in zip(edges, (width, height), strict=True)
    )
    side = max(right - left, bottom - top)
    left, right = _lengthened(left, right, side, width)
    top, bottom = _lengthened(top, bottom, side, height)
    frame = fit_training_size(original[:, top:bottom, left:right], resolution)
    return replace(frame, original=original, box=(left, top, right, bottom))


def _span(touched: Tensor) -> tuple[int, int]:
    """From the first to behind the last True of a line; (0, 0) where there is none."""
    places = touched.nonzero()
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)


def _lengthened(start: int, end: int, length: int, limit: int) -> tuple[int, int]:
    """A span of at least `length` about the same middle, moved and cut to lie within 0..limit."""
    start -= max(0, length - (end - start)) // 2
    start = max(0, min(start, limit - length))
    return start, min(limit, max(end, start + length))


def _centred(original: Tensor, inner: tuple[int, int], working: tuple[int, int]) -> Frame:
    (width, height), (spare_x, spare_y) = inner, (working[0] - inner[0], working[1] - inner[1])
    left, top = spare_x // 2, spare_y // 2
    return Frame(original, width, height, left, top, spare_x - left, spare_y - top)


def to_working(picture: Tensor, frame: Frame, method: Image.Resampling = LANCZOS) -> Tensor:
    """What the frame shows of a picture of the original's size, padded by reflection."""
    inner = resize(picture[frame.part], frame.width, frame.height, method)
    rows = _reflected(frame.height, frame.top, frame.bottom)
    columns = _reflected(frame.width, frame.left, frame.right)
    if len(rows) != frame.height:
        inner = inner[:, rows]
    if len(columns) != frame.width:
        inner = inner[:, :, columns]
    return inner


def _reflected(size: int, before: int, after: int) -> Tensor:
    """Indices that pad an axis by reflection about its end pixels, as often as is needed."""
    period = max(1, 2 * (size - 1))
    position = torch.arange(-before, size + after) % period
    return torch.minimum(position, period - position) if size > 1 else torch.zeros_like(position)


def to_original(image: Tensor, frame: Frame) -> Tensor:
    """Take the padding off a working image and resize the rest to its size in the original.

    The image may be larger or smaller than the working image (an upscaled latent): then the padding
    is scaled with it. Sides that were rounded to latent cells on the way are accepted. ValueError
    for an image of another shape.
    """
    height, width = image.shape[1:3]
    scale_x, scale_y = width / frame.working_width, height / frame.working_height
    rounding = CELL / 2 / frame.working_width + CELL / 2 / frame.working_height
    if scale_x != scale_y and abs(scale_x - scale_y) >= rounding:
        raise ValueError(
            f"image is {width} x {height}, which is another shape than the frame's working image "
            f"({frame.working_width} x {frame.working_height}). Plug in the decoded picture and "
            "the frame of one and the same IP2PEncodeSource; the picture may be upscaled, but not "
            "cropped or padded."
        )
    # Whole pixels are cut off before resizing, so that the padding has no part in the picture.
    x0 = frame.left * width / frame.working_width
    x1 = (frame.left + frame.width) * width / frame.working_width
    y0 = frame.top * height / frame.working_height
    y1 = (frame.top + frame.height) * height / frame.working_height
    x, y = int(x0), int(y0)
    inner = image[:, y : -int(-y1 // 1), x : -int(-x1 // 1)]
    part_height, part_width = frame.original[frame.part].shape[1:3]
    box = (x0 - x, y0 - y, min(x1 - x, inner.shape[2]), min(y1 - y, inner.shape[1]))
    return resize(inner, part_width, part_height, LANCZOS, box)


def resize(
    image: Tensor,
    width: int,
    height: int,
    method: Image.Resampling,
    box: tuple[float, float, float, float] | None = None,
) -> Tensor:
    """Resize [B, H, W, C] with Pillow's filters in 32-bit floats, values limited to 0..1.

    Pillow's own filters because they are the authors'; in floats because its 8-bit ones would round
    16-bit pictures. `box` (left, top, right, bottom) limits the part that is taken. What already
    has the size is returned as it is.
    """
    if (width, height) == (image.shape[2], image.shape[1]) and box in (None, (0, 0, width, height)):
        return image
    pixels = image.float().cpu().numpy()
    out = np.empty((len(pixels), height, width, pixels.shape[-1]), np.float32)
    for picture, channel in np.ndindex(len(pixels), pixels.shape[-1]):
        plane = Image.fromarray(pixels[picture, ..., channel])
        out[picture, ..., channel] = np.asarray(plane.resize((width, height), method, box))
    return torch.from_numpy(out.clip(0, 1, out=out)).to(image)


def resize_mask(mask: Tensor, width: int, height: int) -> Tensor:
    """Resize a mask [B, H, W]; what is far from an edge stays exactly 0 or 1."""
    return resize(mask[..., None], width, height, BILINEAR)[..., 0]


def latent_mask(mask: Tensor, frame: Frame, latent_size: Sequence[int]) -> Tensor:
    """The mask of the original picture as ComfyUI's noise_mask [B, 1, h, w] in latent cells.

    A cell takes the largest value of its pixels: sampling one of them, as ComfyUI does with masks
    of pixel size, would lose thin masks (glasses) or leave a rim of old content inside the mask.
    """
    working = to_working(mask[..., None], frame, BILINEAR).movedim(-1, 1)
    return torch.nn.functional.adaptive_max_pool2d(working, (latent_size[0], latent_size[1]))


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
                 for bit. None: all that the frame shows is the edit; what it does not show is the
                 original in any case.
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
            "each picture, or any number of edits of one picture."
        )
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


def as_rgb(image: Tensor) -> Tensor:
    """The colors of an RGB, RGBA (as they are under the alpha) or grey picture: [B, H, W, 3]."""
    return image[..., :3] if image.shape[-1] > 1 else image.expand(-1, -1, -1, 3)


def feather_inward(mask: Tensor, feather: int) -> Tensor:
    """Let a mask [B, H, W] rise from its edge to its full value within `feather` pixels inside it.

    Nothing grows outward: what was 0 stays 0. The distance is Euclidean, to the nearest pixel that
    is 0; the border of the picture is no edge. Where the mask is narrower than twice the feather,
    it does not reach its full value.
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
