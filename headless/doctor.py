"""Looks at a ComfyUI, its checkpoints and a workflow, and says what to change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checkpoints.places import hub_cache
from ..checkpoints.signs import OutlineError, look
from ..edits.prompt import node
from ..edits.settings import BUILT_IN, BUILT_INS
from .client import Client
from .errors import ExecutionFailed
from .fetch import is_this_machine
from .messages import Prompt, title_of


@dataclass(frozen=True)
class Finding:
    """One finding. `good` is False for what must change, None for what the user should know."""

    what: str
    good: bool | None
    message: str


async def examine(client: Client, load: bool = False) -> list[Finding]:
    """Is the server well, has it the pack, and which checkpoints can it edit with?

    load  let the server load each checkpoint whose file cannot be looked into from here
    """
    stats = await client.ready()
    system = stats["system"]
    devices = stats.get("devices")
    names = [str(d.get("name")) for d in devices] if isinstance(devices, list) else []
    findings = [
        Finding(
            "server",
            True,
            f"ComfyUI {system.get('comfyui_version')} at {client.server.url} on {', '.join(names)}",
        )
    ]
    loader = (await client.server.object_info("IP2PLoadCheckpoint")).get("IP2PLoadCheckpoint")
    if not isinstance(loader, dict):
        message = "the server has not loaded this pack; put it into custom_nodes and restart"
        return [*findings, Finding("pack", False, message)]
    findings.append(Finding("pack", True, "loaded"))
    choices = options(loader, "checkpoint")
    if BUILT_IN not in choices:
        findings.append(Finding("built-in model", False, f"{BUILT_IN} is not offered"))
    folders: list[str] = []
    cached: dict[str, Path] = {}
    if is_this_machine(client.server.url.host or ""):
        kinds = ("checkpoints", "diffusion_models", "diffusers")
        folders = await client.server.model_folders(*kinds)
        cached = hub_cache()
    for name in choices:
        path = next((p for f in folders if (p := Path(f, name)).exists()), cached.get(name))
        if path:
            findings.append(checkpoint(name, path))
        elif name not in BUILT_INS:
            findings.append(await loaded(client, name) if load else elsewhere(name))
    if set(choices) <= {*BUILT_INS}:
        message = "only the built-in model; put others into ComfyUI's models/checkpoints"
        findings.append(Finding("checkpoints", None, message))
    return findings


def options(node: dict[str, Any], name: str) -> list[str]:
    """The choices of a combo in /object_info, in the old form or the new."""
    try:
        kind, *rest = node["input"]["required"][name]
        found = kind if isinstance(kind, list) else rest[0]["options"]
        return [str(choice) for choice in found]
    except (KeyError, IndexError, TypeError, ValueError):
        return []


def elsewhere(name: str) -> Finding:
    return Finding(f"checkpoint {name}", None, "not on this machine; --load lets the server look")


async def loaded(client: Client, name: str) -> Finding:
    """Whether the server can load a checkpoint for editing."""
    prompt = {
        "model": node("Model", "IP2PLoadCheckpoint", checkpoint=name, weights="auto"),
        "size": node("Size", "PreviewAny", source=["model", 3]),
    }
    try:
        await client.run(prompt)
    except ExecutionFailed as error:
        return Finding(f"checkpoint {name}", None, error.message)
    return Finding(f"checkpoint {name}", True, "InstructPix2Pix")


def checkpoint(name: str, path: Path) -> Finding:
    """Whether a checkpoint edits by instruction, from its header alone, as the loader reads it."""
    what = f"checkpoint {name}"
    try:
        sign = look(path)
    except (OSError, OutlineError) as error:
        return Finding(what, False, f"cannot be read ({error}); download it again")
    if sign is None:
        return Finding(what, None, "its format does not tell without loading it")
    if sign.family is None:
        return Finding(what, None, f"this is {sign.what}. {sign.advice}")
    return Finding(what, True, sign.what)


def traps(prompt: Prompt) -> Iterator[Finding]:
    """What people wire wrong with InstructPix2Pix, found in a workflow in the API format."""
    for key, described in prompt.items():
        kind, inputs = described["class_type"], described.get("inputs", {})
        title = title_of(prompt, key)
        if kind == "DualCFGGuider":
            if source(prompt, inputs.get("negative")) == "InstructPixToPixConditioning":
                message = (
                    "its negative carries the picture, so the picture's scale does nothing; "
                    "connect a plain CLIPTextEncode"
                )
                yield Finding(title, False, message)
            text, image = inputs.get("cfg_conds"), inputs.get("cfg_cond2_negative")
            if isinstance(image, (int, float)) and image > 3:
                message = (
                    f"guidance {text}/{image}: so high an image scale only copies; use 7.5/1.5"
                )
                yield Finding(title, False, message)
        elif kind in ("KSampler", "KSamplerAdvanced", "CFGGuider"):
            if source(prompt, inputs.get("positive")) == "InstructPixToPixConditioning":
                message = "has one scale for both text and picture; use IP2PKSampler"
                yield Finding(title, False, message)
        elif kind == "SetLatentNoiseMask":
            link = inputs.get("samples")
            if source(prompt, link) == "InstructPixToPixConditioning":
                message = (
                    "masks a latent of zeros, which leaves grey outside the mask; "
                    "give the mask to IP2PEncodeSource"
                )
                yield Finding(title, False, message)
        elif kind == "IP2PKSampler":
            image = inputs.get("image_cfg")
            if isinstance(image, (int, float)) and image > 3:
                message = f"image_cfg {image}: so high only copies the picture; 1.2 to 2 is usual"
                yield Finding(title, False, message)
        elif kind == "IP2PEncodeSource":
            if inputs.get("fit") == "keep size":
                message = "keep size: far from the training size, edits get weak or doubled"
                yield Finding(title, None, message)
            elif not isinstance(inputs.get("resolution"), list):
                message = "connect the loader's resolution, so that it fits every checkpoint"
                yield Finding(title, None, message)
        elif kind == "InstructPixToPixConditioning":
            yield from far_from_training(prompt, title, inputs.get("pixels"))


def source(prompt: Prompt, link: Any) -> str | None:
    """The class of the node that a link comes from."""
    return prompt.get(str(link[0]), {}).get("class_type") if isinstance(link, list) else None


def far_from_training(prompt: Prompt, title: str, link: Any) -> Iterator[Finding]:
    if source(prompt, link) not in ("ImageScale", "ImageResizeKJ"):
        return
    inputs = prompt[str(link[0])].get("inputs", {})
    sides = [s for s in (inputs.get("width"), inputs.get("height")) if isinstance(s, int) and s]
    if sides and not 384 <= min(sides) <= 768:
        size = " x ".join(map(str, sides))
        message = f"works at {size}; the models were trained at 512, so edits will be poor"
        yield Finding(title, False, message)
