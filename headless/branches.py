"""Says of one checkpoint whether it edits, and whether its branches do what guidance needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ..checkpoints.signs import look
from .doctor import Finding, checkpoint
from .errors import InputError
from .server import PACK, find_comfyui, needs_cpu_flag
from .torch_side import run_program

BUILT_IN = PACK / "mini" / "ip2p-mini.safetensors"
# A share of errors above which a branch does not work; see training/branches.py.
HALF = 0.5


def examine_checkpoint(name: str, instructions: Sequence[str] = ()) -> list[Finding]:
    """Whether a checkpoint is an editor, from its header, and then what its branches do.

    name          a file, a diffusers folder, or "ip2p-mini"
    instructions  edits that it knows, for one that does not know general ones

    Raises InputError for what is not there, ComfyUINotFound and ExecutionFailed.
    """
    path = BUILT_IN if name == BUILT_IN.stem else Path(name)
    if not path.exists():
        raise InputError(f"{name}: there is no such file; give a checkpoint or a workflow (.json)")
    found = checkpoint(name, path)
    if found.good is not True and look(path) is not None:
        return [replace(found, good=False)]
    asked = [word for text in instructions for word in ("--instruction", text)]
    cpu = ["--cpu"] if needs_cpu_flag(find_comfyui().python) else []
    try:
        told = run_program("training.examine", [str(path), *asked, *cpu])
    except InputError as error:
        return [found, Finding("branches", None, f"not measured. {error}")]
    return [found, *judged(**json.loads(told))]


def judged(picture: float, no_picture: float | None, no_text: float) -> Iterator[Finding]:
    """What the shares of training/branches.py mean."""
    seen = f"with its own picture the error is {picture:.0%} of that with a wrong one"
    if picture > HALF:
        yield Finding(
            "picture",
            False,
            f"{seen}: it hardly looks at the picture, so image_cfg does nothing. Train it longer, "
            "or start from an InstructPix2Pix checkpoint",
        )
    else:
        yield Finding("picture", True, seen)
    if no_picture is not None:
        share = f"the error is {no_picture:.0%} of what a wrong picture costs"
        if no_picture > HALF:
            message = (
                f"{share}: it takes no picture for a grey one, so image_cfg pushes away from grey. "
                "Use image_cfg 1, or train on with --dropout 0.05"
            )
            yield Finding("without a picture", False, message)
        else:
            message = f"{share} (over 50% it would take none for a grey one)"
            yield Finding("without a picture", True, message)
    changed = f"it changes {no_text:.0%} of what it changes when asked"
    if no_text > HALF:
        message = (
            f"{changed}: it edits unasked or hears none of these instructions, so text_cfg has "
            "little to go by. Give edits that it knows with --instruction; if that does not help, "
            "train with several wordings and --dropout 0.05"
        )
        yield Finding("without text", False, message)
    else:
        yield Finding("without text", True, changed)
    yield Finding(
        "training",
        None,
        "this measures what the branches do. A short training without dropout leaves them as they "
        "were in its base and cannot be told from one with dropout",
    )
