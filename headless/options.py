"""What the commands of `ip2p` share: their options, the connection, and how they end.

Whatever is slow to import is imported when a command runs, so that `ip2p --help` is not.
"""

from __future__ import annotations

import inspect
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ..edits.settings import SETTINGS
from .asked import MOST_SEEDS, Asked
from .errors import InputError, ServerUnavailable, Stopped

if TYPE_CHECKING:
    from .client import Client
    from .progress import View

T = TypeVar("T")
Command = TypeVar("Command", bound=Callable[..., None])

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help='Any input of any node, by the node\'s title: "Sampler.scheduler=karras".'
    ),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Write over files that are there already.")
]


def option(name: str, kind: Any, default: Any, *declared: str, **told: Any) -> inspect.Parameter:
    """One option of a command, to be taken over by `takes`."""
    annotation = Annotated[kind, typer.Option(*declared, **told)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def takes(
    argument: str, options: Sequence[inspect.Parameter], gather: Callable[..., Any]
) -> Callable[[Command], Command]:
    """Give a command these options, and hand it in one argument what `gather` makes of them."""

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [
            p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for p in signature.parameters.values()
            if p.name != argument
        ]

        @wraps(command)
        def run(**given: Any) -> None:
            of_them = {option.name: given.pop(option.name) for option in options}
            command(**given, **{argument: gather(**of_them)})

        del run.__wrapped__  # typer would read its annotations
        parameters = [*own, *options]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
        return run  # type: ignore[return-value]

    return decorate


SERVER = option(
    "server",
    str | None,
    None,
    "--server",
    help="A running ComfyUI. Without it a private one is started.",
)
HOW_TO_SPEAK = (
    option(
        *("header", list[str] | None, None, "--header"),
        help='Sent with every request, such as "Authorization: Bearer X".',
    ),
    option(
        *("insecure", bool, False, "--insecure"),
        help="Accept any TLS certificate of the server.",
    ),
    option(
        *("ca", Path | None, None, "--ca"),
        help="The CA file that signed the server's certificate.",
    ),
    option(
        *("timeout", float | None, None, "--timeout"),
        help="Seconds that one job may take. No limit by default.",
    ),
)


def settings_options() -> list[inspect.Parameter]:
    """An option for each setting of an edit; None where it is not given."""
    return [
        option(
            *(setting.name, setting.kind | None, None, setting.option),
            help=f"{setting.help} Default: {setting.default}."
            if setting.default != ""
            else setting.help,
        )
        for setting in SETTINGS.values()
    ]


ASKED = (
    option(
        *("preset", str | None, None, "--preset"),
        help="A name of `ip2p presets`; in place of instructions come its values.",
    ),
    option(
        *("subject", str | None, None, "--subject"),
        help="Whom or what a preset changes, such as her.",
    ),
    option(*("mask", Path | None, None, "--mask"), help="A picture; what is white may change."),
    option(
        *("only", bool, False, "--only"),
        help="Let the model find the region of the edit; all else stays, bit for bit.",
    ),
    option(
        *("auto", bool, False, "--auto"),
        help="Let the model find the two scales, for the time of about five edits.",
    ),
    option(
        *("fast", bool, False, "--fast"),
        help="A quarter fewer evaluations; the picture of a seed changes a little.",
    ),
    option(
        *("seeds", int, 1, "--seeds"), help="Make each edit with so many seeds, from --seed on."
    ),
    option(
        *("format", str, "png", "--format"),
        help="png, jpg or webp, where the name of a result does not say.",
    ),
    inspect.Parameter("set_", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=SetOption),
    *settings_options(),
)


def read_asked(
    preset: str | None,
    subject: str | None,
    mask: Path | None,
    only: bool,
    auto: bool,
    fast: bool,
    seeds: int,
    format: str,
    set_: list[str] | None,
    **settings: Any,
) -> Asked:
    """The options of an edit, checked. Raises InputError for a value that does not fit."""
    from .formats import format_named
    from .workflow import edit_of

    words = {"preset": preset, "subject": subject, "only": only, "auto": auto, "fast": fast}
    parameters: dict[str, Any] = {name: value for name, value in words.items() if value}
    try:
        for name, value in settings.items():
            if value is not None:
                parameters[name] = SETTINGS[name].checked(value)
    except ValueError as error:
        raise InputError(str(error)) from None
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError(f"--seeds: got {seeds}; give 1 to {MOST_SEEDS}")
    format_named(format)
    # What does not go together is refused before anything is started.
    edit_of("picture", "" if preset else "x", mask="mask" if mask else None, **parameters)
    return Asked(parameters, pairs(set_), mask, seeds, format)


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
        from .client import Client
        from .server import PrivateServer

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


def finish(work: Coroutine[Any, Any, T], so_far: Callable[[], str] | None = None) -> T:
    """Run to the end. SIGTERM, like Ctrl-C, first stops what was started.

    so_far  a sentence about what is done, for when it is stopped or the server is gone

    Raises Stopped after either signal, and what `work` raises.
    """

    import asyncio

    async def watched() -> T:
        task = asyncio.ensure_future(work)
        if sys.platform != "win32":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await task

    told = so_far or (lambda: "")
    try:
        return asyncio.run(watched())
    except KeyboardInterrupt:
        raise Stopped(f"stopped. {told()}".strip(), 130) from None
    except asyncio.CancelledError:
        raise Stopped(f"stopped. {told()}".strip(), 143) from None
    except ServerUnavailable as error:
        raise ServerUnavailable(f"{error}\n{told()}".strip()) from None


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
    import asyncio

    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


CONNECTION = (SERVER, *HOW_TO_SPEAK)


def report(as_json: bool, value: dict[str, Any], text: str) -> None:
    """The result on standard output: for a script, or for a person."""
    print(json.dumps(value, indent=2) if as_json else text)
