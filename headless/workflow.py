"""Prompts in ComfyUI's API format: the edit graph, loading from files, and patching by title."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from .errors import InputError
from .messages import Prompt, title_of

MINI = "ip2p-mini (built-in)"
MAX_WORKFLOW = 64 * 2**20


def edit_prompt(
    image: str,
    instruction: str,
    *,
    mask: str | None = None,
    checkpoint: str = MINI,
    prefix: str = "ip2p/edit",
    preset: str = "",
    value: str = "",
    subject: str = "",
    **parameters: Any,
) -> Prompt:
    """The graph of one edit.

    preset       a name of IP2PPreset, which words the instruction from `value` and `subject` and
                 brings its scales; `instruction` is empty then
    image, mask  files of the server's input folder, as LoadImage takes them; white in the mask is
                 what may change
    parameters   inputs of IP2PKSampler (seed, steps, text_cfg, image_cfg, sampler_name, scheduler,
                 denoise, numerics), of IP2PEncodeSource (fit), of IP2PEncodeInstruction (negative,
                 syntax), of IP2PLoadCheckpoint (weights), of IP2PRestore (feather, match_color)
    """
    defaults: dict[str, tuple[str, dict[str, Any]]] = {
        "model": ("IP2PLoadCheckpoint", {"weights": "auto"}),
        "encode": ("IP2PEncodeSource", {"fit": "training size"}),
        "instruction": ("IP2PEncodeInstruction", {"negative": "", "syntax": "plain"}),
        "sampler": (
            "IP2PKSampler",
            {
                "seed": 0,
                "steps": 20,
                "text_cfg": 7.5,
                "image_cfg": 1.5,
                "sampler_name": "euler_ancestral",
                "scheduler": "normal",
                "denoise": 1.0,
                "numerics": "comfyui",
            },
        ),
        "restore": ("IP2PRestore", {"feather": 0, "match_color": "off"}),
    }
    if bool(instruction.strip()) == bool(preset):
        raise InputError("an edit needs either an instruction or a preset")
    unknown = set(parameters) - {name for _, inputs in defaults.values() for name in inputs}
    if unknown:
        raise InputError(f"unknown parameter {', '.join(sorted(unknown))} of an edit")

    def chosen(part: str) -> dict[str, Any]:
        return {name: parameters.get(name, value) for name, value in defaults[part][1].items()}

    prompt: Prompt = {
        "model": node("Model", "IP2PLoadCheckpoint", checkpoint=checkpoint, **chosen("model")),
        "source": node("Source", "LoadImage", image=image),
        "encode": node(
            "Encode source",
            "IP2PEncodeSource",
            image=["source", 0],
            vae=["model", 2],
            resolution=["model", 3],
            **chosen("encode"),
        ),
        "instruction": node(
            "Instruction",
            "IP2PEncodeInstruction",
            clip=["model", 1],
            instruction=instruction,
            **chosen("instruction"),
        ),
        "sampler": node(
            "Sampler",
            "IP2PKSampler",
            model=["model", 0],
            instruction=["instruction", 0],
            negative=["instruction", 1],
            source=["encode", 0],
            **chosen("sampler"),
        ),
        "decode": node("Decode", "VAEDecode", samples=["sampler", 0], vae=["model", 2]),
        "restore": node(
            "Restore", "IP2PRestore", image=["decode", 0], frame=["encode", 1], **chosen("restore")
        ),
        "result": node("Result", "SaveImage", images=["restore", 0], filename_prefix=prefix),
    }
    if preset:
        prompt["preset"] = node("Preset", "IP2PPreset", preset=preset, value=value, subject=subject)
        prompt["instruction"]["inputs"]["instruction"] = ["preset", 0]
        for slot, scale in ((1, "text_cfg"), (2, "image_cfg")):
            if scale not in parameters:
                prompt["sampler"]["inputs"][scale] = ["preset", slot]
    if mask is not None:
        prompt["mask"] = node("Mask", "LoadImageMask", image=mask, channel="red")
        for part in ("encode", "restore"):
            prompt[part]["inputs"]["mask"] = ["mask", 0]
    return prompt


def node(title: str, class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


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
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None


def checked(value: Any, name: str) -> Prompt:
    """The value as a prompt. Raises InputError unless it is {id: {class_type, inputs}}."""
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


def patched(prompt: Prompt, settings: dict[str, Any]) -> Prompt:
    """A copy with values replaced, such as {"Sampler.seed": 7}: by title, by id, or by class.

    Text for an input that holds no text now is read as JSON ("7", "true"); else it stays text.
    """
    prompt = copy.deepcopy(prompt)
    for where, value in settings.items():
        key, name = find_input(prompt, where)
        inputs = prompt[key].setdefault("inputs", {})
        if isinstance(value, str) and not isinstance(inputs.get(name), str):
            try:
                value = json.loads(value)
            except ValueError:
                pass  # a text after all, such as the new value of a linked input
        inputs[name] = value
    return prompt


def with_image(prompt: Prompt, title: str, image: str) -> Prompt:
    """A copy in which the node of this title loads an uploaded picture.

    A bundled sample makes place for it: IP2PSampleImage and LoadImage have the same outputs.
    """
    prompt = copy.deepcopy(prompt)
    for key, described in prompt.items():
        named = title.casefold() in (title_of(prompt, key).casefold(), key)
        if named and described["class_type"] == "IP2PSampleImage":
            described["class_type"], described["inputs"] = "LoadImage", {"image": image}
    return patched(prompt, {f"{title}.image": image})


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
    inputs = prompt[found[0]].get("inputs", {})
    if name not in inputs:
        raise InputError(f"{title} has no input {name!r} here; it has: {', '.join(inputs)}")
    return found[0], name
