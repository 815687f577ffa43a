"""The instruction as ComfyUI's tokens and conditioning."""

from __future__ import annotations

from typing import Any

import torch

Chunk = list[tuple[Any, ...]]


def encode_instruction(
    clip: Any, instruction: str, negative: str, syntax: str = "plain"
) -> tuple[Any, Any]:
    """Both texts as CONDITIONING; ValueError where there is no text encoder."""
    if clip is None:
        raise ValueError(
            "clip: nothing arrived; the checkpoint holds no text encoder. Load one with "
            "CLIPLoader (the CLIP-L of Stable Diffusion 1.5) or, for SDXL, DualCLIPLoader, and "
            "connect it."
        )
    return (
        clip.encode_from_tokens_scheduled(tokenize(clip, instruction, syntax)),
        clip.encode_from_tokens_scheduled(tokenize(clip, negative, syntax)),
    )


def tokenize(clip: Any, text: str, syntax: str) -> dict[str, list[Chunk]]:
    """`text` as ComfyUI's tokens: for each text encoder a list of chunks of (token, weight).

    `weighted` is what ComfyUI's own text nodes do. `plain` reads no weights and keeps one chunk:
    what does not fit is cut off, to the token, as diffusers and the authors' code do.
    """
    if syntax == "weighted":
        return clip.tokenize(text)
    tokens = clip.tokenize(text, disable_weights=True)
    # What is empty is the start and the end, then padding, which differs between encoders.
    ends = {name: chunks[0][1] for name, chunks in clip.tokenize("").items()}
    return {name: [first_chunk(chunks, ends[name])] for name, chunks in tokens.items()}


def first_chunk(chunks: list[Chunk], end: tuple[Any, ...]) -> Chunk:
    """The leading tokens of all `chunks` in one chunk of the same length, closed by `end`.

    ComfyUI ends a chunk early where a word would be split and moves the word to the next chunk;
    there the words that follow are drawn forward.
    """
    if len(chunks) == 1:
        return chunks[0]
    words = [token for chunk in chunks for token in chunk[1 : _place_of(end, chunk)]]
    return [chunks[0][0], *words[: len(chunks[0]) - 2], end]


def _place_of(end: tuple[Any, ...], chunk: Chunk) -> int:
    """Where a chunk ends. An embedding's token is a vector and never the end."""
    return next(
        n for n, token in enumerate(chunk) if not torch.is_tensor(token[0]) and token[0] == end[0]
    )


def zeroed(conditioning: list[list[Any]]) -> list[list[Any]]:
    """CONDITIONING of the same shape, all zeros, its pooled text as well where it has one."""
    zeros = []
    for text, settings in conditioning:
        pooled = settings.get("pooled_output")
        without = {"pooled_output": None if pooled is None else torch.zeros_like(pooled)}
        zeros.append([torch.zeros_like(text), {**settings, **without}])
    return zeros
