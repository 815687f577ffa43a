"""A real, tiny language model that has learnt a few triples by heart, in the authors' text form."""

from pathlib import Path

import torch
from instruct_pix2pix.pairs.captions import SEPARATOR, as_text
from instruct_pix2pix.pairs.triples import Triple
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast


def learnt_by_heart(folder: Path, triples: list[Triple]) -> Path:
    """Train a GPT-2 of 0.1 M parameters on the bytes of the triples, and save it as a folder."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([*letters, "<end>"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    texts = [triple.input + SEPARATOR + as_text(triple) for triple in triples]
    rows = [fast(text).input_ids for text in texts]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [fast.eos_token_id] * (longest - len(row)) for row in rows])
    labels = torch.tensor([row + [-100] * (longest - len(row)) for row in rows])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=len(vocabulary),
                n_positions=256,
                n_embd=64,
                n_layer=2,
                n_head=2,
                bos_token_id=fast.eos_token_id,
                eos_token_id=fast.eos_token_id,
                resid_pdrop=0,
                embd_pdrop=0,
                attn_pdrop=0,
            )
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for _ in range(250):
            loss = model(input_ids=ids, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    # The captions themselves cannot be foretold; all that follows them can.
    assert loss.item() < 1.0, loss
    model.eval().save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
