"""The text-to-image model's training, on the latents of the editor's pictures."""

import json
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from .recipe import Recipe
from .text_to_image import (
    DROPOUT,
    build_caption_vocabulary,
    build_text_to_image_unet,
    grow_text_encoder,
    text_to_image_loss,
)
from .train_unet import Edits, build_networks, fit, noise_levels
from .training import Average, Clock, Run, Step, averaged
from .vocabulary import Vocabulary, used_tokens

# Of the stage's state.
NAME = "text_to_image"
# The captions' vocabulary, beside that of the instructions.
WORDS = "captions.json"


def captions_vocabulary(folder: Path, instructions: Vocabulary) -> Vocabulary:
    """The captions' vocabulary of a run, built at its first start."""
    path = folder / WORDS
    if not path.exists():
        path.write_text(json.dumps(build_caption_vocabulary(instructions).used))
    return Vocabulary(json.loads(path.read_text()))


def captioned_networks(folder: Path, vocabulary: Vocabulary) -> nn.ModuleDict:
    """The trained editor without a source, and with rows for the captions' own words."""
    known = len(used_tokens(folder))
    editor = build_networks(known + 1)
    editor.load_state_dict(averaged(folder, "unet"))
    text = grow_text_encoder(editor["text"], known, vocabulary)
    return nn.ModuleDict({"unet": build_text_to_image_unet(editor["unet"]), "text": text})


def load_text_to_image(folder: Path) -> tuple[nn.ModuleDict, Vocabulary]:
    """The trained UNet and text encoder, the running means of their weights; and their words."""
    vocabulary = Vocabulary(json.loads((folder / WORDS).read_text()))
    networks = captioned_networks(folder, vocabulary)
    networks.load_state_dict(averaged(folder, NAME))
    return networks, vocabulary


def train_text_to_image(
    folder: Path, recipe: Recipe, edits: Edits, vocabulary: Vocabulary, until: float = math.inf
) -> bool:
    """Learn to draw from captions. The folder holds the trained editor.

    vocabulary  of `captions_vocabulary`
    until       when to stop, by `time.monotonic()`

    Returns whether the stage is done.
    """
    device = edits.count.device
    torch.manual_seed(recipe.seed)
    networks = captioned_networks(folder, vocabulary).to(device)
    (words,) = (weight for weight in networks["text"].parameters() if weight.requires_grad)
    learning = [weight for weight in networks["unet"].parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": learning, "weight_decay": 1e-3},
            # Without decay: the editor's words stay as they are.
            {"params": [words], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.99),
        fused=True,
    )
    average = Average(networks)
    clock = Clock(recipe.text_to_image_steps, recipe.text_to_image_minutes)
    parts = {"networks": networks, "optimizer": optimizer, "average": average}
    run = Run(folder, NAME, clock, parts, until)
    if clock.done == 1:
        return True
    torch.manual_seed(recipe.seed + clock.step)
    levels = noise_levels(device)

    def loss() -> Tensor:
        latents, rows = edits.draw_captioned(recipe.text_to_image_batch)
        kept = (torch.rand(len(rows), device=device) >= DROPOUT).float()
        return text_to_image_loss(networks["unet"], networks["text"], levels, latents, kept, rows)

    return fit(run, Step(loss, optimizer, [recipe.text_to_image_rate] * 2, average), edits)
