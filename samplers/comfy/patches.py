"""Patches on a model that would edit wrongly without a word."""

from __future__ import annotations

import logging
from typing import Any

FIRST_LAYER = "diffusion_model.input_blocks.0.0.weight"


def check_first_layer(model: Any) -> None:
    """Raise ValueError where a merge with a 4-channel model has spoilt the first layer.

    Core's merge nodes mix weights of one shape. The first layer of an editor has 8 input channels,
    that of an ordinary model 4: core leaves out the other model's part and keeps the editor's
    share alone, so ModelMergeSimple at ratio 0.7 leaves 0.7 times the first layer. Where the share
    is 1 (ModelMergeAdd) only the other model's part is missing; the log says so.
    """
    for _, value, kept, *_ in model.patches.get(FIRST_LAYER, ()):
        if not isinstance(value, list):
            continue  # a LoRA or a difference, which does not scale the weight
        other = value[0][0].shape
        if other == _first_layer(model).shape:
            continue
        if abs(kept - 1) > 1e-6:
            raise ValueError(
                f"model: a merge node mixed in a model with {other[1]} input channels and left "
                f"{kept:g} times the first layer of this editor, which spoils its pictures. Merge "
                "with IP2PMergeCheckpoint, which knows the 8 channels of an editor."
            )
        logging.warning(
            "model: a merge with a model of %d input channels left the first layer as it was. "
            "IP2PMergeCheckpoint merges it too.",
            other[1],
        )


def _first_layer(model: Any) -> Any:
    return model.model.diffusion_model.input_blocks[0][0].weight
