"""Names of result files: readable in any script, allowed on any file system, never shared."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from .errors import InputError
from .formats import PNG, format_of

MAX_PART = 200  # bytes of a file name; file systems take 255
DEVICES = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789"),
}


def slug(text: str, limit: int = 60) -> str:
    """Text as a part of a file name: letters, digits and pictographs, joined by hyphens.

    limit  the most bytes of UTF-8
    """
    words = "".join(
        c if unicodedata.category(c) in ("So", "Mn", "Mc") or c.isalnum() else " "
        for c in unicodedata.normalize("NFC", text.lower())
    )
    joined = "-".join(words.split()).encode()[:limit].decode(errors="ignore").strip("-")
    return joined or "edit"


def default_name(
    image: str,
    instruction: str,
    *,
    suffix: str = PNG.suffix,
    seed: int | None = None,
    extension: bool = False,
) -> str:
    """photo.jpg and "make it snow" give photo-make-it-snow.png.

    suffix     of the result
    seed       named too where there are several: photo-make-it-snow-seed-3.png
    extension  keep the picture's: photo-jpg-make-it-snow.png
    """
    path = PurePosixPath(image.split("?")[0].replace("\\", "/"))
    kept = f"-{slug(path.suffix)}" if extension and path.suffix else ""
    told = "" if seed is None else f"-seed-{seed}"
    return f"{slug(path.stem, 100)}{kept}-{slug(instruction)}{told}{suffix}"


def own_name(image: str, instruction: str, suffix: str = PNG.suffix) -> str:
    """A name that no other picture or instruction has: with a hash of both."""
    both = f"{os.path.abspath(image)}\0{instruction}".encode("utf-8", "surrogateescape")
    path = PurePosixPath(default_name(image, instruction, suffix=suffix))
    return str(path.with_stem(f"{path.stem}-{hashlib.sha256(both).hexdigest()[:8]}"))


def distinct_targets(
    edits: Sequence[tuple[Path, str]], folder: Path | None, suffix: str = PNG.suffix
) -> list[Path]:
    """Where the result of each (picture, instruction) goes, whatever their order.

    folder  for all of them; beside each picture by default
    suffix  of the results

    Where two would share a name, both keep the picture's extension; where that does not tell them
    apart, both get a hash. Only equal edits have equal targets.
    """
    forms: tuple[Callable[[str, str], str], ...] = (
        lambda image, words: default_name(image, words, suffix=suffix),
        lambda image, words: default_name(image, words, suffix=suffix, extension=True),
        lambda image, words: own_name(image, words, suffix),
    )
    levels = dict.fromkeys(edits, 0)
    while True:
        targets = {
            (image, words): (folder or image.parent) / forms[level](str(image), words)
            for (image, words), level in levels.items()
        }
        taken = Counter(str(target).casefold() for target in targets.values())
        shared = [edit for edit, at in targets.items() if taken[str(at).casefold()] > 1]
        raised = [edit for edit in shared if levels[edit] < len(forms) - 1]
        if not raised:
            return [targets[edit] for edit in edits]
        for edit in raised:
            levels[edit] += 1


def refuse_existing(targets: Sequence[Path]) -> None:
    """Raises InputError where a file is there already, so that nothing is written over."""
    found = [str(target) for target in targets if os.path.lexists(target)]
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise InputError(
            f"{found[0]} is there already{more}; give another --output, or --force to write over it"
        )


def safe_name(name: str) -> str:
    """An output name as given. Raises InputError if it could leave the output folder."""
    parts = name.replace("\\", "/").split("/")
    if any(not p or p.startswith(".") or p != p.strip() or p.endswith(".") for p in parts):
        raise InputError(
            f"output: {name[:120]!r} is not a name below the output folder (no .., no dot or space "
            "at an end, no leading /)"
        )
    if any(len(p.encode()) > MAX_PART for p in parts) or len(name) > 500:
        raise InputError(f"output: {name[:120]!r} is longer than {MAX_PART} bytes between slashes")
    if any(c in name for c in ':*?"<>|') or not name.isprintable():
        raise InputError(f"output: {name[:120]!r} has characters that a file name cannot have")
    if any(p.split(".")[0].strip().lower() in DEVICES for p in parts):
        raise InputError(f"output: {name[:120]!r} is a device on Windows, not a file")
    format_of(name)
    return "/".join(parts)
