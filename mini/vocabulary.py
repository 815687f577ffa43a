"""The tokens that training meets: CLIP's, counted anew."""

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from .data import Pairs
from .networks import CLIP_CONFIG, load_tokenizer


class Vocabulary:
    """The used tokens first, all the others as one, the last."""

    def __init__(self, tokenizer: CLIPTokenizer, corpus: list[str]):
        self.tokenizer = tokenizer
        self.used = sorted({token for row in self.tokens(corpus) for token in row})
        self.index = {token: row for row, token in enumerate(self.used)}

    def __len__(self) -> int:
        return len(self.used) + 1

    def tokens(self, texts: list[str]) -> list[list[int]]:
        """CLIP's numbers, padded with the end token as SD 1.x does."""
        length = CLIP_CONFIG["max_position_embeddings"]
        return self.tokenizer(
            texts, padding="max_length", max_length=length, truncation=True
        ).input_ids

    def rows(self, texts: list[str]) -> Tensor:
        """int64 [n, 77]"""
        unknown = len(self.used)
        return torch.tensor(
            [[self.index.get(t, unknown) for t in row] for row in self.tokens(texts)]
        )


def build_vocabulary(pairs: Pairs, seed: int = 0) -> Vocabulary:
    """From wordings enough that none of their tokens is missing."""
    rng = np.random.default_rng([seed, 1])
    corpus = ["", *(pairs.draw(rng).instruction for _ in range(20_000))]
    return Vocabulary(load_tokenizer(), corpus)
