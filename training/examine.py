"""The program behind `ip2p doctor CHECKPOINT`, in ComfyUI's Python; it prints JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from comfy.cli_args import args as comfyui

from ..pairs.layouts import read_pairs

if TYPE_CHECKING:
    from .branches import Branches, Condition

# Of the bundled pairs every third: drawings of all kinds.
PICTURES = Path(__file__).resolve().parents[1] / "pairs" / "example"
EVERY = 3
# Edits of a whole picture, whatever it shows.
INSTRUCTIONS = (
    "make it night",
    "turn it into a watercolor painting",
    "convert to black and white",
)
WRONG_INPUT = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint")
    parser.add_argument("--instruction", action="append")
    parser.add_argument("--cpu", action="store_true")
    given = parser.parse_args()
    comfyui.cpu = given.cpu
    try:
        print(json.dumps(asdict(examine(given.checkpoint, given.instruction or INSTRUCTIONS))))
    except ValueError as error:
        print(error)
        return WRONG_INPUT
    return 0


def examine(name: str, instructions: Sequence[str]) -> Branches:
    """Measure the checkpoint in a file or a folder, on bundled pictures at its training size."""
    # After the flag above is set, since these look for a device.
    from .base import load_base
    from .branches import measure_branches
    from .cache import Encoder, Texts
    from .network import trainable
    from .processes import Processes

    base = load_base(name)
    encoder, texts = Encoder(base.vae, base.resolution), Texts(base.clip)
    pictures = [encoder(pair, False).source for pair in read_pairs(PICTURES)[::EVERY]]
    net = trainable(base.model, Processes().device)

    def encoded(text: str) -> Condition:
        condition, pooled = texts[text]
        return condition, net.vector(pooled, base.resolution, base.resolution)

    return measure_branches(
        net, torch.cat(pictures), [encoded(text) for text in instructions], encoded("")
    )


if __name__ == "__main__":
    sys.exit(main())
