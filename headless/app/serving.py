"""The web page's server."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ..errors import OutputError
from .routes import App
from .scratch import remove_abandoned


async def serve(page: App, listen: str, port: int) -> None:
    """Serve the page until cancelled.

    Raises OutputError where the port is taken, and IP2PError where no ComfyUI can be worked with.
    """
    await asyncio.to_thread(remove_abandoned)
    runner = web.AppRunner(page.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    tasks: list[asyncio.Task[None]] = []
    try:
        tasks = await page.start()
        try:
            await web.TCPSite(runner, listen, port).start()
        except OSError as error:
            raise OutputError(f"cannot listen on {listen}:{port}: {error.strerror}") from None
        print(f"http://{'127.0.0.1' if listen == '0.0.0.0' else listen}:{port}", flush=True)
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task  # none ends but by an error
    finally:
        await page.stop(tasks)
        await runner.cleanup()
