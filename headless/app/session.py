"""What one person has on the page: pictures, edits, and the folder that holds them."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


@dataclass
class Job:
    """One edit of one picture, from the queue to its result.

    turn      the edits that were asked for together
    settings  as `Client.edit` takes them
    region    what the job is for: the found region of the edit, as a mask, in place of an edit
    result    the picture that came of it
    """

    turn: str
    source: str
    instruction: str
    settings: dict[str, Any]
    mask: str | None = None
    region: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: str = WAITING
    step: int = 0
    steps: int = 0
    result: str | None = None
    message: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    task: asyncio.Task[None] | None = None

    def shown(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "task"}


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
        self._folder = tempfile.TemporaryDirectory(prefix="ip2p-app-")
        self.folder = Path(self._folder.name)
        self.pictures: dict[str, Kept] = {}
        self.uploads: list[str] = []
        self.jobs: list[Job] = []
        self.current: str | None = None
        self.listeners: set[asyncio.Queue[tuple[str, Any]]] = set()
        self.seen = time.monotonic()

    def close(self) -> None:
        self.cancel()
        self._folder.cleanup()

    def clear(self) -> None:
        """Forget every picture and edit, and remove the files."""
        self.cancel()
        for kept in self.pictures.values():
            kept.path.unlink(missing_ok=True)
        self.pictures, self.uploads, self.jobs, self.current = {}, [], [], None
        self.tell()

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
            if not queue.full():
                queue.put_nowait((kind, data))

    def shown(self) -> dict[str, Any]:
        """What the page needs to draw everything anew, after a reload too."""
        return {
            "current": self.current,
            "uploads": self.uploads,
            "pictures": {k: kept.name for k, kept in self.pictures.items()},
            "jobs": [job.shown() for job in self.jobs],
        }
