"""Writing results, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import OutputError, ServerMisbehaved

PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name only when it is complete and on the disk.

    A PNG must begin and end as one. Raises OutputError where the system cannot write.
    """
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
        part = Path(name)
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            if path.suffix.lower() == ".png":
                check_png(file, path)
            os.fsync(file.fileno())
            os.chmod(part, 0o644)
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if part:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def check_png(file: BinaryIO, path: Path) -> None:
    file.seek(0)
    start = file.read(len(PNG_START))
    file.seek(-min(len(PNG_END), file.seek(0, os.SEEK_END)), os.SEEK_END)
    if start != PNG_START or file.read() != PNG_END:
        raise ServerMisbehaved(f"what the server sent for {path.name} is not a whole PNG")
