"""The checkpoint that training starts from: an editor, or a text-to-image model to make one of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.sd

from ..checkpoints.loading import load_checkpoint, load_text_to_image
from ..checkpoints.signs import look
from .settings import RunError

BUILT_IN = Path(__file__).resolve().parents[1] / "mini" / "ip2p-mini.safetensors"
TEXT_TO_IMAGE = BUILT_IN.with_stem("ip2p-mini-text-to-image")
# What a text-to-image model is trained at to become an editor, as the paper does.
RESOLUTION = 256


@dataclass(frozen=True)
class Base:
    """`resolution` in pixels; the usual scales of its family."""

    model: Any
    clip: Any
    vae: Any
    resolution: int
    text_cfg: float = 7.5
    image_cfg: float = 1.5


def load_base(name: str) -> Base:
    """The model in a file or a diffusers folder.

    "ip2p-mini" and "ip2p-mini-text-to-image" are the built-in ones.
    """
    if name == TEXT_TO_IMAGE.stem:
        drawing = load_text_to_image(TEXT_TO_IMAGE, BUILT_IN)
        return Base(drawing.model, drawing.clip, drawing.vae, drawing.resolution)
    path = BUILT_IN if name == BUILT_IN.stem else Path(name)
    if not path.exists():
        raise RunError(f"--from {name}: there is no such file or folder.")
    sign = look(path)
    if sign is None or sign.family is not None or path.is_dir():
        loaded = load_checkpoint(path)
        return Base(
            loaded.model,
            loaded.clip,
            loaded.vae,
            loaded.resolution,
            loaded.text_cfg,
            loaded.image_cfg,
        )
    try:
        model, clip, vae, _ = comfy.sd.load_checkpoint_guess_config(str(path))
    except Exception as error:  # core raises nearly anything on a file that is none
        raise RunError(f"--from {name}: this is {sign.what}. {sign.advice} ({error})") from error
    return Base(model, clip, vae, RESOLUTION)
