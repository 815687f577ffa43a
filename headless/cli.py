"""The command `ip2p`: edits, workflows and batches on ComfyUI's queue, without the editor.

Exit codes: 0 done; 1 some rows of a batch failed; 2 wrong usage; 3 wrong input; 4 no ComfyUI, or it
cannot be reached; 5 the workflow was refused; 6 a node failed or the job was cancelled; 7 a result
cannot be written; 130 stopped with Ctrl-C.
"""

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
from rich.console import Console
from rich.markup import escape

from .client import Client
from .demo import demo as run_demo
from .errors import InputError, IP2PError
from .progress import View
from .server import PrivateServer
from .server import serve as run_serve

app = typer.Typer(
    help="Edit pictures by instruction on ComfyUI's own queue, with InstructPix2Pix.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
errors = Console(stderr=True)
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
                private = PrivateServer()
                line = view.line("ComfyUI", f"starting {private.installation.tree}")
                url = (await stack.enter_async_context(private)).url
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


def report(as_json: bool, value: dict[str, Any], text: str) -> None:
    """The result on standard output: for a script, or for a person."""
    print(json.dumps(value, indent=2) if as_json else text)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to save.")] = Path("demo"),
    server: ServerOption = None,
    header: HeaderOption = None,
    insecure: InsecureOption = False,
    ca: CAOption = None,
    timeout: TimeoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Edit three bundled pictures with the built-in model, and make a before/after sheet."""
    address = Address(server, header, insecure, ca, timeout)

    async def work() -> tuple[list[Path], Path]:
        with View(as_json) as view:
            async with address.client(view) as client:
                return await run_demo(client, output, view)

    edited, sheet = finish(work())
    lines = [f"edited  {path}" for path in edited] + [f"sheet   {sheet}"]
    value = {"edited": [str(path) for path in edited], "sheet": str(sheet)}
    report(as_json, value, "\n".join(lines))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Where ComfyUI listens.")] = 8188,
    listen: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
) -> None:
    """Run ComfyUI and its editor with this pack until Ctrl-C; other options go to ComfyUI."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        status = run_serve(listen, port, context.args)
    except KeyboardInterrupt:
        status = 130
    raise typer.Exit(status)


def main() -> None:
    try:
        app()
    except IP2PError as error:
        if "--json" in sys.argv:
            kind = type(error).__name__
            print(json.dumps({"error": {"kind": kind, "message": str(error)}}, indent=2))
        errors.print(f"[red]{type(error).__name__}[/red]: {escape(str(error))}", highlight=False)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
