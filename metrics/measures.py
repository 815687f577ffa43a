"""The named measures of each protocol, and what one sample gets from them.

A measure is one line of a table: a name, what it needs, and the function of the opened sample. What
a sample does not have leaves its cell empty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .encoders import Clip, Dino, cropped, squashed
from .pixels import l1, l2, psnr, ssim
from .samples import Sample
from .similarity import ClipScores, clip_scores, cosine, structure_distance

PIE_SIDE = 512  # of PIE-Bench's pictures and masks


@dataclass(frozen=True)
class Encoders:
    """What the user gave: None where a measure must do without."""

    clip: Clip | None = None
    dino: Dino | None = None


class Opened:
    """A sample with its pictures [1, H, W, 3] in 0..1, each read and embedded once.

    The results are resized to the picture that they are compared with.
    """

    def __init__(self, sample: Sample, encoders: Encoders) -> None:
        self.sample, self.encoders = sample, encoders

    @cached_property
    def result(self) -> Tensor:
        return to_tensor(open_picture(self.sample.result))

    @cached_property
    def source(self) -> Tensor:
        assert self.sample.source is not None
        return to_tensor(open_picture(self.sample.source))

    @cached_property
    def truth(self) -> Tensor:
        assert self.sample.truth is not None
        return to_tensor(open_picture(self.sample.truth))

    def result_like(self, other: Tensor) -> Tensor:
        """The result at the size of another picture (Pillow's default, bicubic)."""
        if self.result.shape == other.shape:
            return self.result
        height, width = other.shape[1:3]
        return to_tensor(open_picture(self.sample.result).resize((width, height)))

    @cached_property
    def outside(self) -> Tensor:
        """1 where the edit may not change anything, [1, H, W] of the source."""
        mask, (height, width) = self.sample.mask, self.source.shape[1:3]
        assert mask is not None
        if isinstance(mask, tuple):
            inside = from_run_lengths(mask, PIE_SIDE, PIE_SIDE)
        else:
            inside = torch.from_numpy(np.asarray(open_picture(mask).convert("L")) > 127)
        inside = inside.float()[None, None]
        resized = torch.nn.functional.interpolate(inside, (height, width), mode="nearest")
        return 1 - resized[:, 0]

    def clip_scores(self, official: bool = False) -> ClipScores:
        """The authors' four similarities of source and result.

        official  as their metrics/compute_metrics.py: the pictures go in as -1..1, for which CLIP
                  was not made. Else as their filter does: 0..1
        """
        clip = self.encoders.clip
        assert clip is not None

        def embedded(pictures: Tensor) -> Tensor:
            pixels = squashed(pictures, clip.side)
            return clip.embed_images(2 * pixels - 1 if official else pixels)

        texts = clip.embed_texts([self.sample.caption, self.sample.edited_caption])
        return clip_scores(embedded(self.source), embedded(self.result), texts[:1], texts[1:])

    @cached_property
    def corrected(self) -> ClipScores:
        return self.clip_scores()

    @cached_property
    def official(self) -> ClipScores:
        return self.clip_scores(official=True)

    def clip_cosine(self, other: Tensor) -> Tensor:
        """The result beside another picture, both cropped as CLIP's own transform does."""
        return cosine(self.clip_cropped(self.result), self.clip_cropped(other))

    def clip_caption(self, picture: Tensor, caption: str) -> Tensor:
        assert self.encoders.clip is not None
        return cosine(self.clip_cropped(picture), self.encoders.clip.embed_texts([caption]))

    def clip_cropped(self, picture: Tensor) -> Tensor:
        clip = self.encoders.clip
        assert clip is not None
        return clip.embed_images(cropped(picture, clip.side))

    def dino_cosine(self, other: Tensor) -> Tensor:
        dino = self.encoders.dino
        assert dino is not None
        return cosine(dino.embed_images(self.result), dino.embed_images(other))

    def structure(self, official: bool = False) -> Tensor:
        """See `structure_distance`. PIE-Bench's own program gives DINO the pictures as 0..255."""
        dino = self.encoders.dino
        assert dino is not None
        pictures = (self.source, self.result_like(self.source))
        return structure_distance(*(dino.keys(255 * p if official else p) for p in pictures))


@dataclass(frozen=True)
class Measure:
    """One column. `needs` are fields of Sample and Encoders that must be there."""

    name: str
    needs: tuple[str, ...]
    value: Callable[[Opened], Tensor]


def has(sample: Sample, encoders: Encoders, measure: Measure) -> bool:
    return all(
        getattr(sample, need, None) or getattr(encoders, need, None) for need in measure.needs
    )


FIGURE_8 = ("source", "caption", "edited_caption", "clip")
GENERAL = (
    Measure("L1 to source", ("source",), lambda o: l1(o.result_like(o.source), o.source)),
    Measure("L2 to source", ("source",), lambda o: l2(o.result_like(o.source), o.source)),
    Measure("PSNR to source", ("source",), lambda o: psnr(o.result_like(o.source), o.source)),
    Measure("SSIM to source", ("source",), lambda o: ssim(o.result_like(o.source), o.source)),
    Measure(
        "L1 outside",
        ("source", "mask"),
        lambda o: l1(o.result_like(o.source), o.source, o.outside),
    ),
    Measure(
        "PSNR outside",
        ("source", "mask"),
        lambda o: psnr(o.result_like(o.source), o.source, o.outside),
    ),
    Measure("L1 to truth", ("truth",), lambda o: l1(o.result_like(o.truth), o.truth)),
    Measure("PSNR to truth", ("truth",), lambda o: psnr(o.result_like(o.truth), o.truth)),
    Measure("SSIM to truth", ("truth",), lambda o: ssim(o.result_like(o.truth), o.truth)),
    Measure("CLIP image", FIGURE_8, lambda o: o.corrected.image),
    Measure("CLIP direction", FIGURE_8, lambda o: o.corrected.direction),
    Measure("CLIP before", FIGURE_8, lambda o: o.corrected.before),
    Measure("CLIP after", FIGURE_8, lambda o: o.corrected.after),
    Measure("direction undefined", FIGURE_8, lambda o: o.corrected.undefined.float()),
    Measure("CLIP image, official", FIGURE_8, lambda o: o.official.image),
    Measure("CLIP direction, official", FIGURE_8, lambda o: o.official.direction),
    Measure("DINO to source", ("source", "dino"), lambda o: o.dino_cosine(o.source)),
)
MAGICBRUSH = (
    Measure("L1", ("truth",), lambda o: l1(o.result_like(o.truth), o.truth)),
    Measure("L2", ("truth",), lambda o: l2(o.result_like(o.truth), o.truth)),
    Measure("CLIP-I", ("truth", "clip"), lambda o: o.clip_cosine(o.truth)),
    Measure("DINO", ("truth", "dino"), lambda o: o.dino_cosine(o.truth)),
    Measure(
        "CLIP-T",
        ("edited_caption", "clip"),
        lambda o: o.clip_caption(o.result, o.sample.edited_caption),
    ),
)
EMU = (
    Measure("CLIPdir", FIGURE_8, lambda o: o.corrected.direction),
    Measure("CLIPim", ("source", "clip"), lambda o: o.clip_cosine(o.source)),
    Measure(
        "CLIPout",
        ("edited_caption", "clip"),
        lambda o: o.clip_caption(o.result, o.sample.edited_caption),
    ),
    Measure("L1", ("source",), lambda o: l1(o.result_like(o.source), o.source)),
    Measure("DINO", ("source", "dino"), lambda o: o.dino_cosine(o.source)),
)


def masked_pair(o: Opened) -> tuple[Tensor, Tensor]:
    """PIE-Bench compares both pictures with the region of the edit painted black."""
    outside = o.outside.unsqueeze(-1)
    return o.result_like(o.source) * outside, o.source * outside


PIE = (
    Measure("structure distance", ("source", "dino"), lambda o: o.structure()),
    Measure("structure distance, official", ("source", "dino"), lambda o: o.structure(True)),
    Measure("PSNR outside", ("source", "mask"), lambda o: psnr(*masked_pair(o))),
    Measure("MSE outside", ("source", "mask"), lambda o: l2(*masked_pair(o))),
    Measure("SSIM outside", ("source", "mask"), lambda o: ssim(*masked_pair(o))),
    Measure(
        "CLIP whole",
        ("edited_caption", "clip"),
        lambda o: 100 * o.clip_caption(o.result, o.sample.edited_caption),
    ),
    Measure(
        "CLIP edited",
        ("source", "mask", "edited_caption", "clip"),
        lambda o: (
            100
            * o.clip_caption(
                o.result_like(o.source) * (1 - o.outside).unsqueeze(-1), o.sample.edited_caption
            )
        ),
    ),
)
PROTOCOLS = {"table": GENERAL, "magicbrush": MAGICBRUSH, "emu": EMU, "pie": PIE}


def measured(
    sample: Sample, encoders: Encoders, measures: tuple[Measure, ...]
) -> dict[str, float | None]:
    """Every measure of a sample; None where the sample or an encoder lacks what it needs.

    Raises ValueError that names the sample where a file cannot be read.
    """
    opened = Opened(sample, encoders)
    try:
        return {
            measure.name: float(measure.value(opened)) if has(sample, encoders, measure) else None
            for measure in measures
        }
    except ValueError as error:
        raise ValueError(f"{sample.name}: {error}") from error


def from_run_lengths(runs: tuple[int, ...], height: int, width: int) -> Tensor:
    """A mask of PIE-Bench [H, W]: pairs of the first place and the count; True may change.

    Its own program sets the border too, against errors of the annotation there.
    """
    mask = torch.zeros(height * width, dtype=torch.bool)
    for first, count in zip(runs[::2], runs[1::2], strict=False):
        mask[first : first + count] = True
    mask = mask.view(height, width)
    mask[[0, -1]] = True
    mask[:, [0, -1]] = True
    return mask


def open_picture(path: Path) -> Image.Image:
    try:
        with Image.open(path) as opened:
            return ImageOps.exif_transpose(opened).convert("RGB")
    except Exception as error:  # Pillow raises nearly anything on a broken file
        raise ValueError(f"{path} is not a picture that can be read ({error})") from None


def to_tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).float()[None] / 255
