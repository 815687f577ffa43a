"""Which editors a ComfyUI has, what each is good for, and its usual scales."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ...checkpoints.signs import OutlineError
from ...edits.settings import BUILT_IN, BUILT_IN_SCALES, SETTINGS, TEXT_TO_IMAGE
from ..choice import LOADER, choose, sign_of
from ..fetch import is_this_machine
from ..inputs import inputs_of
from ..protocol import Server


@dataclass(frozen=True)
class Model:
    """An editor that can be chosen.

    family    its title; "" where only its name is known, as that of a file on another machine
    text_cfg  its usual scales
    """

    family: str
    text_cfg: float
    image_cfg: float


async def models_of(server: Server) -> tuple[str, dict[str, Model]]:
    """The editor to begin with, and all by name, but for files that are known to be none."""
    info = await server.object_info(LOADER)
    first = (await choose(server)).name
    folders: list[str] = []
    if is_this_machine(server.url.host or ""):
        folders = await server.model_folders("checkpoints", "diffusers", "diffusion_models")
    found = {}
    for name in map(str, inputs_of(info, LOADER)["checkpoint"].choices):
        model = await asyncio.to_thread(described, name, folders)
        if model:
            found[name] = model
    return first, found


def described(name: str, folders: list[str]) -> Model | None:
    """What is known of a checkpoint; None if it cannot edit."""
    if name == BUILT_IN:
        return Model("", **BUILT_IN_SCALES)
    if name == TEXT_TO_IMAGE:
        return None
    usual = Model("", float(SETTINGS["text_cfg"].default), float(SETTINGS["image_cfg"].default))
    try:
        sign = sign_of(name, folders)
    except (OSError, OutlineError):
        return None
    if sign is None:
        return usual
    family = sign.family
    return Model(family.title, family.text_cfg, family.image_cfg) if family else None
