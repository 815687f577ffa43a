"""Text as the tokens that ComfyUI's text encoders take."""

from __future__ import annotations

from typing import Any

import torch

Chunk = list[tuple[Any, ...]]


def tokenize(clip: Any, text: str, syntax: str) -> dict[str, list[Chunk]]:
    """`text` as ComfyUI's tokens: for each text encoder a list of chunks of (token, weight).

    `weighted` is what ComfyUI's own text nodes do. `plain` reads no weights and keeps one chunk:
    what does not fit is cut off, to the token, as diffusers and the authors' code do.
    """
    if syntax == "weighted":
        return clip.tokenize(text)
    tokens = clip.tokenize(text, disable_weights=True)
    return {name: [first_chunk(chunks)] for name, chunks in tokens.items()}


def first_chunk(chunks: list[Chunk]) -> Chunk:
    """The leading tokens of all `chunks` in one chunk of the same length.

    ComfyUI ends a chunk early where a word would be split and moves the word to the next chunk;
    there the words that follow are drawn forward.
    """
    if len(chunks) == 1:
        return chunks[0]
    start, end = chunks[0][0], chunks[0][-1]
    words = [
        token
        for chunk in chunks
        for token in chunk[1:]
        # An embedding's token is a vector and never the end.
        if torch.is_tensor(token[0]) or token[0] != end[0]
    ]
    return [start, *words[: len(chunks[0]) - 2], end]
