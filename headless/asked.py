"""What a command asks of every edit that it makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_SEEDS = 1000


@dataclass(frozen=True)
class Asked:
    """What the options of `ip2p edit` and `ip2p batch` ask of every edit.

    parameters  as `edit_prompt` takes them, those that were given
    settings    other inputs by title, such as {"Sampler.scheduler": "karras"}
    mask        a picture whose white may change
    seeds       how many seeds to make each edit with
    format      the format of results whose name is not given: png, jpg or webp
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    mask: Path | None = None
    seeds: int = 1
    format: str = "png"
