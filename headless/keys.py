"""What a result depends on, as one hash: so that it is known whether a file is that result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .formats import prompt_in
from .messages import UPLOADS, FileRef, Prompt
from .picture import Picture
from .workflow import edit_of, patched


def prompt_key(prompt: Prompt) -> str:
    """The hash of what a prompt computes: not of titles, nor of the name that it saves under."""

    def inputs(node: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        return ((k, v) for k, v in sorted(node["inputs"].items()) if k != "filename_prefix")

    parts = [[key, node["class_type"], list(inputs(node))] for key, node in sorted(prompt.items())]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def edit_key(
    image: Picture,
    mask: Picture | None,
    instruction: str,
    parameters: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> str:
    """The hash of one edit, whose prompt names its pictures by content."""

    def uploaded(picture: Picture) -> str:
        return FileRef(picture.name, UPLOADS, "input").annotated

    prompt = edit_of(
        uploaded(image), instruction, mask=uploaded(mask) if mask else None, **parameters
    )
    return prompt_key(patched(prompt, settings))


def key_in(path: Path) -> str | None:
    """The key of the job that made a result file; None if the file is broken or does not say."""
    prompt = prompt_in(path)
    try:
        return prompt_key(prompt) if prompt else None
    except (KeyError, TypeError, AttributeError):
        return None
