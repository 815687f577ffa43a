"""Teach ip2p-mini an edit that it does not know, and measure it and what the model knew.

    python benchmarks/finetune.py            the committed table, finetune.md; two cores, minutes

The edit: a colored line round the picture. Its words are known to the built-in model's text
encoder; the edit is not. A result is right when, of no line and the four colors, the nearest
drawing is the one that was asked for. Old skills are held-out edits of four families, right as in
mini/evaluate.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
COLORS = {"red": (200, 40, 40), "blue": (40, 70, 200), "green": (40, 150, 60)} | {
    "yellow": (235, 205, 50)
}
OLD_SKILLS = ("hair color", "weather", "clothes", "material")
FIRST_SEED = 500_000  # below it lie the scenes that ip2p-mini was trained on
SCALES = 3.0, 1.5


def with_line(picture: np.ndarray, color: str) -> np.ndarray:
    """The picture with a colored line round it, a tenth of its side wide."""
    framed, width = picture.copy(), max(1, round(0.094 * len(picture)))
    inner = framed[width:-width, width:-width].copy()
    framed[:] = COLORS[color]
    framed[width:-width, width:-width] = inner
    return framed


def line_pairs(count: int, first_seed: int, side: int) -> list:
    """Pairs of drawn scenes with and without a line, the colors and kinds in turn."""
    from instruct_pix2pix.mini.scenes import KINDS, render, sample_scene
    from instruct_pix2pix.pairs.pair import Pair, PictureBytes

    pairs = []
    for number in range(count):
        color = list(COLORS)[number % len(COLORS)]
        scene = sample_scene(first_seed + number, KINDS[number // len(COLORS) % len(KINDS)])
        source = render(scene, side)
        pictures = [
            PictureBytes(f"{number}-{name}.png", png(pixels))
            for name, pixels in (("before", source), ("after", with_line(source, color)))
        ]
        wordings = (f"put a {color} line round the picture", f"add a {color} line round it")
        pairs.append(Pair(f"line {number}", *pictures, wordings))
    return pairs


def png(pixels: np.ndarray) -> bytes:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def edited(run, source: np.ndarray, instruction: str, seed: int) -> np.ndarray:
    """One edit by the model of a run as it is, uint8 [side, side, 3]."""
    from instruct_pix2pix.training.samples import edit

    vae, net, batches = run.shown.vae, run.net, run.batches
    with torch.no_grad():
        latent = vae.encode(torch.from_numpy(source.copy()).float()[None] / 255)
        texts, vectors = zip(
            *(batches.conditions([text], *source.shape[:2]) for text in (instruction, "")),
            strict=True,
        )
        done = edit(net, latent, texts, vectors, seed, *SCALES)
        pixels = vae.decode(net.base.latent_format.process_out(done.cpu()))[0]
    return (255 * pixels.clamp(0, 1)).round().byte().cpu().numpy()


def lines_right(run, pairs: list, side: int) -> int:
    """How many of the pairs get the line that was asked for."""
    from instruct_pix2pix.pairs.pair import open_picture

    right = 0
    for number, pair in enumerate(pairs):
        source = np.array(open_picture(pair.source))
        color = list(COLORS)[number % len(COLORS)]
        drawings = {"none": source} | {name: with_line(source, name) for name in COLORS}
        result = edited(run, source, pair.instruction, number).astype(np.float32)
        distances = {name: ((result - one) ** 2).mean() for name, one in drawings.items()}
        right += min(distances, key=distances.__getitem__) == color
    return right


def skills_right(run, count: int, side: int) -> int:
    """How many of `count` held-out edits of each old family are right."""
    from instruct_pix2pix.mini.evaluate import held_out_edits, nearest
    from instruct_pix2pix.mini.scenes import render

    edits = [one for family in OLD_SKILLS for one in held_out_edits(family, count)]
    return sum(
        nearest(one, edited(run, render(one.source, side), one.instruction, number)) == one.target
        for number, one in enumerate(edits)
    )


def known_edits(count: int) -> list[str]:
    """Other instructions in the model's own words, which the frozen model is asked."""
    from instruct_pix2pix.mini.instructions import FAMILIES, sample_edit
    from instruct_pix2pix.mini.scenes import KINDS, sample_scene

    rng = np.random.default_rng(0)
    texts: dict[str, None] = {}
    for number in range(20 * count):
        scene = sample_scene(FIRST_SEED - 1 - number, KINDS[number % len(KINDS)])
        family = FAMILIES[number % len(FAMILIES)]
        try:
            texts[sample_edit(scene, family, rng).instruction] = None
        except (ValueError, IndexError):
            continue  # a family that this scene has none of
        if len(texts) == count:
            break
    return [text for text in texts if text]


