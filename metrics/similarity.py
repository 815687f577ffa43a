"""Cosines between the embeddings of pictures and captions (Brooks et al. 2023, section 3.1).

Embeddings are [B, D]; they need not be normalised. Cosines are [B], -1..1, and never NaN: where a
direction is of length zero the cosine is 0/0, and counts as 0.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# The length of a difference of two unit vectors below which it is rounding, not a direction.
SHORTEST = 1e-5


class ClipScores(NamedTuple):
    """How well a pair fits its captions; [B] each.

    image      cosine of both pictures: what stayed
    direction  cosine of the change of the pictures and the change of the captions
    before     cosine of the first picture and its caption
    after      cosine of the second picture and its caption
    undefined  True where nothing changed in the pictures or in the captions: direction is 0 there
    """

    image: Tensor
    direction: Tensor
    before: Tensor
    after: Tensor
    undefined: Tensor


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """The cosine of the angle between the rows of two matrices; 0 where a row is zero."""
    return (_unit(a) * _unit(b)).sum(-1)


def clip_scores(image0: Tensor, image1: Tensor, text0: Tensor, text1: Tensor) -> ClipScores:
    """The four similarities by which the authors filter and measure.

    image0, image1  embeddings of the picture before and after
    text0, text1    embeddings of the captions before and after
    """
    f0, f1, g0, g1 = (_unit(values) for values in (image0, image1, text0, text1))
    change, wording = f1 - f0, g1 - g0
    undefined = (change.norm(dim=-1) < SHORTEST) | (wording.norm(dim=-1) < SHORTEST)
    direction = torch.where(undefined, 0.0, cosine(change, wording))
    return ClipScores(cosine(f0, f1), direction, cosine(f0, g0), cosine(f1, g1), undefined)


def structure_distance(keys0: Tensor, keys1: Tensor) -> Tensor:
    """How differently two pictures are built (Tumanyan et al. 2022, Splice ViT); [B], 0 or more.

    keys0, keys1  the keys [B, N, D] of the last layer of a DINO at its N places

    The mean squared difference of the cosines between the places of one picture and of the other.
    """

    def self_similarity(keys: Tensor) -> Tensor:
        return _unit(keys) @ _unit(keys).mT

    return ((self_similarity(keys0) - self_similarity(keys1)) ** 2).mean((1, 2))


def _unit(values: Tensor) -> Tensor:
    return F.normalize(values.double(), dim=-1)
