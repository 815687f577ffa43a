"""The command `ip2p app`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from aiohttp import web

from ..batch import Endpoint
from ..errors import InputError, OutputError
from ..options import Address, CAOption, HeaderOption, InsecureOption, TimeoutOption, finish
from .routes import App


def app(
    port: Annotated[int, typer.Option(help="Where the page listens.")] = 7860,
    listen: Annotated[
        str, typer.Option(help="0.0.0.0 lets other machines in; then give --auth too.")
    ] = "127.0.0.1",
    auth: Annotated[
        str | None, typer.Option(help="user:password, which the browser then asks for.")
    ] = None,
    server: Annotated[
        list[str] | None,
        typer.Option("--server", help="A running ComfyUI; several share the edits."),
    ] = None,
    header: HeaderOption = None,
    insecure: InsecureOption = False,
    ca: CAOption = None,
    timeout: TimeoutOption = None,
) -> None:
    """A web page for people without a node graph; until Ctrl-C."""
    if auth is not None and (":" not in auth or auth.startswith(":")):
        raise InputError("--auth: expected the form user:password")
    options = Address(None, header, insecure, ca, timeout).options()
    previews = ("--preview-method", "auto")
    urls: list[str | None] = list(server) if server else [None]
    endpoints = [Endpoint(url, options, arguments=previews) for url in urls]
    finish(serve(App(endpoints, auth), listen, port))


async def serve(page: App, listen: str, port: int) -> None:
    """Serve the page until cancelled. Raises OutputError where the port is taken."""
    runner = web.AppRunner(page.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, listen, port).start()
        except OSError as error:
            raise OutputError(f"cannot listen on {listen}:{port}: {error.strerror}") from None
        print(f"http://{'127.0.0.1' if listen == '0.0.0.0' else listen}:{port}", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
