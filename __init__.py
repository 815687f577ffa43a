"""InstructPix2Pix for ComfyUI: edit pictures by instruction.

ComfyUI calls `comfy_entrypoint`. Nothing is imported before, so that `instruct_pix2pix.headless`
can be used on a machine that has neither ComfyUI nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfy_api.latest import ComfyExtension

WEB_DIRECTORY = "./nodes/web"


async def comfy_entrypoint() -> ComfyExtension:
    from comfy_api.latest import ComfyExtension, io

    from .nodes.auto import IP2PAutoGuidance
    from .nodes.chain import IP2PEditChain
    from .nodes.examples import put_examples
    from .nodes.grid import IP2PGuidanceGrid
    from .nodes.guidance import IP2PGuidance
    from .nodes.loading import IP2PLoadCheckpoint
    from .nodes.lora import IP2PLoadLora
    from .nodes.merging import IP2PMergeCheckpoint
    from .nodes.pairs import IP2PMakePairs
    from .nodes.pictures import IP2PEncodeSource, IP2PRestore, IP2PSampleImage
    from .nodes.presets import IP2PPreset
    from .nodes.region import IP2PEditMask
    from .nodes.sampling import IP2PGuider, IP2PKSampler
    from .nodes.saving import IP2PSaveCheckpoint
    from .nodes.text import IP2PEncodeInstruction
    from .nodes.training import IP2PLoadPairs, IP2PTrain

    class InstructPix2Pix(ComfyExtension):
        async def get_node_list(self) -> list[type[io.ComfyNode]]:
            return [
                IP2PLoadCheckpoint,
                IP2PLoadLora,
                IP2PMergeCheckpoint,
                IP2PSaveCheckpoint,
                IP2PEncodeSource,
                IP2PEncodeInstruction,
                IP2PKSampler,
                IP2PGuider,
                IP2PGuidance,
                IP2PEditMask,
                IP2PGuidanceGrid,
                IP2PAutoGuidance,
                IP2PEditChain,
                IP2PRestore,
                IP2PSampleImage,
                IP2PPreset,
                IP2PMakePairs,
                IP2PLoadPairs,
                IP2PTrain,
            ]

    put_examples()
    return InstructPix2Pix()
