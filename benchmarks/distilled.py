"""What guidance costs and loses when ip2p-mini has learnt it: one evaluation a step, not three.

    python benchmarks/distilled.py                                    the committed table
    python benchmarks/distilled.py --main 5 --control 5 --others 5      a quick look

The LoRA is what `python -m instruct_pix2pix.mini.distill` trained. It is held against exact
sampling at the scales that it was distilled at, against the model without it at scales of 1, and
against fewer steps, on the edits of reuse.py. Pictures are kept in runs/reuse and runs/distilled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Annotated, NamedTuple

import torch
import typer
from reuse import (
    DPM,
    EULER,
    EXACT,
    KEPT,
    ROOT,
    USUAL,
    Bench,
    Method,
    Outcome,
    Setting,
    batches,
    rows_of,
    section,
)

from counting import Counted  # isort: skip
from instruct_pix2pix.checkpoints.lora import load_lora
from instruct_pix2pix.mini.evaluate import BUILT_IN, NUMERICS, digest, named
from instruct_pix2pix.mini.instructions import Edit
from instruct_pix2pix.nodes.lora import DISTILLED_FILE

RESULT = Path(__file__).with_suffix(".md")
KEPT_HERE = ROOT / "runs" / "distilled"
ALONE = 1.0, 1.0
ROUNDS = 3  # of the times, in turn


class Way(NamedTuple):
    """A way to make the edit: with the LoRA or without, so many steps, at which scales."""

    name: str
    steps: int
    scales: tuple[float, float]
    strength: float | None = None


def plain(steps: int) -> Way:
    return Way(f"{steps} steps", steps, USUAL)


def distilled(steps: int, strength: float = 1.0) -> Way:
    name = f"distilled, {steps} steps" + (f", strength {strength:g}" if strength != 1 else "")
    return Way(name, steps, ALONE, strength)


REFERENCE = Way(EXACT.name, 20, USUAL)
UNTAUGHT = Way("20 steps at scales of 1, not distilled", 20, ALONE)
TABLES: list[tuple[str, tuple[str, str], list[Way]]] = [
    ("main", EULER, [REFERENCE, plain(15), plain(11), distilled(20)]),
    ("control", EULER, [REFERENCE, distilled(20), UNTAUGHT]),
    ("others", EULER, [REFERENCE, distilled(20), distilled(20, 0.75), distilled(20, 0.5)]),
    ("others", DPM, [REFERENCE, plain(11), plain(8), distilled(20), distilled(11), distilled(8)]),
]


class Benches:
    """The way of a graph through the pack, with the LoRA and without."""

    def __init__(self, checkpoint: Path, lora: Path) -> None:
        self.bench, self.lora = Bench(checkpoint, KEPT), lora
        self.places = {None: (self.bench.network, self.bench.folder)}

    def of(self, strength: float | None) -> Bench:
        if strength not in self.places:
            model, _ = load_lora(self.lora, self.bench.loaded.model, None, strength, 0.0)
            folder = KEPT_HERE / digest(self.lora) / f"{strength:g}"
            folder.mkdir(parents=True, exist_ok=True)
            self.places[strength] = Counted(model), folder
        self.bench.network, self.bench.folder = self.places[strength]
        return self.bench

    def outcome(self, solver: tuple[str, str], way: Way, first: int, edits: list[Edit]) -> Outcome:
        setting = Setting(solver, way.steps, way.scales, [])
        return self.of(way.strength).outcome(setting, EXACT, first, edits)

    def outcomes(
        self, solver: tuple[str, str], ways: Sequence[Way], count: int
    ) -> dict[str, list[Outcome]]:
        found: dict[str, list[Outcome]] = {way.name: [] for way in ways}
        for batch in batches(count):
            for way in ways:
                found[way.name].append(self.outcome(solver, way, *batch))
        return found

    def seconds(self, solver: tuple[str, str], ways: Sequence[Way]) -> dict[str, float]:
        """Of each way the median time of the first edit alone, measured in turn."""
        first, edits = next(batches(1))
        self.bench.encoded = -1, None  # of the whole batch
        found: dict[str, list[float]] = {way.name: [] for way in ways}
        for _ in range(ROUNDS):
            for way in ways:
                setting = Setting(solver, way.steps, way.scales, [])
                bench = self.of(way.strength)
                found[way.name].append(bench.sampled(setting, EXACT, first, edits)[2])
        return {name: median(times) for name, times in found.items()}


def main(
    main_count: Annotated[int, typer.Option("--main", help="Edits of the first table.")] = 150,
    control: Annotated[int, typer.Option(help="Edits of the table without a LoRA.")] = 60,
    others: Annotated[int, typer.Option(help="Edits of each other table.")] = 10,
    checkpoint: Path = BUILT_IN,
    lora: Path = DISTILLED_FILE,
    output: Path = RESULT,
) -> None:
    torch.set_grad_enabled(False)
    benches = Benches(checkpoint, lora)
    text = [
        "# Guidance distilled: one evaluation a step",
        "",
        f"`python benchmarks/distilled.py --main {main_count} --control {control} --others "
        f"{others}`, "
        f"{named(checkpoint)} with {named(lora)}: held-out scenes and words, numerics {NUMERICS}, "
        f"{benches.bench.side} px, {torch.get_num_threads()} thread. Exact is three evaluations a "
        f"step, 20 steps. Times are of the processor, without the first stage: of one edit "
        f"alone, medians of {ROUNDS} in turn.",
        "",
    ]
    counts = {"main": main_count, "control": control, "others": others}
    for table, solver, ways in TABLES:
        count = counts[table]
        outcomes = benches.outcomes(solver, ways, count)
        methods = [EXACT if way is REFERENCE else Method(way.name) for way in ways]
        setting = Setting(solver, 20, USUAL, methods)
        times = benches.seconds(solver, ways)
        speeds = {name: times[EXACT.name] / time for name, time in times.items()}
        rows = [row._replace(speed=speeds[row.method.name]) for row in rows_of(setting, outcomes)]
        text += section(setting, rows)
        print("\n".join(text[-len(rows) - 5 :]), flush=True)
    output.write_text("\n".join(text))


if __name__ == "__main__":
    typer.run(main)
