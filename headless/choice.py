"""The checkpoint of an edit that names none, and what its user should know about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..checkpoints.signs import OutlineError, Sign, look
from ..edits.settings import BUILT_IN, BUILT_INS
from .errors import NodesMissing
from .fetch import is_this_machine
from .inputs import inputs_of
from .protocol import Server
from .server import PACK

LOADER = "IP2PLoadCheckpoint"
# How editors are called, where only the server sees the files.
EDITORS = re.compile(
    r"pix2pix|ip2p|magicbrush|cosxl.?edit|instruct.?(diff|edit|p2p)", re.IGNORECASE
)
DRAWINGS = (
    "the only checkpoint is the built-in ip2p-mini, which knows drawn scenes and ruins photos; "
    "for photos put instruct-pix2pix-00-22000.safetensors (huggingface.co/timbrooks/"
    "instruct-pix2pix, 7.7 GB) into ComfyUI's models/checkpoints"
)
CONTRACTIONS = re.compile(r"['\u2019](s|t|re|ve|m|ll|d)\b")


@dataclass(frozen=True)
class Choice:
    """A checkpoint by the name that the server lists. `note` is a sentence for its user, or ""."""

    name: str
    note: str = ""


async def choose(server: Server, name: str | None = None) -> Choice:
    """The checkpoint of this name, or, where none is given, the one to edit photos with.

    A name may have other separators, or letters of another case, where only one fits so.
    Raises NodesMissing.
    """
    info = await server.object_info(LOADER)
    if not info.get(LOADER):
        raise NodesMissing(f"the server has no node {LOADER}; install this pack there")
    listed = [str(choice) for choice in inputs_of(info, LOADER)["checkpoint"].choices]
    if name is not None:
        return spelled(name, listed)
    folders: list[str] = []
    if is_this_machine(server.url.host or ""):
        folders = await server.model_folders("checkpoints", "diffusers")
    others = [other for other in listed if other not in BUILT_INS]
    editors = [other for other in others if edits(other, folders)]
    if editors:
        usual = min(editors, key=lambda other: (not EDITORS.search(other), other))
        more = f"; there are {len(editors)}, --checkpoint names another" if len(editors) > 1 else ""
        return Choice(usual, f"editing with the checkpoint {usual}{more}")
    return Choice(BUILT_IN, DRAWINGS)


def spelled(name: str, listed: Sequence[str]) -> Choice:
    if name in listed:
        return Choice(name)

    def plain(text: str) -> str:
        return text.replace("\\", "/").casefold()

    alike = [other for other in listed if plain(other) == plain(name)]
    if len(alike) == 1:
        return Choice(alike[0], f"the checkpoint {name} is called {alike[0]} on the server")
    return Choice(name)  # then the check of its values says what there is


def edits(name: str, folders: Sequence[str]) -> bool:
    """Whether a checkpoint edits by instruction: by its header, else by its name."""
    try:
        sign = sign_of(name, folders)
    except (OSError, OutlineError):
        return False
    return sign.family is not None if sign else bool(EDITORS.search(name))


def sign_of(name: str, folders: Sequence[str]) -> Sign | None:
    """What the header of a checkpoint tells; None where it tells nothing or is elsewhere.

    Raises OSError or OutlineError for a file that cannot be read.
    """
    path = next((found for f in folders if (found := Path(f, name)).exists()), None)
    return look(path) if path else None


@cache
def known_words() -> frozenset[str]:
    """What the built-in model has learnt, as `mini.vocabulary` wrote it."""
    return frozenset((PACK / "mini" / "words.txt").read_text(encoding="utf-8").split())


def word_notes(checkpoint: str, *texts: str) -> tuple[str, ...]:
    """A sentence with the words that the built-in model does not know; none for other models."""
    if checkpoint != BUILT_IN:
        return ()
    words = (w for text in texts for w in re.findall(r"[^\W\d_]+", CONTRACTIONS.sub(" ", text)))
    strange = list(dict.fromkeys(w for w in words if w.lower() not in known_words()))
    if not strange:
        return ()
    return (f"the built-in model does not know, and passes over: {', '.join(strange)}",)
