"""An edit that ip2p-mini was never taught, though it can read its words: a colored line round it.

`python -m instruct_pix2pix.mini.line` draws pairs/example, the bundled set of training pairs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from .scenes import KINDS, render, sample_scene

COLORS = {
    "red": (200, 40, 40),
    "blue": (40, 70, 200),
    "green": (40, 150, 60),
    "yellow": (235, 205, 50),
}
WORDINGS = "put a {} line round the picture", "add a {} line round it"
# Of the line, as a share of the picture's side.
WIDTH = 0.094
# First seeds of the scenes; none meets what the models were trained on.
EXAMPLE, TRAINED, TESTED = 600_000, 610_000, 620_000
EXAMPLE_FOLDER = Path(__file__).resolve().parents[1] / "pairs" / "example"
SIDE = 256


class Framed(NamedTuple):
    """A drawing uint8 [side, side, 3] without and with the line, and how that is asked for."""

    color: str
    before: np.ndarray
    after: np.ndarray
    wordings: tuple[str, ...]


def line_width(side: int) -> int:
    """In pixels, of a picture of `side` pixels."""
    return round(WIDTH * side)


def with_line(picture: np.ndarray, color: str) -> np.ndarray:
    """The picture uint8 [side, side, 3] with a line of the color along its edge."""
    width = line_width(len(picture))
    inner = slice(width, -width)
    lined = np.empty_like(picture)
    lined[:] = COLORS[color]
    lined[inner, inner] = picture[inner, inner]
    return lined


def framed(count: int, first_seed: int, side: int, colors: list[str]) -> Iterator[Framed]:
    """Scenes of all kinds, the colors in turn."""
    for number in range(count):
        color, kind = colors[number % len(colors)], KINDS[number // len(colors) % len(KINDS)]
        before = render(sample_scene(first_seed + number, kind), side)
        wordings = tuple(wording.format(color) for wording in WORDINGS)
        yield Framed(color, before, with_line(before, color), wordings)


def main() -> None:
    rows = []
    for number, one in enumerate(framed(20, EXAMPLE, SIDE, ["red", "blue"])):
        names = [f"{folder}/{number:02d}.jpg" for folder in ("before", "after")]
        for name, picture in zip(names, (one.before, one.after), strict=True):
            Image.fromarray(picture).save(EXAMPLE_FOLDER / name, quality=90, optimize=True)
        split = "train" if number < 17 else "held-out"
        row = {"source_img": names[0], "target_img": names[1]}
        rows.append(json.dumps(row | {"wordings": one.wordings, "split": split}))
    (EXAMPLE_FOLDER / "pairs.jsonl").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