def measure(
    kind: str, keep: float, steps: int, rate: float, pairs: int, tests: int, skills: int
) -> dict[str, object]:
    """Train one way and count before and after."""
    from instruct_pix2pix.training.base import load_base
    from instruct_pix2pix.training.run import Run
    from instruct_pix2pix.training.settings import Settings

    base = load_base("ip2p-mini")
    side = base.resolution
    settings = Settings(
        kind=kind, keep=keep, steps=steps, learning_rate=rate, batch_size=12, resolution=side,
        sample_every=0, save_every=0, rank=16, precision="fp32",
    )  # fmt: skip
    held_out = line_pairs(tests, FIRST_SEED + 100_000, side)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(
            Path(folder), settings, base.model, base.clip, base.vae,
            line_pairs(pairs, FIRST_SEED, side), lessons=known_edits(100),
        )  # fmt: skip
        before = lines_right(run, held_out, side), skills_right(run, skills, side)
        start = time.monotonic(), time.process_time()
        run.train()
        seconds = time.monotonic() - start[0], time.process_time() - start[1]
        with run.weights.averaged():
            after = lines_right(run, held_out, side), skills_right(run, skills, side)
    return {
        "training": f"{kind}, keep {keep:g}, {steps} steps at {rate:g}",
        "new": f"{before[0]} -> {after[0]} of {tests}",
        "old": f"{before[1]} -> {after[1]} of {skills * len(OLD_SKILLS)}",
        "seconds": f"{seconds[0]:.0f} ({seconds[1]:.0f} of CPU)",
        "counts": (before, after),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--tests", type=int, default=40)
    parser.add_argument("--skills", type=int, default=12)
    parser.add_argument("--steps", type=int, default=180)
    parser.add_argument("--only", type=int, nargs="*", help="of the ways, from 0")
    given = parser.parse_args()
    ways = (("full", 0.0, 2e-4), ("full", 0.5, 2e-4), ("lora", 0.5, 2e-3))
    sizes = given.pairs, given.tests, given.skills
    lines = [
        "| training | the new edit right | old skills right | seconds |",
        "| --- | --- | --- | --- |",
    ]
    for number, (kind, keep, rate) in enumerate(ways):
        if given.only and number not in given.only:
            continue
        row = measure(kind, keep, given.steps, rate, *sizes)
        lines.append("| {training} | {new} | {old} | {seconds} |".format(**row))
        print(lines[-1], flush=True)
    heading = (
        f"ip2p-mini on {given.pairs} pairs of an edit that it does not know, batch 12, "
        f"measured at text_cfg {SCALES[0]:g} and image_cfg {SCALES[1]:g} in 20 steps, "
        f"{torch.get_num_threads()} threads of a shared CPU.\n"
    )
    (ROOT / "benchmarks" / "finetune.md").write_text("\n".join([heading, *lines]) + "\n")


if __name__ == "__main__":
    pack = types.ModuleType("instruct_pix2pix")
    pack.__path__ = [str(ROOT)]
    sys.modules["instruct_pix2pix"] = pack
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    main()
