"""What the editor shows: every node of the pack."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .loading import IP2PLoadCheckpoint
from .pictures import IP2PEncodeSource, IP2PRestore, IP2PSampleImage
from .sampling import IP2PGuider, IP2PKSampler
from .text import IP2PEncodeInstruction


class IP2PExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            IP2PLoadCheckpoint,
            IP2PEncodeSource,
            IP2PEncodeInstruction,
            IP2PKSampler,
            IP2PGuider,
            IP2PRestore,
            IP2PSampleImage,
        ]
