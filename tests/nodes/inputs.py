"""What the nodes that sample several edits are given."""

import torch
from instruct_pix2pix.nodes.text import IP2PEncodeInstruction


def inputs(loaded, batch=1):
    instruction, negative = IP2PEncodeInstruction.execute(
        loaded.clip, "make it snow", "", "plain"
    ).args
    pixels = torch.rand(batch, 64, 48, 3, generator=torch.Generator().manual_seed(0))
    return {
        "model": loaded.model,
        "instruction": instruction,
        "negative": negative,
        "source": {"samples": loaded.vae.encode(pixels)},
        "seed": 3,
        "steps": 3,
        "sampler_name": "euler_ancestral",
        "scheduler": "normal",
    }
