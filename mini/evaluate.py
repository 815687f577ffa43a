"""Measure ip2p-mini through the pack's nodes in ComfyUI: `python -m mini.evaluate`.

On held-out scenes and held-out wordings; we draw the scenes, so every right answer is known.
An edit counts as right when, of the drawings of its scene with every value that the edited
attributes can take, the asked one is the nearest to the result.
"""

import argparse
import importlib
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .drawing import stream
from .instructions import EDITED, FAMILIES, FAMILY_OF, Edit, changes, sample_edit, targets
from .scenes import KINDS, Scene, attributes, render, sample_scene, vary

# (pictures uint8 [n, h, w, 3], instructions, seed) -> pictures uint8 [n, h, w, 3]
Editor = Callable[[np.ndarray, list[str], int], np.ndarray]

BUILT_IN = Path(__file__).with_name("ip2p-mini.safetensors")
# The text_cfg and image_cfg that suit the built-in weights best; the table is at the usual ones.
SUITED = 2.0, 1.2
RESULT = Path(__file__).with_name("evaluation.md")
FIRST_SEED = 1000
BATCH = 16


@dataclass(frozen=True)
class Editing:
    """The pack's nodes around one checkpoint."""

    edit: Editor
    round_trip: Callable[[np.ndarray], np.ndarray]
    side: int


def held_out_edits(family: str, count: int) -> list[Edit]:
    """Edits in held-out words of scenes that the training never saw, of all kinds that have any."""
    names = set(EDITED.get(family, FAMILY_OF))
    kinds = [kind for kind in KINDS if names & set(attributes(sample_scene(0, kind)))]
    edits: list[Edit] = []
    seed = FIRST_SEED
    while len(edits) < count:
        source = sample_scene(seed, kinds[seed % len(kinds)])
        if targets(source, family):
            rng = stream(seed, f"edit {family}")
            edits.append(sample_edit(source, family, rng, held_out=True))
        seed += 1
    return edits


def candidates(edit: Edit) -> list[Scene]:
    """The source scene with every value of the attributes that are edited."""
    names: tuple[str, ...] = changes(edit.source, edit.target)
    if edit.family == "clothes":
        names = EDITED["clothes"]
    every = attributes(edit.source)
    options = product(*(every[name] for name in names))
    return [vary(edit.source, **dict(zip(names, choice, strict=True))) for choice in options]


def nearest(edit: Edit, picture: np.ndarray) -> Scene:
    """The candidate whose drawing has the least squared distance to the picture."""
    scenes = candidates(edit)
    drawings = np.stack([render(scene, len(picture)) for scene in scenes]).astype(np.float32)
    distances = ((drawings - picture) ** 2).mean((1, 2, 3))
    return scenes[int(distances.argmin())]


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> float:
    """Decibels between uint8 pictures, of the pixels of the mask only where there is one."""
    error = (a.astype(np.float64) - b) ** 2
    mean = error[where].mean() if where is not None else error.mean()
    return float(10 * np.log10(255**2 / max(mean, 1e-9)))


