"""What a family of editors is: everything that differs between SD 1.5, SDXL and their like.

A family is data, without torch: the loader builds any of them, and `ip2p doctor` recognises them on
a laptop. Adding one is a file in this folder and a line in `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class UNetSigns:
    """What the shapes of a UNet tell about its family.

    channels  that its first layer takes
    context   width of the text that it reads
    has_size  whether it is told picture size and pooled text, as SDXL is
    linear    whether attention is entered by a linear layer, as from SD 2 on
    """

    channels: int
    context: int
    has_size: bool
    linear: bool


@dataclass(frozen=True)
class TextEncoder:
    """One text encoder: where its weights lie, and what the real one looks like.

    name       what ComfyUI calls it, after "clip_"
    prefix     of its tensors in a single file
    folder     in a diffusers pipeline
    shape      of the real one, in the words of its config.json
    open_clip  whether single files hold OpenCLIP's names
    unused     whether the last layer's output is never read, so that diffusers leaves it out
    """

    name: str
    prefix: str
    folder: str
    shape: Mapping[str, Any]
    open_clip: bool = False
    unused: bool = False

    @property
    def tokenizer(self) -> str:
        """The folder of its tokenizer in a diffusers pipeline."""
        return self.folder.replace("text_encoder", "tokenizer")


@dataclass(frozen=True)
class Family:
    """One kind of editor.

    title        in sentences
    core_class   class of comfy.supported_models for its real width, or of checkpoints.core_class
    pipeline     class of diffusers' pipeline
    spec         `modelspec.architecture` of its files
    blocks       of the UNet in the words of ComfyUI's detection, the same at any width
    text         its text encoders
    resolution   side in pixels of the pictures that it was trained for, where no file tells
    text_cfg     the usual scales
    image_cfg
    heads        of each attention of the UNet; 0 for one for each 64 of the width
    velocity     a tensor of the UNet, and the standard deviation above which the model predicts
                 velocity where no file tells
    software     `modelspec.implementation` of its files
    index        what `model_index.json` of its diffusers folders holds beside the parts
    """

    title: str
    core_class: str
    pipeline: str
    spec: str
    blocks: Mapping[str, Any]
    text: tuple[TextEncoder, ...]
    resolution: int
    text_cfg: float
    image_cfg: float
    heads: int = 0
    velocity: tuple[str, float] | None = None
    software: str = "ldm"
    index: Mapping[str, Any] = field(
        default_factory=lambda: {
            "feature_extractor": [None, None],
            "image_encoder": [None, None],
            "safety_checker": [None, None],
            "requires_safety_checker": False,
        }
    )
