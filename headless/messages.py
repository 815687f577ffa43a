"""What goes to a server and comes from it, as values: prompts, files, messages.

A server may say anything. What is not as it should be raises ServerMisbehaved, or is passed over
where nothing depends on it.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

from .errors import ServerMisbehaved

PREVIEW_IMAGE, PREVIEW_WITH_METADATA = 1, 4
UPLOADS = "ip2p"  # our subfolder of the server's input folder

Prompt = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class FileRef:
    """A file in one of the server's folders: `type` is input, output or temp."""

    filename: str
    subfolder: str = ""
    type: str = "output"

    @property
    def annotated(self) -> str:
        """As a LoadImage input takes it, such as "ip2p/photo.png [input]"."""
        return f"{self.subfolder}/{self.filename}".lstrip("/") + f" [{self.type}]"


@dataclass(frozen=True)
class Event:
    """One JSON message of the socket."""

    type: str
    prompt_id: str | None
    data: dict[str, Any]


@dataclass(frozen=True)
class Preview:
    """One binary preview. Where no `prompt_id` is given, it is of the job that runs."""

    prompt_id: str | None
    image: bytes


def parse_file(value: Any, key: str = "filename") -> FileRef:
    """A file as the server names it. ServerMisbehaved for a name that is more than a name."""
    parts = [value.get(k, d) for k, d in ((key, None), ("subfolder", ""), ("type", "output"))]
    if not all(isinstance(part, str) for part in parts):
        raise ServerMisbehaved(f"the server names a file in an unknown way: {short(value)}")
    name, subfolder, kind = (str(part) for part in parts)
    folders = subfolder.replace("\\", "/").split("/")
    unsafe = not name or name in (".", "..") or any(c in name for c in "/\\\0:")
    if (
        unsafe
        or ".." in folders
        or subfolder.startswith("/")
        or kind not in ("input", "output", "temp")
    ):
        raise ServerMisbehaved(f"the server names a file outside its folders: {short(value)}")
    return FileRef(name, subfolder, kind)


def parse_event(text: str) -> Event | None:
    try:
        message = json.loads(text)
        kind, data = message["type"], message["data"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(kind, str) or not isinstance(data, dict):
        return None
    prompt_id = data.get("prompt_id")
    return Event(kind, prompt_id if isinstance(prompt_id, str) else None, data)


def parse_preview(message: bytes) -> Preview | None:
    """The picture in a binary message.

    The message is a big-endian 4-byte type, then (1) a 4-byte format and the picture, or (4) the
    4-byte length of a JSON object, the object, and the picture. Other types are not pictures.
    """
    try:
        kind, number = struct.unpack_from(">II", message)
        if kind == PREVIEW_IMAGE:
            return Preview(None, message[8:])
        if kind == PREVIEW_WITH_METADATA:
            prompt_id = json.loads(message[8 : 8 + number])["prompt_id"]
            return Preview(str(prompt_id), message[8 + number :])
    except (struct.error, ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


def title_of(prompt: Prompt, node: str) -> str:
    """The name that a person knows a node by: its title, else its class, else its id."""
    described = prompt.get(node, {})
    meta = described.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    return str(title or described.get("class_type") or f"node {node}")


def printable(text: str) -> str:
    """Without control characters, which could make a terminal do things."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def short(value: Any, limit: int = 200) -> str:
    text = printable((value if isinstance(value, str) else repr(value))[: limit + 1])
    return text if len(text) <= limit else text[:limit] + "..."