def load_editing(
    checkpoint: Path,
    steps: int = 20,
    text_cfg: float = 7.5,
    image_cfg: float = 1.5,
) -> Editing:
    """The way through the nodes that a graph takes, in batches of pictures."""
    # The pack by the name that pip gives it: this file runs as `mini`, beside the other folders.
    loading = importlib.import_module("instruct_pix2pix.checkpoints.loading")
    pictures = importlib.import_module("instruct_pix2pix.nodes.pictures")
    sampling = importlib.import_module("instruct_pix2pix.nodes.sampling")
    text = importlib.import_module("instruct_pix2pix.nodes.text")
    loaded = loading.load_checkpoint(checkpoint)

    def encode(images: np.ndarray) -> dict:
        tensor = torch.from_numpy(images).float() / 255
        resolution = loaded.resolution
        return pictures.IP2PEncodeSource.execute(
            tensor, loaded.vae, "training size", resolution
        ).args[0]

    def decode(latent: dict) -> np.ndarray:
        decoded = loaded.vae.decode(latent["samples"])
        return (decoded.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()

    def edit(images: np.ndarray, instructions: list[str], seed: int) -> np.ndarray:
        encoded = [
            text.IP2PEncodeInstruction.execute(loaded.clip, words, "", "plain").args
            for words in instructions
        ]
        asked, negative = ([row[i][0][0] for row in encoded] for i in range(2))
        latent = sampling.IP2PKSampler.execute(
            loaded.model,
            [[torch.cat(asked), {}]],
            [[torch.cat(negative), {}]],
            encode(images),
            seed,
            steps,
            text_cfg,
            image_cfg,
            "euler_ancestral",
            "normal",
            1.0,
            "comfyui",
        ).args[0]
        return decode(latent)

    return Editing(edit, lambda images: decode(encode(images)), loaded.resolution)


@dataclass(frozen=True)
class Score:
    """The means of one family; decibels outside what the edit may change, or of all for none."""

    family: str
    count: int
    accuracy: float | None
    unedited_accuracy: float | None
    preserved: float
    round_trip: float
    seconds: float


@dataclass(frozen=True)
class Pictures:
    """uint8 [n, h, w, 3] each: what was given, what came of it, what the first stage keeps."""

    sources: np.ndarray
    results: np.ndarray
    round_trips: np.ndarray
    seconds: float


def run_edits(editing: Editing, edits: list[Edit]) -> Pictures:
    sources = np.stack([render(edit.source, editing.side) for edit in edits])
    results, seconds = [], 0.0
    for start in range(0, len(edits), BATCH):
        words = [edit.instruction for edit in edits[start : start + BATCH]]
        begin = time.monotonic()
        results.append(editing.edit(sources[start : start + BATCH], words, start))
        seconds += time.monotonic() - begin
    round_trips = [
        editing.round_trip(sources[start : start + BATCH]) for start in range(0, len(edits), BATCH)
    ]
    return Pictures(sources, np.concatenate(results), np.concatenate(round_trips), seconds)


def score(family: str, edits: list[Edit], pictures: Pictures) -> Score:
    right, unedited, kept, through = [], [], [], []
    rows = zip(edits, pictures.sources, pictures.results, pictures.round_trips, strict=True)
    for edit, source, result, decoded in rows:
        outside = None
        if family != "none":
            right.append(nearest(edit, result) == edit.target)
            unedited.append(nearest(edit, source) == edit.target)
            outside = (render(edit.target, len(source)) == source).all(-1)
        if outside is None or outside.mean() > 0.1:  # else the edit is of the whole picture
            kept.append(psnr(result, source, outside))
            through.append(psnr(decoded, source, outside))
    return Score(
        family,
        len(edits),
        float(np.mean(right)) if right else None,
        float(np.mean(unedited)) if unedited else None,
        float(np.mean(kept)) if kept else float("nan"),
        float(np.mean(through)) if through else float("nan"),
        pictures.seconds / len(edits),
    )


def sheet(edits: list[Edit], pictures: Pictures, count: int = 10) -> np.ndarray:
    """Pictures in rows: the sources, the edits, the right answers."""
    side = pictures.sources.shape[1]
    truths = [render(edit.target, side) for edit in edits[:count]]
    rows = (pictures.sources[:count], pictures.results[:count], truths)
    return np.concatenate([np.concatenate(list(row), 1) for row in rows])


def overall(scores: list[Score]) -> Score:
    """The mean of all that ask for something, each scene counted once."""
    asked = [score for score in scores if score.accuracy is not None]
    counts = np.array([score.count for score in asked])

    def mean(name: str) -> float:
        values = np.array([getattr(score, name) for score in asked], np.float64)
        known = ~np.isnan(values)
        return float(np.average(values[known], weights=counts[known]))

    names = ("accuracy", "unedited_accuracy", "preserved", "round_trip", "seconds")
    return Score("**all edits**", int(counts.sum()), *map(mean, names))


def markdown(scores: list[Score], heading: str) -> str:
    """The committed table."""

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    def decibels(value: float) -> str:
        return "-" if np.isnan(value) else f"{value:.1f}"

    rows = [
        f"| {s.family} | {s.count} | {share(s.accuracy)} | {share(s.unedited_accuracy)} "
        f"| {decibels(s.preserved)} | {decibels(s.round_trip)} | {s.seconds:.2f} |"
        for s in [*scores, overall(scores)]
    ]
    return "\n".join(
        [
            "# ip2p-mini, measured",
            "",
            heading,
            "",
            "| edit | scenes | right | right if nothing is done | PSNR outside the edit, dB "
            "| the same after the first stage alone, dB | seconds an edit |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=BUILT_IN)
    parser.add_argument("--count", type=int, default=200, help="scenes of each family")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--text-cfg", type=float, default=7.5)
    parser.add_argument("--image-cfg", type=float, default=1.5)
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--sheets", type=Path, help="folder for pictures: source, edit, truth")
    arguments = parser.parse_args()
    scales = arguments.steps, arguments.text_cfg, arguments.image_cfg
    editing = load_editing(arguments.checkpoint, *scales)
    scores = []
    for family in FAMILIES:
        edits = held_out_edits(family, arguments.count)
        pictures = run_edits(editing, edits)
        scores.append(score(family, edits, pictures))
        if arguments.sheets:
            arguments.sheets.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sheet(edits, pictures)).save(arguments.sheets / f"{family}.png")
    heading = (
        f"`python -m mini.evaluate --count {arguments.count}`: held-out scenes and wordings, "
        f"{arguments.steps} Euler ancestral steps, text_cfg {arguments.text_cfg:g}, "
        f"image_cfg {arguments.image_cfg:g}, through the nodes in ComfyUI. The weather may "
        "change every pixel. `none` asks for no change. The process took "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB at its highest, "
        f"PyTorch and ComfyUI included; threads: {torch.get_num_threads()}."
    )
    arguments.output.write_text(markdown(scores, heading))


if __name__ == "__main__":
    # A program in a process of its own, and ComfyUI is no package that pip knows.
    sys.path.append(os.environ.get("COMFYUI_PATH") or ".comfyui")
    importlib.import_module("comfy.cli_args").args.cpu = not torch.cuda.is_available()
    main()
