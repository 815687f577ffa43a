"""Where checkpoints lie on a machine, and which of them a name means."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

IN_CACHE = " (Hugging Face cache)"


def pipelines_below(root: str | Path) -> Iterator[tuple[str, Path]]:
    """The folders of diffusers below a root, as they are called from there.

    Whole pipelines (model_index.json), what trainers leave (`checkpoint-500` with `unet/` in it)
    and folders of a UNet alone. Links are followed, circles end.
    """
    for folder, subfolders, files in os.walk(root, followlinks=True):
        subfolders.sort()
        if any(os.path.samefile(folder, parent) for parent in Path(folder).parents):
            subfolders.clear()  # a link in a circle
        elif _holds_unet(Path(folder), subfolders, files):
            # A pipeline holds no others but what its trainer left in it.
            subfolders[:] = [name for name in subfolders if name.startswith("checkpoint-")]
            yield os.path.relpath(folder, root), Path(folder)


def hub_cache() -> dict[str, Path]:
    """The editors in the cache of huggingface_hub by owner/name, each in its newest snapshot."""
    found = {}
    for repository in sorted(_cache_folder().glob("models--*")):
        snapshots = sorted((repository / "snapshots").glob("*"), key=lambda p: p.stat().st_mtime)
        main = repository / "refs" / "main"
        if main.is_file():
            current = repository / "snapshots" / main.read_text(encoding="utf-8").strip()
            snapshots += [current] * current.is_dir()
        if snapshots and _channels(snapshots[-1] / "unet" / "config.json") == 8:
            name = "/".join(repository.name.split("--")[1:])
            found[name + IN_CACHE] = snapshots[-1]
    return found


def the_one(name: str, entries: Iterable[str]) -> str | None:
    """The entry that `name` means: itself, else the only one of equal name but for the spelling.

    Separators of Windows, the case of letters and another subfolder are forgiven, in this order.
    """
    known = list(entries)
    if name in known:
        return name
    slashed = name.replace("\\", "/")
    alike = (
        [e for e in known if e.replace("\\", "/") == slashed],
        [e for e in known if e.replace("\\", "/").casefold() == slashed.casefold()],
        [e for e in known if _last(e) == _last(name)] if _last(name) else [],
    )
    return next((found[0] for found in alike if len(found) == 1), None)


def _last(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1].casefold()


def _holds_unet(folder: Path, subfolders: list[str], files: list[str]) -> bool:
    if "model_index.json" in files or (folder / "unet" / "config.json").is_file():
        return True
    return "config.json" in files and "UNet2D" in str(_json(folder / "config.json")["_class_name"])


def _cache_folder() -> Path:
    """The folder of the cache, as huggingface_hub finds it."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface"
    home = Path(os.environ.get("HF_HOME") or home).expanduser()
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(named or home / "hub").expanduser()


def _channels(config: Path) -> object:
    return _json(config).get("in_channels")


def _json(path: Path) -> Mapping[str, object]:
    """A JSON object, with `_class_name` at least; an empty one where the file is not JSON."""
    try:
        content = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        content = {}
    return {"_class_name": "", **content} if isinstance(content, dict) else {"_class_name": ""}
