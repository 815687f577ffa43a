"""The frame: where the working image that the model sees lies in the original picture.

A model of InstructPix2Pix wants sides of a certain size and multiple; people have pictures of any
size. `fit_training_size` and `fit_keep_size` decide how a picture goes into a working image without
cropping it, `fit_around_mask` how the part of it that is to change does; `to_working` makes that
image, and `to_original` brings the edited one back. Pictures are [batch, height, width, channels]
with values 0..1, masks [batch, height, width] with 1 where the picture may change.
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

    original                  the pixels as they came, [B, H, W, 1, 3 or 4]; not a copy; or one
                              picture, [1, H, W, C], that several edits are made of
    width, height             size of the picture in the working image
    left, top, right, bottom  padding around it
    box                       left, top, right and bottom edge of the part of the original that the
                              working image shows; None shows all of it
    mask                      where the original may change, [1 or B, H, W]; None: everywhere
    latents                   the working image as it was encoded, [B, C, h, w]; None: not encoded
    """

    original: Tensor
    width: int
    height: int
    left: int
    top: int
    right: int
    bottom: int
    box: tuple[int, int, int, int] | None = None
    mask: Tensor | None = None
    latents: Tensor | None = None

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


def frame_of(latents: Tensor, frame: Frame | None) -> Frame:
    """The frame of each picture in a batch of latents [B, C, h, w], in their order.

    frame  of the pictures that were encoded; the latents may be any of theirs, in any order and as
           often as one likes, but as they were encoded. None: the latents have no known original,
           and get a grey one of the size that they are decoded to.

    A latent is told by its values. Its number (`batch_index`) counts noises, and a repeated latent
    gets a new one. ValueError where a latent is none of the frame's.
    """
    height, width = (CELL * side for side in latents.shape[-2:])
    if frame is None:
        grey = torch.full((1, 1, 1, 1), 0.5).expand(len(latents), height, width, 3)
        return Frame(grey, width, height, 0, 0, 0, 0, latents=latents)
    advice = (
        "Connect the source and the frame of one and the same IP2PEncodeSource. Its latents may be "
        "picked, repeated and joined, but not changed. Or leave frame unconnected: then the mask "
        "is as large as the picture that the latent is decoded to."
    )
    if (width, height) != (frame.working_width, frame.working_height):
        raise ValueError(
            f"frame: it belongs to a working picture of {frame.working_width} x "
            f"{frame.working_height}, and the source is a latent of {width} x {height} pixels, "
            f"cropped, resized or of another picture. {advice}"
        )
    encoded = () if frame.latents is None else frame.latents.to(latents)
    rows = []
    for number, latent in enumerate(latents, start=1):
        same = (row for row, known in enumerate(encoded) if torch.equal(known, latent))
        rows.append(next(same, -1))
        if rows[-1] < 0:
            raise ValueError(
                f"frame: picture {number} of the {len(latents)} in source is none of the "
                f"{len(encoded)} that were encoded with this frame. {advice}"
            )
    original, mask = frame.original, frame.mask
    if len(original) > 1:
        original = original[rows]
    if mask is not None and len(mask) > 1:
        mask = mask[rows]
    return replace(frame, original=original, mask=mask, latents=latents)


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


def as_rgb(image: Tensor) -> Tensor:
    """The colors of an RGB, RGBA (as they are under the alpha) or grey picture: [B, H, W, 3]."""
    return image[..., :3] if image.shape[-1] > 1 else image.expand(-1, -1, -1, 3)


def as_pil(image: Tensor) -> Image.Image:
    """A picture [H, W, 3] in 0..1 for drawing."""
    return Image.fromarray((255 * image.float().clamp(0, 1)).round().byte().cpu().numpy())
