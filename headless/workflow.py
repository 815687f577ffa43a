"""Prompts in ComfyUI's API format: loaded from files, and changed by title."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..edits.prompt import edit_prompt
from .errors import InputError
from .inputs import Info, NodeInput, inputs_of
from .messages import Prompt, title_of

MAX_WORKFLOW = 64 * 2**20


def load_prompt(path: Path) -> Prompt:
    """Read a workflow in the API format. Raises InputError that says what the file is instead."""
    value = load_json(path)
    if is_saved(value):
        raise InputError(
            f"{path} is a workflow as the editor saves it; export it with File > Export (API)"
        )
    return checked(value, str(path))


def is_saved(value: Any) -> bool:
    """Whether this is a workflow as the editor saves it, with places and links."""
    return isinstance(value, dict) and isinstance(value.get("nodes"), list)


def load_json(path: Path) -> Any:
    """What a workflow file holds. Raises InputError if that is no JSON of a reasonable size."""
    try:
        if path.stat().st_size > MAX_WORKFLOW:
            raise InputError(f"{path}: a workflow of more than {MAX_WORKFLOW >> 20} MiB")
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None


def checked(value: Any, name: str) -> Prompt:
    """The value as a prompt. Raises InputError unless it is {id: {class_type, inputs}}.

    What is posted to /prompt is such a value under "prompt".
    """
    if isinstance(value, dict) and isinstance(value.get("prompt"), dict):
        if "class_type" not in value["prompt"]:
            value = value["prompt"]
    if not isinstance(value, dict) or not value:
        raise InputError(f"{name} is not a workflow in the API format")
    for key, described in value.items():
        if (
            not isinstance(described, dict)
            or not isinstance(described.get("class_type"), str)
            or not isinstance(described.get("inputs", {}), dict)
        ):
            raise InputError(f"{name}: node {key!r} has no class_type or no inputs")
    return value


def edit_of(image: str, instruction: str, **parameters: Any) -> Prompt:
    """The prompt of one edit, as `edit_prompt`. Raises InputError where a value does not fit."""
    try:
        return edit_prompt(image, instruction, **parameters)
    except ValueError as error:
        raise InputError(str(error)) from None


def patched(prompt: Prompt, settings: Mapping[str, Any], info: Info | None = None) -> Prompt:
    """A copy with values replaced, such as {"Sampler.seed": 7}: by title, by id, or by class.

    Text for an input that holds no text is read as JSON ("7", "true", a link such as '["4", 0]');
    else it stays text.

    info  what the server says of its nodes. With it the inputs that a prompt leaves out can be
          given too, and InputError is raised for an input that the node does not have, or that
          takes no values. Without it such an input is taken over as it stands.
    """
    prompt = copy.deepcopy(prompt)
    for where, value in settings.items():
        key, name = find_input(prompt, where)
        inputs = prompt[key].setdefault("inputs", {})
        known = None if info is None else known_input(prompt, key, name, info)
        is_text = known.type in ("STRING", "COMBO") if known else isinstance(inputs.get(name), str)
        if isinstance(value, str) and (not is_text or is_link(read(value), prompt)):
            value = read(value)
        if known and known.is_socket and not is_link(value, prompt):
            raise InputError(
                f"{where} is a socket for {known.type}, which takes the output of another node and "
                f'no value; got {str(value)[:80]!r}. A link is written ["node id", output number]'
            )
        inputs[name] = value
    return prompt


def known_input(prompt: Prompt, key: str, name: str, info: Info) -> NodeInput | None:
    """What the server says of an input; None where it does not know the node's class."""
    known = inputs_of(info, prompt[key]["class_type"])
    present = prompt[key].get("inputs", {})
    if known and name not in known and name not in present:
        title, names = title_of(prompt, key), ", ".join(known)
        raise InputError(f"{title} has no input {name!r}; it has {names}")
    return known.get(name)


def read(text: str) -> Any:
    """What a text means as JSON; the text itself where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def is_link(value: Any, prompt: Prompt) -> bool:
    """Whether a value is an output of a node of the prompt."""
    return isinstance(value, list) and len(value) == 2 and value[0] in list(prompt)


def with_image(prompt: Prompt, title: str, image: str) -> Prompt:
    """A copy in which the node of this title loads an uploaded picture.

    A bundled sample makes place for it: IP2PSampleImage and LoadImage have the same outputs.
    """
    prompt = copy.deepcopy(prompt)
    for key, described in prompt.items():
        named = title.casefold() in (title_of(prompt, key).casefold(), key)
        if named and described["class_type"] == "IP2PSampleImage":
            described["class_type"], described["inputs"] = "LoadImage", {"image": image}
    key, name = find_input(prompt, f"{title}.image")
    inputs = prompt[key].get("inputs", {})
    if name not in inputs:
        raise InputError(f"{title} takes no picture; its inputs are {', '.join(inputs)}")
    inputs[name] = image
    return prompt


def find_input(prompt: Prompt, where: str) -> tuple[str, str]:
    """The node id and input name that "Title.input" means."""
    title, dot, name = where.rpartition(".")
    if not dot or not title or not name:
        raise InputError(f"{where!r}: expected Title.input, such as Sampler.seed")
    wanted = title.casefold()
    found = [k for k in prompt if title_of(prompt, k).casefold() == wanted or k == title]
    found = found or [k for k, n in prompt.items() if n["class_type"].casefold() == wanted]
    if len(found) != 1:
        titles = ", ".join(sorted({title_of(prompt, k) for k in prompt}))
        many = f"{len(found)} nodes are called {title!r}; use an id: {', '.join(found)}"
        raise InputError(many if found else f"no node is called {title!r}; there are: {titles}")
    return found[0], name
