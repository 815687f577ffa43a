"""The command `ip2p convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..checkpoints.signs import OutlineError, look
from .errors import InputError
from .options import JsonOption, report

PRECISIONS = ("fp16", "bf16", "fp32", "keep")
WEIGHTS = ("auto", "ema", "raw")
OTHERS = (".ckpt", ".pt", ".pth", ".bin", ".sft", ".gguf")


def convert(
    source: Annotated[Path, typer.Argument(help="A checkpoint: a file or a diffusers folder.")],
    target: Annotated[
        Path, typer.Argument(help="What to write: a .safetensors file, or a diffusers folder.")
    ],
    precision: Annotated[
        str, typer.Option(help="fp16 (half the size), bf16, fp32, or keep each number as it is.")
    ] = "fp16",
    weights: Annotated[
        str, typer.Option(help="Of two sets: auto takes the averaged ones (EMA); or ema, raw.")
    ] = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Write over a file that is there.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a small file or a diffusers folder of a checkpoint: 7.7 GB with two sets become 2.1."""
    from .torch_side import run_program

    for name, value, known in (
        ("precision", precision, PRECISIONS),
        ("weights", weights, WEIGHTS),
    ):
        if value not in known:
            raise InputError(f"--{name}: got {value!r}; give one of {', '.join(known)}")
    if target.suffix.lower() in OTHERS:
        raise InputError(
            f"{target}: give a file a name that ends in .safetensors, a diffusers folder one "
            f"without {target.suffix}"
        )
    if target.exists() and (not force or target.is_dir() or target.samefile(source)):
        raise InputError(f"{target} is there already; --force writes over a file, not a folder")
    if not target.parent.is_dir():
        raise InputError(f"{target.parent}: there is no such folder")
    try:
        sign = look(source)
    except (OSError, OutlineError) as error:
        raise InputError(f"{source}: it cannot be read ({error})") from error
    if sign is not None and sign.family is None:
        raise InputError(f"{source}: this is {sign.what}. {sign.advice}")
    arguments = [str(source.resolve()), str(target.resolve())]
    told = run_program(
        "checkpoints.convert", [*arguments, "--weights", weights, "--precision", precision]
    )
    report(as_json, {"output": str(target)}, told.strip())
