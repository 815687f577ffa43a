"""Writing results, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import OutputError
from .formats import BY_SUFFIX


@contextlib.contextmanager
def write_whole(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name only when it is complete and on the disk.

    A picture must begin and end as one. Raises OutputError where the system cannot write.
    """
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
        part = Path(name)
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            if kind := BY_SUFFIX.get(path.suffix.lower()):
                kind.check(file, path.name)
            os.fsync(file.fileno())
            os.chmod(part, 0o644)
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if part:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
