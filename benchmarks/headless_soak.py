"""Many edits by one client on one server: does the memory of either grow?

    python benchmarks/headless_soak.py          writes benchmarks/headless_soak.md

A real ComfyUI runs the built-in model, as a private server does in a batch. Resident memory of both
is read after every edit; the slope is fitted to all but the first fifth, where caches fill.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from instruct_pix2pix.edits.settings import BUILT_IN
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.server import PrivateServer
from PIL import Image


def main(
    edits: Annotated[int, typer.Option(help="At most so many edits.")] = 500,
    minutes: Annotated[float, typer.Option(help="Stop after so long.")] = 30,
    checkpoint: Annotated[str, typer.Option(help="With which model.")] = BUILT_IN,
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        samples = asyncio.run(soak(Path(scratch), edits, minutes * 60, checkpoint))
    settled = samples[len(samples) // 5 :]
    lines = []
    for name, values in zip(("server", "client"), zip(*settled, strict=True), strict=True):
        slope = statistics.linear_regression(range(len(values)), values).slope * 100
        lines.append(f"| {name} | {values[0]:.1f} | {max(values):.1f} | {values[-1]:.1f} |")
        lines[-1] += f" {slope:+.3f} |"
    text = f"""# Headless: memory over {len(samples)} edits

`python benchmarks/headless_soak.py` on {platform.processor() or platform.machine()},
{os.cpu_count()} CPU cores, Python {platform.python_version()}; {len(samples)} edits of one step,
each of another picture; model {checkpoint}.

| resident memory, MiB | after {len(samples) // 5} edits | largest | at the end | per 100 edits |
| --- | --- | --- | --- | --- |
"""
    text += "\n".join(lines) + "\n"
    print(text)
    Path(__file__).with_suffix(".md").write_text(text)


async def soak(
    scratch: Path, edits: int, seconds: float, checkpoint: str
) -> list[tuple[float, float]]:
    """Memory of server and client in MiB after each edit."""
    samples: list[tuple[float, float]] = []
    began = time.monotonic()
    async with PrivateServer() as server:
        assert server.process
        async with Client(server.url, scratch=server.scratch) as client:
            for n in range(edits):
                picture = scratch / "picture.png"
                Image.radial_gradient("L").rotate(n).convert("RGB").resize((128, 128)).save(picture)
                target = scratch / "edited.png"
                await client.edit(
                    *(picture, "make it rain", target), seed=n, steps=1, checkpoint=checkpoint
                )
                samples.append((resident(server.process.pid), resident(os.getpid())))
                if time.monotonic() - began > seconds:
                    break
    return samples


def resident(pid: int) -> float:
    """Resident memory of a process in MiB (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    typer.run(main)
