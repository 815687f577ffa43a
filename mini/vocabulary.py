"""The tokens that training meets: CLIP's, counted anew. And its words, for people:
`python -m mini.vocabulary` writes them to mini/words.txt, from which `ip2p` warns of others.
"""

import json
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from .data import Pairs, groups
from .instructions import instruct
from .networks import CLIP_CONFIG, load_tokenizer
from .scenes import KINDS

WORDS = Path(__file__).with_name("words.txt")
# In a run's folder.
TOKENS = "vocabulary.json"


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> list[list[int]]:
    """CLIP's numbers, padded with the end token as SD 1.x does."""
    length = CLIP_CONFIG["max_position_embeddings"]
    rows: list[list[int]] = tokenizer(
        texts, padding="max_length", max_length=length, truncation=True
    ).input_ids
    return rows


def used_tokens(folder: Path) -> list[int]:
    """Those of the instructions' vocabulary of the run in `folder`."""
    used: list[int] = json.loads((folder / TOKENS).read_text())
    return used


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


def known_words() -> list[str]:
    """Every word of the instructions that training draws, mistakes in typing left out."""
    pairs = Pairs(groups(dict.fromkeys(KINDS, 30), 0))
    rng = np.random.default_rng(0)
    words: set[str] = set()
    for links in pairs.edits.values():
        for index, source, target in (links[int(n)] for n in rng.integers(len(links), size=1500)):
            scenes = pairs.scenes[index]
            text = instruct(scenes[source], scenes[target], rng, typos=0)
            # Not the end of a word such as "woman's", which is a token of its own.
            words |= set(re.findall(r"(?<![a-z'])[a-z]+", text.lower()))
    return sorted(words)


if __name__ == "__main__":
    WORDS.write_text("\n".join(known_words()) + "\n")
