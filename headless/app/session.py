"""What one person has on the page: pictures, edits, and the folder that holds them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .scratch import Scratch

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


@dataclass
class Job:
    """One edit of one picture, from the queue to its result.

    turn       the edits that were asked for together
    settings   as `Client.edit` takes them
    threshold  None for an edit; else the job finds the region of the edit in place of making it,
               and this is where the region ends
    result     the picture that came of it
    message    why it failed; `where` is the control that this concerns, "" for none
    found      what IP2PAutoGuidance took for the scales
    server     the address of the ComfyUI that did it
    """

    turn: str
    source: str
    instruction: str
    settings: dict[str, Any]
    mask: str | None = None
    threshold: float | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: str = WAITING
    step: int = 0
    steps: int = 0
    result: str | None = None
    message: str = ""
    where: str = ""
    notes: tuple[str, ...] = ()
    found: Mapping[str, float] = field(default_factory=dict)
    server: str = ""
    task: asyncio.Task[None] | None = None

    def shown(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("task", "server")}


@dataclass(frozen=True)
class Kept:
    """A picture in the session's folder, under the name that its person knows."""

    id: str
    name: str
    path: Path


class Session:
    """One browser's pictures and edits. `close` removes every file."""

    def __init__(self) -> None:
        self.id = secrets.token_urlsafe(24)
        self.listeners: set[asyncio.Queue[tuple[str, Any]]] = set()
        self.seen = time.monotonic()
        self._begin()

    def _begin(self) -> None:
        self._scratch: Scratch | None = None
        self.pictures: dict[str, Kept] = {}
        self.uploads: list[str] = []
        self.masks: dict[str, str] = {}  # the mask of a picture
        self.jobs: list[Job] = []
        self.current: str | None = None

    @property
    def folder(self) -> Path:
        """Made when it is first needed: not every visitor gives a picture."""
        if self._scratch is None:
            self._scratch = Scratch()
        return self._scratch.path

    @property
    def size(self) -> int:
        """Bytes of all pictures."""
        paths = (kept.path for kept in self.pictures.values())
        return sum(path.stat().st_size for path in paths if path.exists())

    def clear(self) -> None:
        """Forget every picture and edit, and remove the files."""
        self.cancel()
        if self._scratch:
            self._scratch.remove()
        self._begin()
        self.tell()

    close = clear

    def keep(self, name: str, suffix: str, data: bytes | None = None) -> Kept:
        """A place for a picture, with its bytes where they are there already."""
        key = secrets.token_hex(8)
        kept = Kept(key, name, self.folder / (key + suffix))
        if data is not None:
            kept.path.write_bytes(data)
        self.pictures[key] = kept
        return kept

    def upload(self, name: str, suffix: str, data: bytes) -> Kept:
        kept = self.keep(name, suffix, data)
        self.uploads.append(kept.id)
        self.current = kept.id
        self.tell()
        return kept

    def set_mask(self, picture: str, mask: str | None) -> None:
        """Say where a picture may change; None for everywhere."""
        old = self.masks.pop(picture, None)
        if mask is not None:
            self.masks[picture] = mask
        if old and not any(old in (job.mask, job.result) for job in self.jobs):
            self.pictures.pop(old).path.unlink(missing_ok=True)
        self.tell()

    def cancel(self, turn: str | None = None) -> None:
        """Stop the edits of a turn, or all."""
        for job in self.jobs:
            if turn in (None, job.turn) and job.state in (WAITING, RUNNING):
                job.state = CANCELLED
                if job.task:
                    job.task.cancel()
        self.tell()

    def tell(self, kind: str = "state", data: Any = None) -> None:
        """Let every open page of this person know."""
        for queue in self.listeners:
            if queue.full():  # a page that hears nothing for long reads all of it anew
                while not queue.empty():
                    queue.get_nowait()
                kind, data = "state", None
            queue.put_nowait((kind, data))

    def shown(self) -> dict[str, Any]:
        """What the page needs to draw everything anew, after a reload too."""
        return {
            "current": self.current,
            "uploads": self.uploads,
            "masks": self.masks,
            "pictures": {k: kept.name for k, kept in self.pictures.items()},
            "jobs": [job.shown() for job in self.jobs],
        }
