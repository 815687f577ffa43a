"""What a server says of its nodes' inputs, and whether the values of a prompt fit them.

ComfyUI checks a prompt itself, but older ones accept any text for a list, and it names neither the
range nor what there is instead. So values are compared here before a prompt is queued.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .errors import InputError
from .messages import Prompt, title_of

OURS = "IP2P"  # how the classes of this pack begin
# Loaders of core, which take nothing beyond their lists.
LOADERS = ("CheckpointLoaderSimple", "CLIPLoader", "CLIPVisionLoader", "VAELoader")
VALUES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")  # types of what is written into a prompt
MOST_NAMED = 40

Info = dict[str, Any]  # what /object_info answers, by class


@dataclass(frozen=True)
class NodeInput:
    """One input of a node, as the server describes it.

    type     the type of what it takes; COMBO for a list
    choices  what a COMBO lists
    """

    name: str
    type: str
    choices: tuple[Any, ...] = ()
    least: float | None = None
    most: float | None = None

    @property
    def is_socket(self) -> bool:
        return self.type not in VALUES

    @property
    def takes(self) -> str:
        """What may be given, in words."""
        words = {"INT": "a whole number", "FLOAT": "a number", "BOOLEAN": "true or false"}
        words |= {"STRING": "text", "COMBO": "one of a list"}
        return words.get(self.type, f"an output of type {self.type}")

    @property
    def range(self) -> str:
        """The end of a sentence about a number that is out of range."""
        least, most = (
            f"{end:g}" if isinstance(end, float) else str(end) for end in (self.least, self.most)
        )
        if self.most is None:
            return "another number" if self.least is None else f"{least} or more"
        return f"{most} or less" if self.least is None else f"{least} to {most}"


def inputs_of(info: Info, class_type: str) -> dict[str, NodeInput]:
    """The inputs of a class by name, required and optional; empty for a class that is not known."""
    described = info.get(class_type)
    groups = described.get("input") if isinstance(described, dict) else None
    found = {}
    for group in ("required", "optional"):
        named = groups.get(group) if isinstance(groups, dict) else None
        for name, spec in named.items() if isinstance(named, dict) else ():
            if isinstance(spec, (list, tuple)) and spec:
                found[name] = parse_input(name, *spec)
    return found


def parse_input(name: str, kind: Any, options: Any = None, *_: Any) -> NodeInput:
    """An input in the old form, whose type is the list of choices, or in the new."""
    told = options if isinstance(options, dict) else {}
    listed = kind if isinstance(kind, list) else told.get("options", ())
    choices = tuple(listed) if isinstance(listed, (list, tuple)) else ()
    bounds = (told.get(end) for end in ("min", "max"))
    least, most = (end if isinstance(end, (int, float)) else None for end in bounds)
    return NodeInput(name, "COMBO" if isinstance(kind, list) else str(kind), choices, least, most)


class Catalog:
    """What one server says of its nodes, asked once for each class.

    ask  the server's answer to /object_info/<class>
    """

    def __init__(self, ask: Callable[[str], Awaitable[Info]]) -> None:
        self._ask = ask
        self._info: Info = {}

    async def of(self, prompt: Prompt) -> Info:
        """What the server says of the nodes of a prompt."""
        for kind in {described["class_type"] for described in prompt.values()} - set(self._info):
            self._info[kind] = (await self._ask(kind)).get(kind)
        return self._info

    async def check(self, prompt: Prompt) -> None:
        """As `check_values`, by what this server says."""
        try:
            check_values(prompt, await self.of(prompt))
        except InputError:
            self._info.clear()  # its lists may have grown since
            check_values(prompt, await self.of(prompt))


def check_values(prompt: Prompt, info: Info) -> None:
    """Raise InputError for a value that the server does not offer or allow.

    Of our nodes and core's loaders: those of others may take values beyond what they list.
    """
    for key, described in prompt.items():
        if described["class_type"].startswith(OURS) or described["class_type"] in LOADERS:
            known = inputs_of(info, described["class_type"])
            for name, value in described.get("inputs", {}).items():
                if name in known and not isinstance(value, list):
                    check_value(f"{title_of(prompt, key)}.{name}", value, known[name])


def check_value(where: str, value: Any, known: NodeInput) -> None:
    """Raise InputError that names the input, the value, and what fits."""
    if known.type == "COMBO" and value not in known.choices:
        raise InputError(f"{where}: the server has no {value!r}{offered(value, known.choices)}")
    if known.type == "BOOLEAN" and not isinstance(value, bool):
        raise InputError(f"{where}: got {value!r}; give {known.takes}")
    if known.type in ("INT", "FLOAT"):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or (known.type == "INT" and value != value // 1):
            raise InputError(f"{where}: got {value!r}, which is not {known.takes}")
        least = -math.inf if known.least is None else known.least
        if not least <= value <= (math.inf if known.most is None else known.most):
            raise InputError(f"{where}: got {value}; give {known.range}")


def offered(value: Any, choices: tuple[Any, ...]) -> str:
    """The end of a sentence: what there is, the most similar names where there are very many."""
    names = [str(choice) for choice in choices]
    if not names:
        return "; its list is empty"
    if len(names) > MOST_NAMED:
        close = difflib.get_close_matches(str(value), names, 5, 0.3) or names[:5]
        return f"; among its {len(names)} are {', '.join(close)}"
    return f"; it has {', '.join(names)}"
