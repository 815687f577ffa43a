"""A small language model that invents edits of the drawn world, as the paper's GPT-3 did.

It learns our own triples (caption, instruction, edited caption) in the authors' text form, from
nothing, and is served as any other model of transformers by `pairs.serve_model`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ..pairs.captions import SEPARATOR, as_text
from ..pairs.triples import Triple
from .captions import caption_pair
from .data import SHARES
from .drawing import one, stream
from .instructions import instruct, targets
from .scenes import KINDS, sample_scene

BATCH, LONGEST = 16, 160  # rows, and tokens of a row
TOKENS = 1000  # of the vocabulary, at most
RATE = 4e-3


def drawn_triples(first_seed: int, count: int, kinds: Sequence[str] = KINDS) -> list[Triple]:
    """Edits of scenes of all `kinds` in turn, as often of each family as ip2p-mini learns it.

    Without mistakes in typing, and only what captions can tell.
    """
    found: list[Triple] = []
    seed = first_seed
    while len(found) < count:
        rng, source = stream(seed, "triple"), sample_scene(seed, kinds[seed % len(kinds)])
        seed += 1
        families = [name for name in SHARES if name != "none" and targets(source, name)]
        shares = np.array([SHARES[name] for name in families])
        family = families[int(rng.choice(len(families), p=shares / shares.sum()))]
        target = one(rng, targets(source, family))
        before, after = caption_pair(source, target, rng)
        if before != after:
            found.append(Triple(before, instruct(source, target, rng, typos=0), after))
    return found


def train_tokenizer(triples: Sequence[Triple]) -> PreTrainedTokenizerFast:
    """Byte pairs of the triples' own words, in which any text can be written."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((text for triple in triples for text in triple), trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")


def new_language_model(tokens: int, end: int) -> LlamaForCausalLM:
    """A quarter of a million random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=tokens,
            hidden_size=96,
            intermediate_size=192,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=2 * LONGEST,
            tie_word_embeddings=True,
            bos_token_id=end,
            eos_token_id=end,
        )
    )


def batch_of(
    tokenizer: PreTrainedTokenizerFast, triples: Sequence[Triple]
) -> tuple[Tensor, Tensor]:
    """Token ids and labels [n, length]: what follows the caption is learnt, as the authors did."""
    ids, labels = [], []
    for triple in triples:
        prompt = tokenizer(triple.input + SEPARATOR).input_ids
        answer = tokenizer(as_text(triple)).input_ids
        ids.append(torch.tensor((prompt + answer)[:LONGEST]))
        labels.append(torch.tensor(([-100] * len(prompt) + answer)[:LONGEST]))
    pad = torch.nn.utils.rnn.pad_sequence
    return pad(ids, True, tokenizer.eos_token_id), pad(labels, True, -100)


def train_language_model(
    folder: Path, triples: Sequence[Triple], steps: int, seed: int = 0
) -> float:
    """Train on the triples and save the folder; returns the mean loss of the last steps."""
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(triples)
    model = new_language_model(len(tokenizer), tokenizer.eos_token_id)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    losses: list[float] = []
    for _ in range(steps):
        chosen = torch.randint(len(triples), (BATCH,)).tolist()
        ids, labels = batch_of(tokenizer, [triples[number] for number in chosen])
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses = [*losses[-49:], loss.item()]
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return float(np.mean(losses))
