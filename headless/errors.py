"""What can go wrong, one class for each thing that a user can do about it.

`exit_code` is what the command `ip2p` ends with. `transient` says whether the same job can succeed
when it is simply tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class IP2PError(Exception):
    """Anything that this client reports."""

    exit_code = 1
    transient = False


class InputError(IP2PError):
    """A file, a manifest row or a value is wrong: correct it."""

    exit_code = 3


class ComfyUINotFound(IP2PError):
    """No ComfyUI to start: install one, or say where it is."""

    exit_code = 4


class ServerUnavailable(IP2PError):
    """Nothing answers at the address, or the server died: start it, or correct the address."""

    exit_code = 4
    transient = True


class AccessDenied(IP2PError):
    """The server, or a proxy before it, wants credentials: give them with a header."""

    exit_code = 4


class ServerMisbehaved(IP2PError):
    """The answer is not one of ComfyUI: check the address and any proxy in between."""

    exit_code = 4


@dataclass(frozen=True)
class NodeProblem:
    """One thing that the server's validation found wrong with a node; the message is a sentence."""

    node: str
    kind: str
    message: str


class WorkflowRefused(IP2PError):
    """The server's validation refused the workflow: correct the values that it names."""

    exit_code = 5

    def __init__(self, message: str, problems: tuple[NodeProblem, ...] = ()) -> None:
        super().__init__("\n  ".join([message, *(problem.message for problem in problems)]))
        self.problems = problems


class NodesMissing(WorkflowRefused):
    """The server does not have a node of the workflow: install its pack there."""


class ExecutionFailed(IP2PError):
    """A node raised while it ran: its own message says what to change."""

    exit_code = 6

    def __init__(self, node: str, kind: str, message: str, traceback: str = "") -> None:
        # A node's own errors are sentences; of others the class tells as much, without its path.
        sentence = message and (kind == "ValueError" or "custom_nodes" in kind)
        name = kind.rpartition(".")[2]
        super().__init__(f"{node}{'' if sentence else f' failed with {name}'}: {message}")
        self.node, self.kind, self.message, self.traceback = node, kind, message, traceback

    def __reduce__(self) -> tuple[Any, ...]:  # it travels between the machines of a cluster
        return type(self), (self.node, self.kind, self.message, self.traceback)


class OutOfMemory(ExecutionFailed):
    """The picture does not fit in the server's memory: use a smaller one, or fewer at once."""


class Interrupted(IP2PError):
    """The job was cancelled on the server: queue it again if that was not intended."""

    exit_code = 6


class JobLost(IP2PError):
    """The server no longer knows the job, as after a restart: queue it again."""

    exit_code = 4
    transient = True


class JobTimeout(IP2PError):
    """The job took longer than allowed: allow more time, or fewer steps."""

    exit_code = 6


class OutputError(IP2PError):
    """A result cannot be written: free space, or choose another folder."""

    exit_code = 7


class Stopped(IP2PError):
    """Ctrl-C or SIGTERM ended the command; `exit_code` tells which."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[type[Stopped], tuple[str, int]]:
        return type(self), (str(self), self.exit_code)
