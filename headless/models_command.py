"""The command `ip2p models`: which editors there are, and how one comes onto this machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..checkpoints.places import IN_CACHE, hub_cache
from .hub import KNOWN, Known, bring, known
from .options import JsonOption, report
from .server import find_comfyui

models = typer.Typer(help="List the editors that can be downloaded, and download one.")

FolderOption = Annotated[
    Path | None, typer.Option("--folder", help="ComfyUI's folder of models, if not the one found.")
]


@models.callback(invoke_without_command=True)
def listed(
    context: typer.Context, folder: FolderOption = None, as_json: JsonOption = False
) -> None:
    """List the editors that are known: name, family, size, licence, and whether it is there."""
    if context.invoked_subcommand:
        return
    place = models_folder(folder)
    cached = hub_cache()
    rows = [
        {**asdict(model), "page": model.page, "place": str(model.place(place))}
        | {"there": is_there(model, place, cached)}
        for model in KNOWN
    ]
    lines = [
        f"{model.name:22}{model.family:22}{model.size:5} GB  "
        f"{'there' if row['there'] else model.page}\n    {model.note}; "
        + (f"licence {model.licence}" if model.licence else "its page names no licence")
        for model, row in zip(KNOWN, rows, strict=True)
    ]
    lines.append(
        f"ip2p models get NAME brings one into {place}. The licence's text is on its page."
    )
    report(as_json, {"models": rows}, "\n".join(lines))


@models.command()
def get(
    name: Annotated[str, typer.Argument(help="A name that `ip2p models` lists.")],
    folder: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download an editor. Stopped or cut off, the same command goes on where it was."""
    console = Console(stderr=True)
    path = bring(known(name), models_folder(folder), console.print)
    report(as_json, {"path": str(path)}, f"{path}\nPress R in the editor to see it in the list.")


def models_folder(folder: Path | None) -> Path:
    """Where models go: the folder given, else that of the ComfyUI that is found."""
    return folder if folder is not None else find_comfyui().tree / "models"


def is_there(model: Known, folder: Path, cached: dict[str, Path]) -> bool:
    """Whether the editor lies in the folder or in the hub's cache."""
    return model.place(folder).exists() or model.repository + IN_CACHE in cached
