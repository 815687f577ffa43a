"""The text encoder's first lessons: to tell from the words alone what the picture should show.

It takes a minute or two and saves the UNet from learning to read while it learns to draw.
"""

import json
import logging
from pathlib import Path

import numpy as np
import torch
from diffusers.training_utils import set_seed
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextModel

from .data import FIRST_TRAINING_SEED, Pair, Pairs, groups
from .instructions import FAMILY_OF
from .networks import CLIP_CONFIG, build_text_encoder
from .scenes import Scene, values
from .vocabulary import TOKENS, Vocabulary, build_vocabulary, used_tokens

log = logging.getLogger(__name__)

ATTRIBUTES = tuple(FAMILY_OF)
BATCH = 48
# Enough that every wording is met.
SCENES = {"portrait": 80, "landscape": 60, "object": 60}


def asked_values(pair: Pair, scenes: list[Scene]) -> list[int]:
    """For each of ATTRIBUTES the number of the value that the words ask for, from 1; 0 for none."""
    source, target = scenes[pair.source], scenes[pair.target]
    asked = []
    for name in ATTRIBUTES:
        value = getattr(target, name, None)
        new = value is not None and value != getattr(source, name)
        asked.append(values(name).index(value) + 1 if new else 0)
    return asked


def new_text_encoder(tokens: int) -> CLIPTextModel:
    """Random, but for the row of the words that training never meets: zeros, they say nothing."""
    text = build_text_encoder(tokens)
    table = text.get_input_embeddings()
    table.padding_idx = tokens - 1
    table.weight.data.normal_(0, 0.1)
    table.weight.data[-1] = 0
    return text


def reading_loss(text: CLIPTextModel, heads: nn.ModuleList, rows: Tensor, asked: Tensor) -> Tensor:
    """Cross entropy of the asked values, read at every place from the end of the text on.

    rows   [n, 77]
    asked  [n, len(ATTRIBUTES)]
    """
    hidden = text(rows).last_hidden_state
    ended = rows == rows[:, -1:]
    loss = torch.zeros(())
    for head, wanted in zip(heads, asked.T, strict=True):
        logits = head(hidden[ended])
        loss = loss + functional.cross_entropy(logits, wanted[:, None].expand(rows.shape)[ended])
    return loss


def train_text(
    folder: Path,
    start: dict[str, Tensor] | None = None,
    scenes: dict[str, int] = SCENES,
    steps: int = 1200,
    seed: int = 0,
) -> Vocabulary:
    """Save the vocabulary and the encoder that has learned to read; return the vocabulary.

    What an earlier start has saved is kept.

    start   an encoder that can read already, with all of CLIP's tokens: it is taken as it is
    scenes  how many of each kind to draw wordings from
    """
    words = folder / TOKENS
    if words.exists():
        return Vocabulary(used_tokens(folder))
    set_seed(seed)
    pairs = Pairs(groups(scenes, FIRST_TRAINING_SEED))
    vocabulary = build_vocabulary(pairs, seed)
    text = new_text_encoder(len(vocabulary))
    if start is None:
        teach(text, vocabulary, pairs, steps, seed)
    else:
        # The first word of the names is there or not, by the version of transformers.
        given = {key.removeprefix("text_model."): value for key, value in start.items()}
        table = given["embeddings.token_embedding.weight"][vocabulary.used]
        given["embeddings.token_embedding.weight"] = functional.pad(table, (0, 0, 0, 1))
        own = {key.removeprefix("text_model."): key for key in text.state_dict()}
        text.load_state_dict({own[key]: value for key, value in given.items()})
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(text.state_dict(), folder / "text.pt")
    words.write_text(json.dumps(vocabulary.used))
    return vocabulary


def teach(text: CLIPTextModel, vocabulary: Vocabulary, pairs: Pairs, steps: int, seed: int) -> None:
    heads = nn.ModuleList(
        nn.Linear(CLIP_CONFIG["hidden_size"], len(values(name)) + 1) for name in ATTRIBUTES
    )
    scenes = [scene for group in pairs.scenes for scene in group]
    weights = [*text.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    rng = np.random.default_rng([seed, 2])
    for step in range(steps):
        batch = [pair for pair in (pairs.draw(rng) for _ in range(BATCH))]
        asked = torch.tensor([asked_values(pair, scenes) for pair in batch])
        rows = vocabulary.rows([pair.instruction for pair in batch])
        loss = reading_loss(text, heads, rows, asked)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        if step % 50 == 0:
            log.info("reading, step %d: loss %.3f", step, loss.item())
