"""Teach ip2p-mini an edit that it does not know, and measure that and what the model knew.

    python benchmarks/finetune.py            the committed table, benchmarks/finetune.md
    python benchmarks/finetune.py 'lora, keep 0.5'     one of WAYS, and those that are done

The edit: a colored line round the picture (mini/line.py). A result is right when, of no line and
the four colors, the nearest drawing is the one that was asked for, and the line has that color. Old
skills are held-out edits of four families, right as in mini/evaluate.py. What is done with
these weights lies in runs/finetune, under their SHA-256, and is not done again.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import comfy.cli_args
import numpy as np
import torch
import typer
from PIL import Image

comfy.cli_args.args.cpu = not torch.cuda.is_available()

from instruct_pix2pix.mini.drawing import stream  # noqa: E402
from instruct_pix2pix.mini.evaluate import (  # noqa: E402
    BUILT_IN,
    SUITED,
    digest,
    held_out_edits,
    named,
    nearest,
)
from instruct_pix2pix.mini.instructions import FAMILIES, instruct, targets  # noqa: E402
from instruct_pix2pix.mini.line import (  # noqa: E402
    COLORS,
    TESTED,
    TRAINED,
    Framed,
    framed,
    line_width,
    with_line,
)
from instruct_pix2pix.mini.scenes import KINDS, render, sample_scene  # noqa: E402
from instruct_pix2pix.pairs.pair import Pair, as_png  # noqa: E402
from instruct_pix2pix.training.base import load_base  # noqa: E402
from instruct_pix2pix.training.run import Run  # noqa: E402
from instruct_pix2pix.training.samples import edit  # noqa: E402
from instruct_pix2pix.training.settings import Settings  # noqa: E402

RESULT = Path(__file__).with_suffix(".md")
RUNS = Path("runs/finetune") / digest(BUILT_IN)
OLD_SKILLS = "hair color", "weather", "clothes", "material"
PAIRS, TESTS, SKILLS = 200, 40, 6  # the last of each family
LESSONS = 100
EULER_STEPS = 10
# Of a line: root mean square in grey levels; the nearest two of the colors are 93 apart.
OFF_COLOR = 40.0
COMMON = Settings(batch_size=8, steps=100, sample_every=0, save_every=0, precision="fp32")
WAYS = {
    "lora, keep 0.5": replace(COMMON, kind="lora", learning_rate=2e-3, keep=0.5),
    "full, keep 0.5": replace(COMMON, kind="full", learning_rate=2e-4, keep=0.5),
    "lora, keep 0": replace(COMMON, kind="lora", learning_rate=2e-3),
}


@dataclass(frozen=True)
class Counts:
    """How many results are right, of the line and of the old skills."""

    line: int
    old: int


def training_pairs(side: int) -> list[Pair]:
    """Pairs of drawn scenes with and without a line."""
    pairs = []
    for number, one in enumerate(framed(PAIRS, TRAINED, side, list(COLORS))):
        before, after = (
            as_png(f"{number} {name}.png", Image.fromarray(picture))
            for name, picture in (("before", one.before), ("after", one.after))
        )
        pairs.append(Pair(f"line {number}", before, after, one.wordings))
    return pairs


def lessons(count: int) -> list[str]:
    """What the frozen model is asked: instructions of all families as it was trained on them."""
    texts: dict[str, None] = {}
    number = 0
    while len(texts) < count:
        scene = sample_scene(TRAINED - 1 - number, KINDS[number % len(KINDS)])
        rng = stream(number, "lesson")
        if reachable := targets(scene, FAMILIES[number % len(FAMILIES)]):
            target = reachable[int(rng.integers(len(reachable)))]
            texts[instruct(scene, target, rng, typos=0)] = None
        number += 1
    return list(texts)


@torch.no_grad()
def edited(run: Run, source: np.ndarray, instruction: str, seed: int) -> np.ndarray:
    """One edit by the model of a run as it is, uint8 [side, side, 3]."""
    vae, net = run.shown.vae, run.net
    latent = vae.encode(torch.from_numpy(source.copy()).float()[None] / 255)
    texts, vectors = zip(
        *(run.batches.conditions([text], *source.shape[:2]) for text in (instruction, "")),
        strict=True,
    )
    done = edit(net, latent, texts, vectors, seed, *SUITED, EULER_STEPS)
    pixels = vae.decode(net.base.latent_format.process_out(done.cpu()))[0]
    return np.asarray((255 * pixels.clamp(0, 1)).round().byte().cpu())


def line_is_right(one: Framed, result: np.ndarray) -> bool:
    """Whether the drawing with the line of its color is the nearest, and the line has that color.

    Of some other picture one of the drawings is the nearest, too.
    """
    pixels = result.astype(np.float32)
    drawings = {"none": one.before} | {name: with_line(one.before, name) for name in COLORS}
    distances = {name: np.square(pixels - drawn).mean() for name, drawn in drawings.items()}
    line = np.ones(pixels.shape[:2], bool)
    inner = slice(line_width(len(line)), -line_width(len(line)))
    line[inner, inner] = False
    off = np.sqrt(np.square(pixels[line] - COLORS[one.color]).mean())
    return min(distances, key=distances.__getitem__) == one.color and bool(off < OFF_COLOR)


def count_right(run: Run, side: int, tests: Sequence[Framed]) -> Counts:
    """Held-out lines and held-out edits of the old families that the model of a run does right."""
    skills = [one for family in OLD_SKILLS for one in held_out_edits(family, SKILLS)]
    line = sum(
        line_is_right(one, edited(run, one.before, one.wordings[0], number))
        for number, one in enumerate(tests)
    )
    old = sum(
        nearest(one, edited(run, render(one.source, side), one.instruction, number)) == one.target
        for number, one in enumerate(skills)
    )
    return Counts(line, old)


def counted(file: Path, run: Run, side: int) -> Counts:
    """What `count_right` found for the file, counted now where it is not there."""
    if not file.exists():
        tests = list(framed(TESTS, TESTED, side, list(COLORS)))
        file.write_text(json.dumps(asdict(count_right(run, side, tests))))
        print(file, file.read_text(), flush=True)
    return Counts(**json.loads(file.read_text()))


def row(name: str) -> str:
    """Train one way and count before and after; its row of the table."""
    base, place = load_base(BUILT_IN.stem), RUNS / name
    settings, side = replace(WAYS[name], resolution=base.resolution), base.resolution
    parts = base.model, base.clip, base.vae
    pairs = training_pairs(side)
    untrained = Run(RUNS / "before", replace(COMMON, resolution=side), *parts, pairs[:1])
    before = counted(RUNS / "before" / "counts.json", untrained, side)
    seconds = place / "seconds"
    if not seconds.exists():
        shutil.rmtree(place, ignore_errors=True)  # one that was killed: its time is not known
    start = time.process_time()
    run = Run(place, settings, *parts, pairs, lessons=lessons(LESSONS))
    run.train()
    if not seconds.exists():
        seconds.write_text(str(time.process_time() - start))
    with run.weights.averaged():
        after = counted(place / "counts.json", run, side)
    skills = SKILLS * len(OLD_SKILLS)
    return (
        f"| {name} | {settings.learning_rate:g} | {before.line} -> {after.line} of {TESTS} "
        f"| {before.old} -> {after.old} of {skills} ({after.old / before.old:.0%}) "
        f"| {float(seconds.read_text()) / 60:.1f} |"
    )


def main(ways: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    heading = (
        "# Fine-tuning the built-in model: what it learns and what it forgets\n\n"
        f"`python benchmarks/finetune.py`: {named(BUILT_IN)}, "
        f"fine-tuned on {PAIRS} pairs of an edit that it does not know: "
        f"{COMMON.steps} steps of {COMMON.batch_size} pairs at 256 pixels, {LESSONS} instructions "
        f"for the frozen model where it keeps, rank {COMMON.rank}. Held-out scenes, and old edits "
        f"in held-out words; text_cfg {SUITED[0]:g}, image_cfg {SUITED[1]:g}, {EULER_STEPS} Euler "
        "steps. Minutes are of CPU time, the pairs encoded in them; one seed.\n\n"
        "| training | learning rate | the new edit right | old edits right | CPU minutes |\n"
        "| --- | --- | --- | --- | --- |\n"
    )
    rows = []
    for name in WAYS:
        if not ways or name in ways or (RUNS / name / "counts.json").exists():
            rows.append(row(name))
            RESULT.write_text(heading + "\n".join(rows) + "\n")


if __name__ == "__main__":
    typer.run(main)
