"""One checkpoint into another: one set of weights, another precision, a file or a folder.

A program of its own, as `ip2p convert` starts it. Nothing is loaded as a model: tensors go from the
mapped file to the new one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from comfy.cli_args import args

WRONG_INPUT = 3  # exit code; standard output then says what to correct


def convert(source: Path, target: Path, weights: Any, precision: Any) -> str:
    """Writes `target`, a name that ends in .safetensors, or a diffusers folder; what came of it.

    Raises CheckpointError for a source that is not an editor, or a precision that its numbers
    exceed.
    """
    from .folders import save_folder
    from .layouts import read_checkpoint
    from .saving import save_parts

    parts = read_checkpoint(source, weights)
    save = save_parts if target.suffix.lower() == ".safetensors" else save_folder
    save(target, parts, None if precision == "keep" else precision)
    files = [path for path in (target, *target.rglob("*")) if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    return f"{target}: {parts.family.title}, {size / 1e9:.2f} GB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--weights", choices=("auto", "ema", "raw"), default="auto")
    parser.add_argument("--precision", choices=("fp16", "bf16", "fp32", "keep"), default="fp16")
    arguments = parser.parse_args()
    args.cpu = True  # before ComfyUI looks for a device, which nothing here needs
    try:
        print(convert(**vars(arguments)))
    except ValueError as error:
        print(error)
        sys.exit(WRONG_INPUT)


if __name__ == "__main__":
    main()
