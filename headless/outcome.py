"""What became of a job, as the server's history tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import ExecutionFailed, Interrupted, OutOfMemory, ServerMisbehaved
from .messages import FileRef, Prompt, parse_file, title_of


@dataclass(frozen=True)
class Output:
    """One file that a workflow made: by which node, and where the server keeps it."""

    node: str
    title: str
    file: FileRef


@dataclass(frozen=True)
class Result:
    """A finished job. `notes` are sentences that its user should read.

    texts  what nodes that show a text have shown, by their titles
    """

    prompt_id: str
    outputs: tuple[Output, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)

    def told(self) -> tuple[str, ...]:
        """The notes and the texts, as they are printed."""
        return *self.notes, *(f"{title}: {text}" for title, text in self.texts.items())


def outputs_of(prompt: Prompt, entry: dict[str, Any]) -> tuple[Output, ...]:
    """The files that a history entry names, previews last. Raises what it says went wrong."""
    status = entry.get("status") or {}
    messages = status.get("messages") if isinstance(status, dict) else None
    for message in messages if isinstance(messages, list) else ():
        match message:
            case ["execution_error", dict(data)]:
                kind = str(data.get("exception_type", "an exception"))
                failure = OutOfMemory if "OutOfMemory" in kind else ExecutionFailed
                trace = data.get("traceback")
                raise failure(
                    title_of(prompt, str(data.get("node_id"))),
                    kind,
                    str(data.get("exception_message", "")).strip()[:2000],
                    "".join(map(str, trace)) if isinstance(trace, list) else "",
                )
            case ["execution_interrupted", *_]:
                raise Interrupted("the job was cancelled on the server")
    if isinstance(status, dict) and status.get("status_str") == "error":
        raise ExecutionFailed("the workflow", "error", "the server gives no reason")
    named = entry.get("outputs")
    if not isinstance(named, dict):
        raise ServerMisbehaved("the history names no outputs")
    outputs = (
        Output(node, title_of(prompt, node), parse_file(file))
        for node, made in named.items()
        for files in (made.values() if isinstance(made, dict) else ())
        for file in (files if isinstance(files, list) else ())
        if isinstance(file, dict) and "filename" in file
    )
    return tuple(sorted(outputs, key=lambda made: made.file.type != "output"))


def texts_of(prompt: Prompt, entry: dict[str, Any]) -> dict[str, str]:
    """The texts that a history entry holds, by the titles of their nodes."""
    named = entry.get("outputs")
    return {
        title_of(prompt, node): "\n".join(map(str, made["text"]))
        for node, made in (named.items() if isinstance(named, dict) else ())
        if isinstance(made, dict) and isinstance(made.get("text"), list)
    }
