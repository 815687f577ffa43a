"""The commands `ip2p pairs ...`: training pairs, before they are trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import JsonOption, report
from .options import pairs as named_values
from .torch_side import run_program

app = typer.Typer(help="Look at training pairs.", no_args_is_help=True)


@app.callback()
def pairs() -> None:
    """Look at training pairs."""


@app.command()
def check(
    place: Annotated[Path, typer.Argument(help="Pairs in any layout that ip2p train reads.")],
    resolution: Annotated[int, typer.Option(help="Training size in pixels.")] = 512,
    sheet: Annotated[Path | None, typer.Option(help="Draw a contact sheet of 12 pairs.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help='A column of a table: "source=NAME", target, instruction, ...'),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what training will find in a set of pairs, and what is wrong with it."""
    arguments = [str(place), "--resolution", str(resolution)]
    arguments += ["--columns", json.dumps(named_values(column))]
    if sheet:
        arguments += ["--sheet", str(sheet)]
    told = run_program("pairs.command", arguments)
    report(as_json, {"report": told.splitlines()}, told.rstrip())
