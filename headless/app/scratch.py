"""Folders for the pictures of sessions. They are removed even where the page was killed.

A page locks each of its folders. The system takes the lock away when the process ends, however it
ends, so the next page knows which folders are no longer in use.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

PREFIX = "ip2p-app-"
# Seconds after which a folder must have its lock.
NEW = 10.0


class Scratch:
    """A folder of one session, locked while it is in use."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = lock(self.path)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


def lock(folder: Path) -> int | None:
    """A descriptor that holds the lock of a folder; None where another process has it.

    None on Windows, where folders cannot be locked.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    descriptor = None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    return descriptor


def remove_abandoned() -> None:
    """Remove the folders that pages of this user left behind when they were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # another page may remove it at the same time
            if time.time() - folder.stat().st_mtime < NEW:
                continue
            held = lock(folder)
            if held is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)
