"""What it costs and what it loses to spend fewer evaluations on an edit, on ip2p-mini.

    make bench                              the committed table and plot, benchmarks/reuse.md
    python benchmarks/reuse.py --main 5 --others 0      a quick look

Exact sampling, reuse of the differences between branches, and the plain way to save: fewer steps.
On held-out scenes in held-out words, of all families in turn. We draw the scenes, so the right
answer of every edit is known. The pictures are kept in runs/reuse, so that a
second start goes on where the first one ended; remove the folder after a change of the sampling.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import comfy.cli_args
import matplotlib.pyplot as plt
import numpy as np
import torch
import typer

comfy.cli_args.args.cpu = not torch.cuda.is_available()

from counting import Counted  # noqa: E402
from deep_features import DeepEdit, shallow_share  # noqa: E402
from instruct_pix2pix.checkpoints.loading import load_checkpoint  # noqa: E402
from instruct_pix2pix.mini.editing import encoded, to_pixels  # noqa: E402
from instruct_pix2pix.mini.evaluate import (  # noqa: E402
    BUILT_IN,
    NUMERICS,
    SUITED,
    digest,
    held_out_edits,
    named,
    nearest,
    psnr,
)
from instruct_pix2pix.mini.instructions import FAMILIES, Edit  # noqa: E402
from instruct_pix2pix.mini.scenes import render  # noqa: E402
from instruct_pix2pix.samplers.comfy import sampling  # noqa: E402
from instruct_pix2pix.samplers.comfy.text import encode_instruction  # noqa: E402
from instruct_pix2pix.samplers.control import Guidance  # noqa: E402
from instruct_pix2pix.samplers.reuse import Reuse  # noqa: E402

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).with_suffix(".md")
PLOT = ROOT / "docs" / "images" / "reuse.png"
KEPT = ROOT / "runs" / "reuse"
# The first edits of a family chose the methods and the table of evaluation.md.
SKIPPED = 12
BATCH = 5
# So that five in a row are of all kinds.
ASKED = [family for start in range(3) for family in FAMILIES[start:-1:3]]
EULER, DPM = ("euler_ancestral", "normal"), ("dpmpp_2m", "karras")
UNI_PC, SDE = ("uni_pc", "normal"), ("dpmpp_2m_sde", "karras")
USUAL, NEAR = (7.5, 1.5), (7.5, 2.5)


class Method(NamedTuple):
    """A way to make the edit; `steps` where it takes fewer, `image_cfg` where it needs another."""

    name: str
    reuse: Reuse | None = None
    steps: int | None = None
    image_cfg: float | None = None
    deep: bool = False


EXACT, FAST = Method("exact"), Method("fast", Reuse())
DEEP = Method("fast, and deep features every 2nd step", Reuse(), deep=True)
TEXT = Method("image_every 4, text_every 2", Reuse(4, 2))
ALONE = Method("image_cfg 1", image_cfg=1.0)


def fewer(*counts: int) -> list[Method]:
    return [Method(f"{steps} steps", steps=steps) for steps in counts]


@dataclass(frozen=True)
class Setting:
    """The exact edit, the methods that are held against it, and whether it is of the main ones."""

    solver: tuple[str, str]
    steps: int
    scales: tuple[float, float]
    methods: list[Method]
    is_main: bool = False

    @property
    def title(self) -> str:
        text_cfg, image_cfg = self.scales
        return f"{' / '.join(self.solver)}, {self.steps} steps, {text_cfg:g} / {image_cfg:g}"


SETTINGS = [
    Setting(EULER, 20, USUAL, [EXACT, FAST, DEEP, *fewer(15, 11)], is_main=True),
    Setting(EULER, 20, SUITED, [EXACT, FAST, DEEP, *fewer(15, 11, 8)]),
    Setting(EULER, 20, USUAL, [EXACT, ALONE, TEXT]),
    Setting(DPM, 20, USUAL, [EXACT, FAST, DEEP, *fewer(15, 11)]),
    Setting(EULER, 10, USUAL, [EXACT, FAST, *fewer(8)]),
    Setting(EULER, 20, NEAR, [EXACT, FAST, *fewer(17)]),
    Setting(DPM, 20, SUITED, [EXACT, FAST, DEEP, *fewer(11, 8)]),
    Setting(UNI_PC, 20, SUITED, [EXACT, *fewer(11, 8)]),
    Setting(SDE, 20, SUITED, [EXACT, *fewer(11, 8)]),
    Setting(EULER, 50, USUAL, [EXACT, FAST, *fewer(35)]),
    Setting(DPM, 10, USUAL, [EXACT, FAST, *fewer(8)]),
    Setting(UNI_PC, 20, USUAL, [EXACT, *fewer(11, 8)]),
    Setting(SDE, 20, USUAL, [EXACT, *fewer(11, 8)]),
    Setting(DPM, 20, NEAR, [EXACT, FAST, *fewer(17)]),
    Setting(DPM, 50, USUAL, [EXACT, FAST, *fewer(35)]),
]


@dataclass(frozen=True)
class Outcome:
    """Of one method on the edits of one batch.

    pictures     uint8 [n, h, w, 3]
    right        whether each is nearest to what was asked
    truth        dB of each to the right answer
    evaluations  of the network, an edit
    seconds      of one processor, an edit, without encoding and decoding
    """

    pictures: np.ndarray
    right: np.ndarray
    truth: np.ndarray
    evaluations: np.ndarray
    seconds: np.ndarray


class Bench:
    """The way of a graph through the pack, for batches of held-out edits."""

    def __init__(self, checkpoint: Path, folder: Path) -> None:
        self.loaded = load_checkpoint(checkpoint)
        self.folder = folder / digest(checkpoint)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.side = self.loaded.resolution
        self.encoded: tuple[int, Any] = -1, None  # of the batch in work
        self.network = Counted(self.loaded.model)

        words = encode_instruction(self.loaded.clip, "", "")[0][0][0]
        self.shallow = shallow_share(self.loaded.model, words, self.side // 8)

    def outcome(self, setting: Setting, method: Method, first: int, edits: list[Edit]) -> Outcome:
        """Kept from an earlier start, or made now. `first` counts the edits before these."""
        text_cfg, image_cfg = setting.scales
        steps, reuse = method.steps or setting.steps, method.reuse
        kind = "exact" if reuse is None else "-".join(map(str, astuple(reuse)))
        kind += "-deep" if method.deep else ""
        parts = *setting.solver, steps, text_cfg, method.image_cfg or image_cfg, kind, first
        name = "-".join(map(str, parts)) + ".npz"
        path = self.folder / name
        if not path.exists():
            outcome = self.make(setting, method, first, edits)
            np.savez_compressed(path.with_suffix(".new.npz"), **vars(outcome))
            path.with_suffix(".new.npz").replace(path)
        with np.load(path) as kept:
            return Outcome(**kept)

    def sampled(
        self, setting: Setting, method: Method, first: int, edits: list[Edit]
    ) -> tuple[torch.Tensor, float, float]:
        """The latents of the edits, evaluations and seconds of one processor an edit."""
        text_cfg, image_cfg = setting.scales
        conds = encoded(self.loaded.clip, [edit.instruction for edit in edits])
        sources = torch.tensor(np.stack([render(e.source, self.side) for e in edits])) / 255
        if self.encoded[0] != first:
            self.encoded = first, self.loaded.vae.encode(sources)
        source = {"samples": self.encoded[1]}
        inputs = self.network.model, *conds, source, method.steps or setting.steps
        guidance = Guidance(reuse=method.reuse)
        kind = DeepEdit if method.deep else sampling.Edit
        edit = kind(*inputs, *setting.solver, guidance, numerics=NUMERICS)
        self.network.seen, began = 0, time.process_time()
        cell = sampling.Cell(text_cfg, method.image_cfg or image_cfg, SKIPPED + first)
        latents = edit.sample([cell], lambda *_: None)
        seconds = time.process_time() - began
        evaluations = float(self.network.seen)
        if method.deep:
            evaluations -= (1 - self.shallow) * edit.made.deep.shallow_pictures
        return latents, evaluations / len(edits), seconds / len(edits)

    def make(self, setting: Setting, method: Method, first: int, edits: list[Edit]) -> Outcome:
        latents, evaluations, seconds = self.sampled(setting, method, first, edits)
        pictures = to_pixels(self.loaded.vae.decode(latents))
        pairs = list(zip(edits, pictures, strict=True))
        return Outcome(
            pictures,
            np.array([nearest(edit, picture) == edit.target for edit, picture in pairs]),
            np.array([psnr(picture, render(edit.target, self.side)) for edit, picture in pairs]),
            np.array(evaluations),
            np.array(seconds),
        )


class Row(NamedTuple):
    """The figures of one method: those that are means are over all edits."""

    method: Method
    evaluations: float
    speed: float
    decibels: float
    quantile: float
    right: int
    count: int
    truth: float


def batches(count: int) -> Iterator[tuple[int, list[Edit]]]:
    """So many held-out edits that no choice was made by, one of each family after the other."""
    turns = -(-count // len(ASKED))
    each = [held_out_edits(family, SKIPPED + turns)[SKIPPED:] for family in ASKED]
    edits = [edit for turn in zip(*each, strict=True) for edit in turn]
    for first in range(0, count, BATCH):
        yield first, edits[first : first + BATCH]


def rows_of(setting: Setting, outcomes: dict[str, list[Outcome]]) -> list[Row]:
    rows = []
    exact = outcomes[EXACT.name]
    for method in setting.methods:
        found = outcomes[method.name]
        pairs = [
            pair
            for a, b in zip(found, exact, strict=True)
            for pair in zip(a.pictures, b.pictures, strict=True)
        ]
        decibels = [psnr(*pair) for pair in pairs] if method is not EXACT else [np.inf]
        right = np.concatenate([one.right for one in found])
        rows.append(
            Row(
                method,
                float(np.mean([one.evaluations for one in found])),
                float(sum(one.seconds for one in exact) / sum(one.seconds for one in found)),
                float(np.mean(decibels)),
                float(np.quantile(decibels, 0.1)) if method is not EXACT else np.inf,
                int(right.sum()),
                len(right),
                float(np.concatenate([one.truth for one in found]).mean()),
            )
        )
    return rows


def section(setting: Setting, rows: list[Row]) -> list[str]:
    def decibels(value: float) -> str:
        return "-" if np.isinf(value) else f"{value:.1f}"

    exact = rows[0]
    return [
        f"## {setting.title}: {exact.count} edits",
        "",
        "| method | evaluations | fewer by | less time by | PSNR to exact, dB | 10 % quantile "
        "| right | PSNR to the right answer, dB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {row.method.name} | {row.evaluations:.1f} "
            f"| {exact.evaluations / row.evaluations:.2f} | {row.speed:.2f} "
            f"| {decibels(row.decibels)} | {decibels(row.quantile)} "
            f"| {row.right} of {row.count} | {row.truth:.2f} |"
            for row in rows
        ),
        "",
    ]


def plot(tables: list[tuple[Setting, list[Row]]], path: Path) -> None:
    """Decibels to exact over evaluations, a panel for each solver and scales at 20 steps."""
    found: dict[str, list[Row]] = {}
    for setting, rows in tables:
        if setting.steps == 20:
            found.setdefault(setting.title, []).extend(rows)
    columns = min(len(found), 5)
    lines = -(-len(found) // columns)
    size = 3.4 * columns, 3.4 * lines
    figure, grid = plt.subplots(
        lines, columns, figsize=size, sharex=True, sharey=True, squeeze=False
    )
    kinds = {
        "fast": lambda m: m == FAST,
        "fast, and deep features": lambda m: m == DEEP,
        TEXT.name: lambda m: m == TEXT,
        ALONE.name: lambda m: m == ALONE,
        "fewer steps": lambda m: m.steps is not None,
    }
    for panel, (title, rows) in zip(grid.flat, found.items(), strict=False):
        for index, (name, belongs) in enumerate(kinds.items()):
            points = sorted((r.evaluations, r.decibels) for r in rows if belongs(r.method))
            if points:
                look = f"{'osD^x'[index]}-"
                panel.plot(*zip(*points, strict=True), look, color=f"C{index}", label=name)
        panel.set(title=title.replace(", ", "\n", 1), xlim=(20, 60))
        panel.grid(alpha=0.3)
    figure.supxlabel("evaluations")
    figure.supylabel("PSNR to the exact picture, dB")
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="upper center", ncols=len(kinds))
    figure.tight_layout(rect=(0.015, 0, 1, 0.94))
    figure.savefig(path, bbox_inches="tight", dpi=90)


def main(
    main_count: Annotated[int, typer.Option("--main", help="Edits of the first table.")] = 150,
    others: Annotated[int, typer.Option(help="Edits of each other table.")] = 10,
    tables: Annotated[int, typer.Option(help="How many tables, of all SETTINGS.")] = 15,
    checkpoint: Path = BUILT_IN,
    kept: Annotated[Path, typer.Option(help="Where the pictures are kept.")] = KEPT,
    output: Path = RESULT,
    picture: Path = PLOT,
) -> None:
    torch.set_grad_enabled(False)
    bench, settings = Bench(checkpoint, kept), SETTINGS[:tables]
    edits = list(batches(max(main_count, others)))
    tables_of: list[tuple[Setting, list[Row]]] = []
    for setting in settings:
        count = main_count if setting.is_main else others
        if count:
            outcomes = {
                method.name: [
                    bench.outcome(setting, method, first, batch)
                    for first, batch in edits
                    if first < count
                ]
                for method in setting.methods
            }
            tables_of.append((setting, rows_of(setting, outcomes)))
    text = [
        "# Fewer evaluations: what they save and what they lose",
        "",
        f"`python benchmarks/reuse.py --main {main_count} --others {others} --tables {tables}`, "
        f"{named(checkpoint)}: held-out scenes and words, numerics {NUMERICS}, {bench.side} px, "
        f"{torch.get_num_threads()} thread. Times are of the processor, without the first stage. "
        f"A shallow call counts as {bench.shallow:.2f} of an evaluation, by its arithmetic.",
        "",
        *(line for setting, rows in tables_of for line in section(setting, rows)),
    ]
    plot(tables_of, picture)
    output.write_text("\n".join(text))
    print("\n".join(text))


if __name__ == "__main__":
    typer.run(main)
