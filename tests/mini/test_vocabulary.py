"""The words by which `ip2p` warns are those that the committed weights were trained on."""

import torch
from instruct_pix2pix.mini.networks import load_tokenizer
from instruct_pix2pix.mini.vocabulary import WORDS, known_words
from safetensors import safe_open

TABLE = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"


def test_the_words_are_those_of_the_drawn_instructions():
    assert WORDS.read_text().split() == known_words()


def test_the_weights_have_learnt_every_word():
    with safe_open(WORDS.with_name("ip2p-mini.safetensors"), "pt") as weights:
        learnt = weights.get_tensor(TABLE).abs().sum(1)
    words = WORDS.read_text().split()
    tokens = load_tokenizer()(" ".join(words)).input_ids
    assert bool((learnt[torch.tensor(tokens)] > 0).all())
