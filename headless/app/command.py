"""The command `ip2p app`."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import InputError
from ..options import HOW_TO_SPEAK, Address, finish, takes


@takes("address", HOW_TO_SPEAK, Address)
def app(
    address: Address,
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
) -> None:
    """A web page for people without a node graph; until Ctrl-C."""
    if auth is not None and (":" not in auth or auth.startswith(":")):
        raise InputError("--auth: expected the form user:password")
    if auth is None and listen not in ("127.0.0.1", "::1", "localhost"):
        typer.echo(
            "everyone who can reach this page can edit; --auth user:password asks for a password",
            err=True,
        )
    from ..batch import Endpoint
    from .routes import App
    from .serving import serve

    options = address.options()
    previews = ("--preview-method", "auto")
    urls: list[str | None] = list(server) if server else [None]
    endpoints = [Endpoint(url, options, arguments=previews) for url in urls]
    finish(serve(App(endpoints, auth), listen, port))
