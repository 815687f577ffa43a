"""What this pack adds to ComfyUI's start-up: its import, its nodes and their schemas.

    make bench      the committed table, benchmarks/startup.md

Each run is a process of its own, which first imports what ComfyUI has imported by the time it
comes to custom nodes, and then loads the pack as ComfyUI does.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

RUNS = 7
RESULT = Path(__file__).with_suffix(".md")

LOAD = """
import asyncio, importlib.util, sys, time
import comfy.cli_args, torch
comfy.cli_args.args.cpu = not torch.cuda.is_available()
started = time.perf_counter()
import nodes, server, comfy_api.latest, comfy_extras.nodes_custom_sampler, latent_preview
core = time.perf_counter() - started
started = time.perf_counter()
name, root = "custom_nodes.instruct-pix2pix", {root!r}
spec = importlib.util.spec_from_file_location(name, root + "/__init__.py")
pack = sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)

async def load():
    extension = await pack.comfy_entrypoint()
    return [node.GET_SCHEMA() for node in await extension.get_node_list()]

count = len(asyncio.run(load()))
print(core, time.perf_counter() - started, count)
"""


def main() -> None:
    code = LOAD.format(root=str(Path(__file__).resolve().parents[1]))
    runs = []
    for _ in range(RUNS):
        output = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout
        runs.append([float(number) for number in output.split()[-3:]])
    core, pack, count = (statistics.median(column) for column in zip(*runs, strict=True))
    text = (
        "# What the pack adds to ComfyUI's start-up\n\n"
        f"`python benchmarks/startup.py`, median of {RUNS} processes:\n\n"
        "| | s |\n| --- | --- |\n"
        f"| core's modules, with torch already imported | {core:.2f} |\n"
        f"| this pack: import, {count:.0f} nodes and their schemas | {pack:.3f} |\n"
    )
    RESULT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
