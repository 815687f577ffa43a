"""InstructPix2Pix for ComfyUI: edit pictures by instruction.

ComfyUI calls `comfy_entrypoint`. The nodes are imported only then, so that
`instruct_pix2pix.headless` can be used on a machine that has neither ComfyUI nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./nodes/web"


async def comfy_entrypoint() -> ComfyExtension:
    from .nodes import IP2PExtension

    return IP2PExtension()
