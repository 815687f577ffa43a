"""Measure a folder of results: the program behind `ip2p measure`, in ComfyUI's Python."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from .encoders import load_clip, load_dino
from .measures import PROTOCOLS, Encoders, measured
from .report import (
    Row,
    markdown,
    plot,
    summarise,
    write_csv,
    write_page,
    write_summary,
)
from .samples import Sample, read_emu, read_magicbrush, read_pie, read_table

WRONG_INPUT = 3
READERS: dict[str, Callable[[Path, Path], list[Sample]]] = {
    "magicbrush": read_magicbrush,
    "emu": read_emu,
    "pie": read_pie,
}


def measure(
    results: Path,
    output: Path,
    protocol: str = "table",
    dataset: Path | None = None,
    clip: Path | None = None,
    dino: Path | None = None,
    vocabulary: Path | None = None,
) -> str:
    """Write scores.csv, summary.csv, summary.md, curve.png and index.html; the table of means.

    results     a table or the folder of a batch; for a protocol, the pictures made for its set
    dataset     the folder or table of that set
    vocabulary  a folder with CLIP's vocab.json, for an open_clip file

    Raises ValueError that says which input is wrong.
    """
    if protocol == "table":
        samples = read_table(results)
    else:
        assert dataset is not None
        samples = READERS[protocol](results, dataset)
    encoders = Encoders(
        load_clip(clip, vocabulary) if clip else None, load_dino(dino) if dino else None
    )
    rows = []
    for number, sample in enumerate(samples, 1):
        rows.append(Row(sample, measured(sample, encoders, PROTOCOLS[protocol])))
        if number % 20 == 0 or number == len(samples):
            print(f"{number} of {len(samples)} measured", file=sys.stderr, flush=True)
    output.mkdir(parents=True, exist_ok=True)
    summaries = summarise(rows)
    write_csv(output / "scores.csv", rows)
    write_summary(output / "summary.csv", summaries)
    table = markdown(summaries)
    (output / "summary.md").write_text(table, encoding="utf-8")
    (output / "summary.json").write_text(json.dumps([asdict(s) for s in summaries], indent=2))
    plot(output / "curve.png", summaries, "CLIP direction", "CLIP image")
    write_page(output / "index.html", f"Edits in {results.name}", rows, notes(encoders))
    return table


def notes(encoders: Encoders) -> list[str]:
    """What was not measured, and how to have it."""
    found = []
    if encoders.clip is None:
        found.append("No CLIP was given, so nothing is said of captions: --clip FOLDER.")
    if encoders.dino is None:
        found.append("No DINO was given: --dino FOLDER.")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), default="table")
    for name in ("dataset", "clip", "dino", "vocabulary"):
        parser.add_argument(f"--{name}", type=Path)
    arguments = parser.parse_args()
    try:
        print(measure(**vars(arguments)), end="")
    except ValueError as error:
        print(error)
        sys.exit(WRONG_INPUT)


if __name__ == "__main__":
    main()
