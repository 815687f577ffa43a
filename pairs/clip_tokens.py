"""How many of CLIP's tokens a text has, from its merges.txt alone: no torch, no model."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

LIMIT = 77  # with the start and the end
# CLIP's own pattern; `[^\W\d_]` are the letters.
PIECES = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d|[^\W\d_]+|\d|(?:[^\s\w]|_)+")


class ClipTokens:
    """CLIP's byte-pair encoding (Radford et al. 2021, simple_tokenizer.py).

    merges  the file merges.txt, which ComfyUI has in comfy/sd1_tokenizer/

    Raises OSError where it cannot be read.
    """

    def __init__(self, merges: Path) -> None:
        lines = merges.read_text(encoding="utf-8").splitlines()
        pairs = [tuple(line.split()) for line in lines if line and not line.startswith("#version")]
        self.ranks = {pair: rank for rank, pair in enumerate(pairs)}
        self.letters = byte_letters()
        self.pieces_of = lru_cache(10_000)(self._pieces_of)

    def count(self, text: str) -> int:
        """The tokens of a text, with the start and the end."""
        words = PIECES.findall(" ".join(text.lower().split()))
        return 2 + sum(self.pieces_of(word) for word in words)

    def _pieces_of(self, word: str) -> int:
        parts = [self.letters[byte] for byte in word.encode()]
        parts[-1] += "</w>"
        while len(parts) > 1:
            pairs = set(zip(parts, parts[1:], strict=False))
            best = min(pairs, key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if best not in self.ranks:
                break
            merged: list[str] = []
            for part in parts:
                if merged and (merged[-1], part) == best:
                    merged[-1] += part
                else:
                    merged.append(part)
            parts = merged
        return len(parts)


def byte_letters() -> dict[int, str]:
    """The letter that stands for each byte: itself where it can be printed."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printed]
    return {byte: chr(byte) for byte in printed} | {
        byte: chr(256 + number) for number, byte in enumerate(others)
    }
