"""What the commands of `ip2p` share: their options, the connection, and how they end."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from .client import Client
from .errors import InputError
from .progress import View
from .server import PrivateServer

T = TypeVar("T")

ServerOption = Annotated[
    str | None,
    typer.Option("--server", help="A running ComfyUI. Without it a private one is started."),
]
HeaderOption = Annotated[
    list[str] | None,
    typer.Option("--header", help='Sent with every request, such as "Authorization: Bearer X".'),
]
InsecureOption = Annotated[
    bool, typer.Option("--insecure", help="Accept any TLS certificate of the server.")
]
CAOption = Annotated[
    Path | None, typer.Option("--ca", help="The CA file that signed the server's certificate.")
]
TimeoutOption = Annotated[
    float | None, typer.Option(help="Seconds that one job may take. No limit by default.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help='Any input of the workflow: "Sampler.scheduler=karras".'),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]


@dataclass(frozen=True)
class Address:
    """Which server, and how to speak to it."""

    server: str | None = None
    header: list[str] | None = None
    insecure: bool = False
    ca: Path | None = None
    timeout: float | None = None

    def options(self) -> dict[str, Any]:
        """The arguments of `Client`."""
        headers = {}
        for line in self.header or []:
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                raise InputError(f"--header {name!r}: expected the form 'Name: value'")
            headers[name.strip()] = value.strip()
        verify = False if self.insecure else str(self.ca) if self.ca else True
        return {"headers": headers, "verify": verify, "timeout": self.timeout}

    @asynccontextmanager
    async def client(self, view: View, **options: Any) -> AsyncIterator[Client]:
        """A client of the named server, or of a private one that lives as long as the client."""
        async with AsyncExitStack() as stack:
            url = self.server
            if url is None:
                private = PrivateServer(
                    arguments=("--preview-method", "auto") if view.pictures else ()
                )
                line = view.line("ComfyUI", f"starting {private.installation.tree}")
                url = (await stack.enter_async_context(private)).url
                stack.enter_context(private.explained())
                view.done(line, "ready")
            client = Client(url, **{**self.options(), **options})
            yield await stack.enter_async_context(client)


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end. SIGTERM, like Ctrl-C, first stops what was started."""

    async def watched() -> T:
        task = asyncio.ensure_future(work)
        if sys.platform != "win32":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await task

    try:
        return asyncio.run(watched())
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except asyncio.CancelledError:
        raise typer.Exit(143) from None


def pairs(options: list[str] | None) -> dict[str, str]:
    """Options of the form "name=value"."""
    found = {}
    for option in options or []:
        name, equals, value = option.partition("=")
        if not equals or not name.strip():
            raise InputError(f"{option!r}: expected the form name=value")
        found[name.strip()] = value
    return found


async def gather(*work: Coroutine[Any, Any, T]) -> list[T]:
    """Run side by side; when one fails, stop the others first."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def report(as_json: bool, value: dict[str, Any], text: str) -> None:
    """The result on standard output: for a script, or for a person."""
    print(json.dumps(value, indent=2) if as_json else text)
