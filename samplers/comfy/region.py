"""The region of an edit: where an instruction would change a picture, found by the model itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..relevance import is_global, located, normalized
from .probe import probe

# How a region is looked for where nothing else is asked for, and where it ends in its map.
NOISE_LEVEL, DRAWS, THRESHOLD = 0.8, 4, 0.5
METHODS = ["relevance", "attention"]


@dataclass(frozen=True)
class Region:
    """Where an edit acts, in latent cells.

    heat   how much each place answers, [B, h, w] in 0..1
    whole  whether the edit changes the whole picture, for each one; then `heat` has no edge
    """

    heat: Tensor
    whole: list[bool]


def find_region(
    model: Any,
    instruction: Any,
    negative: Any,
    source: dict[str, Any],
    seed: int,
    method: str = METHODS[0],
    noise_level: float = NOISE_LEVEL,
    draws: int = DRAWS,
) -> Region:
    """Where `instruction` would change `source`, see `located`; for `draws` see `probe`.

    method  `relevance`: where it moves the prediction and is read; `attention`: where it is read

    Raises ValueError as `probe` does, and where `attention` finds nothing to read.
    """
    found = probe(model, instruction, negative, source, seed, noise_level, draws)
    whole = is_global(found.relevance, found.attention)
    if method == "relevance":
        return Region(located(found.relevance, found.attention), whole)
    if found.attention is not None:
        return Region(normalized(found.attention), whole)
    raise ValueError(
        "method: this model has no cross-attention of a size to read the instruction from. "
        "Choose 'relevance'."
    )
