"""What the client costs, whether memory stays flat, and what a second server brings.

    python benchmarks/headless_speed.py         writes benchmarks/headless_speed.md

Real ComfyUI servers run ip2p-mini.

overhead     the same prompts by `Client.edit`, and posted by a bare loop of the standard library
             that only waits for the empty queue, by turns; the ratio of wall times
soak         many edits by one client; the memory of server and client, and its slope
two servers  rows a second on two servers over one. Each step of the sampler sleeps there, as a GPU
             would let the CPU rest: what is measured is whether the client keeps both busy.
             At last one of the two is killed on the way
"""

from __future__ import annotations

import asyncio
import contextlib
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
from instruct_pix2pix.headless.batch import Batch, Endpoint
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.ledger import Ledger
from instruct_pix2pix.headless.manifest import Row
from instruct_pix2pix.headless.server import PrivateServer
from instruct_pix2pix.headless.workflow import edit_prompt
from PIL import Image

SLEEP = 2.0
SLEEPER = f"""
import time
import comfy.k_diffusion.sampling as sampling
import comfy.samplers

def sample_sleeper(model, x, sigmas, extra_args=None, callback=None, disable=None):
    time.sleep({SLEEP} * (len(sigmas) - 1))
    return x

sampling.sample_sleeper = sample_sleeper
comfy.samplers.KSAMPLER_NAMES.append("sleeper")
comfy.samplers.SAMPLER_NAMES.append("sleeper")
NODE_CLASS_MAPPINGS = {{}}
"""


def main(
    edits: Annotated[int, typer.Option(help="Edits for the overhead.")] = 100,
    soak: Annotated[int, typer.Option(help="Edits for the soak.")] = 500,
    shared: Annotated[int, typer.Option(help="Rows for the two servers.")] = 40,
    checkpoint: Annotated[str, typer.Option(help="With which model.")] = "ip2p-mini (built-in)",
    extra: Annotated[str, typer.Option(help="An extra_model_paths file for ComfyUI.")] = "",
) -> None:
    arguments = ["--extra-model-paths-config", extra] if extra else []
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        Image.new("RGB", (128, 128), (200, 80, 60)).save(scratch / "picture.png")
        with server(*arguments) as one:
            cost = asyncio.run(overhead(one, scratch, edits, checkpoint))
            grown = asyncio.run(memory(one, scratch, soak, checkpoint))
        sleeper = scratch / "nodes" / "sleeper.py"
        sleeper.parent.mkdir()
        sleeper.write_text(SLEEPER)
        paths = scratch / "paths.json"
        paths.write_text(json.dumps({"bench": {"custom_nodes": str(sleeper.parent)}}))
        arguments += ["--extra-model-paths-config", str(paths)]
        with server(*arguments) as one, server(*arguments) as two:
            rates = [
                asyncio.run(rate(servers, scratch, shared, checkpoint))
                for servers in ([one], [one, two], [one], [one, two])
            ]
            asyncio.run(rate([one, two], scratch, shared, checkpoint, kill=two))
    gain = statistics.mean(rates[1::2]) / statistics.mean(rates[::2])
    text = f"""# Headless: cost of the client, memory, two servers

`python benchmarks/headless_speed.py` on {platform.processor() or platform.machine()},
{os.cpu_count()} CPU cores, Python {platform.python_version()}, load average {load:.1f} at the
start; model {checkpoint}.

| | |
| --- | --- |
| wall time by the client over a bare loop, {edits} edits each | {cost:.3f} |
| memory of the server over {soak} edits, MiB: start, end, slope per 100 edits | {grown[0]} |
| memory of the client, the same | {grown[1]} |
| rows a second, one server, {SLEEP} s of sleep a row | {rates[0]:.2f}, {rates[2]:.2f} |
| rows a second, two servers | {rates[1]:.2f}, {rates[3]:.2f} |
| two servers over one | {gain:.2f} |
| rows done when one of the two is killed after a third of them | {shared} of {shared} |
"""
    print(text)
    Path(__file__).with_suffix(".md").write_text(text)


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[PrivateServer]:
    private = PrivateServer(arguments=arguments)
    try:
        asyncio.run(private.start())
        yield private
    finally:
        private.stop()


