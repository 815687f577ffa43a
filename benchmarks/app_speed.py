"""What the page costs: the same edits asked for on `ip2p app`, and by `Client.edit`.

    python benchmarks/app_speed.py         writes benchmarks/app_speed.md

A real ComfyUI runs the built-in model. An edit of the page is timed as its person sees it: from the
request until the picture is fetched, with an open page that hears of every step. The client edits
the same picture with the same settings and saves a file. Both take turns, so that what else the
machine does meets both alike; what the median of the pairs says counts.
"""

from __future__ import annotations

import asyncio
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer
from aiohttp import web
from instruct_pix2pix.edits.settings import BUILT_IN, BUILT_IN_SCALES
from instruct_pix2pix.headless.app.routes import App
from instruct_pix2pix.headless.batch import Endpoint
from instruct_pix2pix.headless.client import Client
from instruct_pix2pix.headless.server import PrivateServer
from PIL import Image

SAID = "make it snow"


def main(
    edits: Annotated[int, typer.Option(help="Edits by each of the two.")] = 16,
    steps: Annotated[int, typer.Option(help="Sampling steps of each.")] = 4,
) -> None:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        times = asyncio.run(measure(Path(name), edits, steps))
    page, bare, cpu = (times[way] for way in ("page", "client", "page CPU"))
    ratios = [ours / theirs for ours, theirs in zip(page, bare, strict=True)]
    text = f"""# The page: what it costs over the bare client

`python benchmarks/app_speed.py` on {platform.processor() or platform.machine()},
{os.cpu_count()} CPU cores, Python {platform.python_version()}, load average {load:.1f} at the
start; {edits} edits of {steps} steps by each, in turns; model {BUILT_IN}.

| | |
| --- | --- |
| seconds an edit, client, median | {statistics.median(bare):.3f} |
| seconds an edit, page, median | {statistics.median(page):.3f} |
| page over client, median of the pairs | {statistics.median(ratios):.3f} |
| page over client, all edits | {sum(page) / sum(bare):.3f} |
| page over client, smallest and largest pair | {min(ratios):.3f}, {max(ratios):.3f} |
| CPU seconds an edit, page with its client | {statistics.median(cpu):.4f} |
| CPU seconds an edit, client alone | {statistics.median(times["client CPU"]):.4f} |
"""
    print(text)
    Path(__file__).with_suffix(".md").write_text(text)


async def measure(folder: Path, edits: int, steps: int) -> dict[str, list[float]]:
    """Seconds of each edit on the page and by the client, and the CPU time of this process."""
    picture = folder / "picture.png"
    Image.radial_gradient("L").convert("RGB").resize((512, 512)).save(picture)
    settings = {"checkpoint": BUILT_IN, "steps": steps, **BUILT_IN_SCALES}
    times: dict[str, list[float]] = {
        way: [] for way in ("page", "client", "page CPU", "client CPU")
    }
    arguments = ("--preview-method", "latent2rgb")
    async with PrivateServer(arguments=arguments) as server, Client(server.url) as client:
        page = App([Endpoint(server.url, {})])
        tasks = await page.start()
        runner = web.AppRunner(page.application())
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            async with Person(f"http://{host}:{port}/", picture) as person:
                for turn in range(-1, edits):  # the first warms up
                    for way in ("client", "page") if turn % 2 else ("page", "client"):
                        began, cpu = time.monotonic(), time.process_time()
                        if way == "page":
                            await person.edit({**settings, "seed": turn + 1})
                        else:
                            output = folder / f"{turn}.png"
                            await client.edit(picture, SAID, output, seed=turn + 10**6, **settings)
                        if turn >= 0:
                            times[way].append(time.monotonic() - began)
                            times[f"{way} CPU"].append(time.process_time() - cpu)
        finally:
            await page.stop(tasks)
            await runner.cleanup()
    return times


class Person:
    """An open page: it hears of what happens, and fetches a result once it is told of one."""

    def __init__(self, url: str, picture: Path) -> None:
        self.url, self.picture = url, picture
        self.news = asyncio.Event()

    async def __aenter__(self) -> Person:
        jar = aiohttp.CookieJar(unsafe=True)
        self.session = aiohttp.ClientSession(self.url, cookie_jar=jar)
        await (await self.session.get("/")).read()
        data = self.picture.read_bytes()
        self.source = (await self.ask("upload", data=data))["id"]
        self.listening = asyncio.create_task(self.listen())
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.listening.cancel()
        await self.session.close()

    async def listen(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        async with self.session.get("/api/events", timeout=timeout) as answer:
            async for line in answer.content:
                if line == b"event: state\n":
                    self.news.set()

    async def ask(self, path: str, **body: Any) -> Any:
        async with self.session.post(f"/api/{path}", **body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def edit(self, settings: dict[str, Any]) -> None:
        asked = {"source": self.source, "instruction": SAID, "settings": settings}
        turn = (await self.ask("edit", json={**asked, "random_seed": False}))["turn"]
        while True:
            await self.news.wait()
            self.news.clear()
            async with self.session.get("/api/state") as answer:
                jobs = (await answer.json())["jobs"]
            job = next(job for job in jobs if job["turn"] == turn)
            if job["state"] == "done":
                break
            assert job["state"] in ("waiting", "running"), job["message"]
        await (await self.session.get(f"/api/picture/{job['result']}")).read()


if __name__ == "__main__":
    typer.run(main)
