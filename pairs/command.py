"""The program behind `ip2p pairs check`, in ComfyUI's Python."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from ..pictures.sheet import sheet_of
from .checks import examine
from .layouts import read_pairs
from .pair import Pair, open_picture

WRONG_INPUT = 3
SHOWN = 12


def contact_sheet(pairs: Sequence[Pair], shown: int = SHOWN, side: int = 160) -> Image.Image:
    """Before and after of `shown` pairs, spread over the set, three a row, and their words."""
    chosen = pairs[:: max(1, len(pairs) // shown)][:shown]
    pictures = []
    for pair in chosen:
        both = Image.new("RGB", (2 * side, side), "white")
        for left, picture in ((0, pair.source), (side, pair.target)):
            both.paste(ImageOps.pad(open_picture(picture), (side, side), color="white"), (left, 0))
        pictures.append(both)
    across = min(3, len(chosen))
    rows = [""] * -(-len(chosen) // across)
    captions = [pair.instruction for pair in chosen]
    return sheet_of(pictures, (2 * side, side), [""] * across, rows, captions)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place", type=Path)
    parser.add_argument("--columns", default="{}", help="JSON: role -> column")
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    try:
        report = examine(read_pairs(given.place, json.loads(given.columns)))
        lines = report.lines(given.resolution)
        if given.sheet and report.pairs:
            given.sheet.parent.mkdir(parents=True, exist_ok=True)
            contact_sheet(report.pairs).save(given.sheet)
            lines.append(str(given.sheet))
    except ValueError as error:
        print(error)
        return WRONG_INPUT
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