async def overhead(one: PrivateServer, scratch: Path, edits: int, checkpoint: str) -> float:
    """Median ratio of the wall times of blocks of 25 edits, by the client and by a bare loop."""
    picture, seeds, block = scratch / "picture.png", iter(range(10**6)), 25
    parameters: dict[str, Any] = {"steps": 1, "checkpoint": checkpoint}
    async with Client(one.url) as client:
        source = (await client.upload(picture)).annotated
        await client.edit(picture, "warm up", scratch / "out.png", **parameters)
        ratios = []
        for turn in range(edits // block):
            times = {}
            for way in ("client", "bare") if turn % 2 else ("bare", "client"):
                began = time.monotonic()
                if way == "client":
                    await asyncio.gather(
                        *(
                            client.edit(
                                *(picture, "make it snow", scratch / f"{seed}.png"),
                                **parameters,
                                seed=seed,
                            )
                            for _, seed in zip(range(block), seeds, strict=False)
                        )
                    )
                else:
                    await asyncio.to_thread(bare_loop, one.url, source, block, seeds, parameters)
                times[way] = time.monotonic() - began
            ratios.append(times["client"] / times["bare"])
    return statistics.median(ratios)


def bare_loop(
    url: str, source: str, many: int, seeds: Iterator[int], parameters: dict[str, Any]
) -> None:
    """Post prompts and wait until the queue is empty: the least that anybody can do."""
    for _ in range(many):
        prompt = edit_prompt(source, "make it snow", seed=next(seeds), **parameters)
        ask(url + "/prompt", {"prompt": prompt})
    while ask(url + "/prompt")["exec_info"]["queue_remaining"]:
        time.sleep(0.02)


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


async def memory(one: PrivateServer, scratch: Path, edits: int, checkpoint: str) -> list[str]:
    """Start, end and slope of the memory of server and client, in MiB."""
    assert one.process
    samples: list[tuple[float, ...]] = []
    picture = scratch / "picture.png"
    async with Client(one.url, scratch=one.scratch) as client:
        for seed in range(edits):
            parameters: dict[str, Any] = {"steps": 1, "checkpoint": checkpoint, "seed": seed}
            await client.edit(picture, "make it rain", scratch / "soak.png", **parameters)
            samples.append((resident(one.process.pid), resident(os.getpid())))
    settled = samples[len(samples) // 5 :]  # caches fill at first
    words = []
    for column in (0, 1):
        values = [sample[column] for sample in settled]
        slope = statistics.linear_regression(range(len(values)), values).slope * 100
        words.append(f"{values[0]:.0f}, {values[-1]:.0f}, {slope:+.2f}")
    return words


def resident(pid: int) -> float:
    """Resident memory of a process in MiB (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def rate(
    servers: list[PrivateServer],
    scratch: Path,
    rows: int,
    checkpoint: str,
    kill: PrivateServer | None = None,
) -> float:
    """Rows a second by `ip2p batch` over the servers, once each has loaded the model.

    kill  a server to end when a third of the rows is done
    """
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder = Path(name)
        common = {
            "checkpoint": checkpoint,
            "sampler_name": "sleeper",
            "scheduler": "simple",
            "steps": 1,
        }
        picture = str(scratch / "picture.png")
        plan = [
            Row(n, picture, "x", f"{n}.png", parameters={**common, "seed": n}) for n in range(rows)
        ]
        for each in servers:
            async with Client(each.url) as client:
                warm = folder / "warm.png"
                await client.edit(Path(picture), "warm up", warm, **common)
        with Ledger(folder / "ledger.sqlite") as ledger:
            ledger.begin_plan(plan)
            endpoints = [Endpoint(each.url, {"patience": 5.0}) for each in servers]
            began = time.monotonic()

            def watch(counts: dict[str, int], seconds: float) -> None:
                if kill and kill.alive and counts.get("done", 0) * 3 >= rows:
                    kill.stop()

            counts = await Batch(ledger, folder, endpoints, report=watch).run()
        assert counts == {"done": rows}
        return rows / (time.monotonic() - began)


if __name__ == "__main__":
    typer.run(main)
