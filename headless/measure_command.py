"""The command `ip2p measure`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import InputError
from .options import JsonOption, report


def measure(
    results: Annotated[
        Path,
        typer.Argument(
            help="The folder of ip2p batch, or a .csv or .jsonl with a column result; with "
            "--magicbrush, --emu or --pie, the folder of the pictures made for that set."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of the tables.")] = (
        Path("measured")
    ),
    clip: Annotated[
        Path | None,
        typer.Option(help="A CLIP: a folder of transformers, or an open_clip .safetensors."),
    ] = None,
    dino: Annotated[
        Path | None, typer.Option(help="A DINO or DINOv2: a folder of transformers.")
    ] = None,
    magicbrush: Annotated[
        Path | None, typer.Option(help="The folder of MagicBrush's right answers.")
    ] = None,
    emu: Annotated[
        Path | None, typer.Option(help="The table of the Emu Edit test set, as .csv or .jsonl.")
    ] = None,
    pie: Annotated[
        Path | None, typer.Option(help="PIE-Bench's folder, with mapping_file.json.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say how good edits are: what stayed, what changed, and whether it is what was asked."""
    from .server import find_comfyui
    from .torch_side import run_program

    sets = {"magicbrush": magicbrush, "emu": emu, "pie": pie}
    given = {name: path for name, path in sets.items() if path is not None}
    if len(given) > 1:
        raise InputError(f"--{' and --'.join(given)}: results are of one set; give one of them")
    arguments = [str(results), "--output", str(output)]
    for protocol, path in given.items():
        arguments += ["--protocol", protocol, "--dataset", str(path)]
    if clip:
        arguments += ["--clip", str(clip)]
    if dino:
        arguments += ["--dino", str(dino)]
    vocabulary = find_comfyui().tree / "comfy" / "sd1_tokenizer"
    table = run_program("metrics.measure", [*arguments, "--vocabulary", str(vocabulary)])
    page = output / "index.html"
    report(as_json, {"folder": str(output), "page": str(page)}, f"{table}\n{page}")
