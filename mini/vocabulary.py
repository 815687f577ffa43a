"""The tokens that training meets: CLIP's, counted anew."""

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from .data import Pairs
from .networks import CLIP_CONFIG, load_tokenizer


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> list[list[int]]:
    """CLIP's numbers, padded with the end token as SD 1.x does."""
    length = CLIP_CONFIG["max_position_embeddings"]
    rows: list[list[int]] = tokenizer(
        texts, padding="max_length", max_length=length, truncation=True
    ).input_ids
    return rows


class Vocabulary:
    """The used tokens first, all the others as one, the last."""

    def __init__(self, used: list[int]):
        self.used = used
        self.index = {token: row for row, token in enumerate(used)}
        self.tokenizer = load_tokenizer()

    def __len__(self) -> int:
        return len(self.used) + 1

    def rows(self, texts: list[str]) -> Tensor:
        """int64 [n, 77]"""
        unknown = len(self.used)
        return torch.tensor(
            [
                [self.index.get(token, unknown) for token in row]
                for row in tokenize(self.tokenizer, texts)
            ]
        )


def build_vocabulary(pairs: Pairs, seed: int = 0) -> Vocabulary:
    """From wordings enough that none of their tokens is missing."""
    rng = np.random.default_rng([seed, 1])
    corpus = ["", *(pairs.draw(rng).instruction for _ in range(20_000))]
    return Vocabulary(sorted({t for row in tokenize(load_tokenizer(), corpus) for t in row}))
