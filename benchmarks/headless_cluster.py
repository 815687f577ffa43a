"""Rows a second on two servers against one, under Ray.

    python benchmarks/headless_cluster.py       writes benchmarks/headless_cluster.md

`Batch` runs the rows through a Ray cluster of this machine, a worker for each server; on one server
also without Ray, to show what Ray costs. Each server is a real ComfyUI with the built-in model.

sampling  as it is: the servers share this machine's cores
slowed    each edit sleeps instead of sampling, and lets the cores rest as a GPU would: what is
          measured then is whether one client keeps both servers busy

The clock of each server runs from its first result to its last, so that no start counts. At last
one of the two servers is killed on the way.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from instruct_pix2pix.headless.batch import Batch, Endpoint, Place
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.cluster import ray_places
from instruct_pix2pix.headless.ledger import Ledger
from instruct_pix2pix.headless.manifest import Row
from instruct_pix2pix.headless.server import PrivateServer
from PIL import Image

SLEEP = 4.0
SLEEPER = f"""
import time
import comfy.k_diffusion.sampling as sampling
import comfy.samplers

def sample_sleeper(model, x, sigmas, extra_args=None, callback=None, disable=None):
    time.sleep({SLEEP})
    return x

sampling.sample_sleeper = sample_sleeper
comfy.samplers.KSAMPLER_NAMES.append("sleeper")
comfy.samplers.SAMPLER_NAMES.append("sleeper")
NODE_CLASS_MAPPINGS = {{}}
"""
SAMPLING = {"steps": 10}
SLOWED = {"steps": 1, "sampler_name": "sleeper", "scheduler": "simple"}


def main(rows: Annotated[int, typer.Option(help="Edits of each run.")] = 20) -> None:
    load = os.getloadavg()[0]
    os.environ["RAY_worker_niceness"] = "0"  # else Ray's workers wait for whatever else goes on
    with tempfile.TemporaryDirectory() as scratch:
        rates = asyncio.run(measure(Path(scratch), rows))
    lines = [
        f"| {name} | {plain:.2f} | {one:.2f} | {two:.2f} | {two / one:.2f} |"
        for name, (plain, one, two) in rates.items()
    ]
    text = f"""# Headless: two servers under Ray

`python benchmarks/headless_cluster.py` on {platform.processor() or platform.machine()},
{os.cpu_count()} CPU cores, Python {platform.python_version()}, load average {load:.1f} at the
start, process priority {os.nice(0)}; {rows} rows a run.

| rows a second | one server, no Ray | one, Ray | two, Ray | two over one |
| --- | --- | --- | --- | --- |
{chr(10).join(lines)}

One of the two was killed after a third of the rows: {rows} of {rows} were done, each once.
"""
    print(text)
    Path(__file__).with_suffix(".md").write_text(text)


async def measure(scratch: Path, rows: int) -> dict[str, tuple[float, float, float]]:
    sleeper = scratch / "nodes" / "sleeper.py"
    sleeper.parent.mkdir()
    sleeper.write_text(SLEEPER)
    paths = scratch / "paths.json"
    paths.write_text(json.dumps({"bench": {"custom_nodes": str(sleeper.parent)}}))
    Image.radial_gradient("L").convert("RGB").resize((128, 128)).save(scratch / "picture.png")
    async with AsyncExitStack() as stack:
        arguments = ("--extra-model-paths-config", str(paths))
        one, two = [
            await stack.enter_async_context(PrivateServer(arguments=arguments)) for _ in "12"
        ]
        for server in (one, two):
            async with Client(server.url) as client:
                await client.edit(scratch / "picture.png", "warm up", scratch / "warm.png")
        found = {}
        for name, parameters in (("sampling", SAMPLING), (f"slowed, {SLEEP:.0f} s", SLOWED)):
            plain = await rate([Endpoint(one.url, {})], scratch, rows, parameters)
            with ray_places("local", [one.url], {}) as places:
                single = await rate(places, scratch, rows, parameters)
            with ray_places("local", [one.url, two.url], {}) as places:
                found[name] = plain, single, await rate(places, scratch, rows, parameters)
        with ray_places("local", [one.url, two.url], {"patience": 5.0}) as places:
            await rate(places, scratch, rows, SLOWED, kill=two)
    return found


async def rate(
    places: Sequence[Place],
    scratch: Path,
    rows: int,
    parameters: dict[str, Any],
    kill: PrivateServer | None = None,
) -> float:
    """Rows a second: of each place, from its first result to its last, all together.

    kill  a server to end when a third of the rows is done
    """
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        folder, picture = Path(name), str(scratch / "picture.png")
        plan = (
            Row(n, picture, f"make it {name}", f"{n}.png", parameters={**parameters, "seed": n})
            for n in range(rows)
        )

        def watch(counts: dict[str, int], seconds: float) -> None:
            if kill and kill.alive and counts.get("done", 0) * 3 >= rows:
                kill.stop()

        with Ledger(folder / "ledger.sqlite") as ledger:
            ledger.begin_plan(plan)
            counts = await Batch(ledger, folder, places, report=watch).run()
            (repeated,) = ledger.db.execute("SELECT SUM(completions != 1) FROM rows").fetchone()
            assert counts == {"done": rows} and repeated == 0
            ends: dict[str | None, list[float]] = {}
            for entry in ledger.entries():
                written = (folder / entry.output).stat().st_mtime
                ends.setdefault(entry.server, []).append(written)
        return sum((len(e) - 1) / (max(e) - min(e)) for e in ends.values() if len(e) > 1)


if __name__ == "__main__":
    typer.run(main)
