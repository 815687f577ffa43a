"""What the client costs: the same prompts by `Client.edit`, and posted by a bare loop.

    python benchmarks/headless_speed.py         writes benchmarks/headless_speed.md

A real ComfyUI runs the built-in model. The bare loop is the least that anybody can do: it posts the
prompts with the standard library and waits for the empty queue. It neither watches nor saves what
it made; the client uploads, listens, looks into the history, downloads, and puts each file whole
on the disk. Blocks of both take turns, so that what else the machine does meets both alike.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from instruct_pix2pix.edits.prompt import edit_prompt
from instruct_pix2pix.edits.settings import BUILT_IN
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.server import PrivateServer
from PIL import Image

BLOCK = 10


def main(
    edits: Annotated[int, typer.Option(help="Edits by each of the two.")] = 100,
    steps: Annotated[int, typer.Option(help="Sampling steps of each.")] = 4,
    checkpoint: Annotated[str, typer.Option(help="With which model.")] = BUILT_IN,
) -> None:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        times = asyncio.run(measure(Path(name), edits, steps=steps, checkpoint=checkpoint))
    ratios = [ours / bare for ours, bare in zip(times["client"], times["bare"], strict=True)]
    text = f"""# Headless: what the client costs

`python benchmarks/headless_speed.py` on {platform.processor() or platform.machine()},
{os.cpu_count()} CPU cores, Python {platform.python_version()}, load average {load:.1f} at the
start; {edits} edits of {steps} steps by each, in blocks of {BLOCK}; model {checkpoint}.

| | |
| --- | --- |
| seconds an edit, bare loop | {sum(times["bare"]) / edits:.3f} |
| seconds an edit, client | {sum(times["client"]) / edits:.3f} |
| client over bare loop, all edits | {sum(times["client"]) / sum(times["bare"]):.3f} |
| client over bare loop, median of the blocks | {statistics.median(ratios):.3f} |
| CPU seconds an edit of the client itself | {sum(times["client CPU"]) / edits:.4f} |
| client over bare loop, smallest and largest block | {min(ratios):.3f}, {max(ratios):.3f} |
"""
    print(text)
    Path(__file__).with_suffix(".md").write_text(text)


async def measure(out: Path, edits: int, **parameters: Any) -> dict[str, list[float]]:
    """Seconds of each block by client and bare loop, and of the CPU time of the client alone."""
    picture, seeds = out / "picture.png", iter(range(10**6))
    Image.radial_gradient("L").convert("RGB").resize((128, 128)).save(picture)
    times: dict[str, list[float]] = {"client": [], "bare": [], "client CPU": []}
    async with PrivateServer() as server, Client(server.url) as client:
        source = (await client.upload(picture)).annotated
        await client.edit(picture, "warm up", out / "out.png", **parameters)
        for turn in range(edits // BLOCK):
            for way in ("client", "bare") if turn % 2 else ("bare", "client"):
                began, cpu = time.monotonic(), time.process_time()
                if way == "client":
                    work = (
                        client.edit(picture, "make it snow", out / f"{n}.png", seed=n, **parameters)
                        for _, n in zip(range(BLOCK), seeds, strict=False)
                    )
                    await asyncio.gather(*work)
                    times["client CPU"].append(time.process_time() - cpu)
                else:
                    await asyncio.to_thread(bare_loop, server.url, source, seeds, parameters)
                times[way].append(time.monotonic() - began)
    return times


def bare_loop(url: str, source: str, seeds: Iterator[int], parameters: dict[str, Any]) -> None:
    for _, seed in zip(range(BLOCK), seeds, strict=False):
        prompt = edit_prompt(source, "make it snow", seed=seed, **parameters)
        ask(url + "/prompt", {"prompt": prompt})
    while ask(url + "/prompt")["exec_info"]["queue_remaining"]:
        time.sleep(0.1)  # asking more often would slow the server down


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


if __name__ == "__main__":
    typer.run(main)
