"""Measure ip2p-mini as a graph uses it: `python -m instruct_pix2pix.mini.evaluate`.

On held-out scenes and held-out wordings; we draw the scenes, so every right answer is known.
An edit counts as right when, of the drawings of its scene with every value that the edited
attributes can take, the asked one is the nearest to the result. That does not see whether the
picture is good: so how near the result is to the truth where the edit changes something, and how
sharp it is, are measured too.
"""

import argparse
import hashlib
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import comfy.cli_args
import numpy as np
import torch
from PIL import Image

from ..edits.settings import BUILT_IN_SCALES
from ..metrics import pixels
from .drawing import stream
from .instructions import EDITED, FAMILIES, FAMILY_OF, Edit, changes, sample_edit, targets
from .media import MEDIA
from .scenes import KINDS, Scene, attributes, render, sample_scene, vary

BUILT_IN = Path(__file__).with_name("ip2p-mini.safetensors")
# What suits the built-in weights best; the table is at the usual scales.
SUITED = BUILT_IN_SCALES["text_cfg"], BUILT_IN_SCALES["image_cfg"]
# What is measured draws the same noise on every version of ComfyUI.
NUMERICS = "official"
RESULT = Path(__file__).with_name("evaluation.md")
FIRST_SEED = 1000
# Pixels on a side at which pictures are looked at: what IP2PSampleImage gives.
SHOWN = 512
# Pixels on a side at which a result is compared with every drawing that it could be.
COMPARED = 128
# Edits at once: sixteen take 10 GB at 256 pixels.
BATCH = 4


# (pictures uint8 [n, h, w, 3], instructions, seed) -> pictures uint8 [n, h, w, 3]
Editor = Callable[[np.ndarray, list[str], int], np.ndarray]


@dataclass(frozen=True)
class Editing:
    """An editor and what its first stage alone makes of pictures of `side` pixels."""

    edit: Editor
    round_trip: Callable[[np.ndarray], np.ndarray]
    side: int


def digest(file: Path) -> str:
    """The first 12 digits of a file's SHA-256, by which figures and kept runs name its content."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


def named(checkpoint: Path) -> str:
    """Which weights a figure is of, for its heading."""
    return f"`{checkpoint.name}` of SHA-256 {digest(checkpoint)}"


def held_out_edits(family: str, count: int, among: Sequence[str] = KINDS) -> list[Edit]:
    """Edits in held-out words of scenes that the training never saw, of all kinds that have any.

    among  the kinds to choose from, at least one of which has such edits
    """
    names = set(EDITED.get(family, FAMILY_OF))
    kinds = [kind for kind in among if names & set(attributes(sample_scene(0, kind)))]
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
    return nearest_each(edit, [picture])[0]


def nearest_each(edit: Edit, pictures: Sequence[np.ndarray]) -> list[Scene]:
    """The same for several pictures, with the candidates drawn once.

    They are compared at COMPARED pixels a side: of some edits there are a hundred candidates.
    """
    scenes = candidates(edit)
    drawings = np.stack([render(scene, COMPARED) for scene in scenes]).astype(np.float32)
    found = []
    for picture in pictures:
        small = Image.fromarray(picture).resize((COMPARED, COMPARED), Image.Resampling.BOX)
        distances = ((drawings - np.asarray(small, np.float32)) ** 2).mean((1, 2, 3))
        found.append(scenes[int(distances.argmin())])
    return found


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> float:
    """Decibels between uint8 pictures, of the pixels of the mask only where there is one."""
    first, second = (torch.tensor(p)[None].double() / 255 for p in (a, b))
    counted = None if where is None else torch.tensor(where)[None]
    return pixels.psnr(first, second, counted).item()


def sharpness(picture: np.ndarray) -> float:
    """The variance of the Laplacian of the brightness, at SHOWN pixels a side."""
    grey = Image.fromarray(picture).convert("L").resize((SHOWN, SHOWN), Image.Resampling.BICUBIC)
    p = np.asarray(grey, np.float64)
    laplacian = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * p[1:-1, 1:-1]
    return float(laplacian.var())


@dataclass(frozen=True)
class Score:
    """The means of one family.

    preserved   dB outside what the edit may change, of all for none
    round_trip  the same after the first stage alone
    inside      dB to the truth within what the edit changes
    sharpness   of the results, as a share of what the source keeps at the model's size
    """

    family: str
    count: int
    accuracy: float | None
    unedited_accuracy: float | None
    preserved: float
    round_trip: float
    inside: float
    sharpness: float
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
    right, unedited, kept, through, inside = [], [], [], [], []
    rows = zip(edits, pictures.sources, pictures.results, pictures.round_trips, strict=True)
    for edit, source, result, decoded in rows:
        outside = None
        if family != "none":
            made, given = nearest_each(edit, [result, source])
            right.append(made == edit.target)
            unedited.append(given == edit.target)
            truth = render(edit.target, len(source))
            outside = (truth == source).all(-1)
            inside.append(psnr(result, truth, ~outside))
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
        float(np.mean(inside)) if inside else float("nan"),
        float(np.mean([sharpness(p) for p in pictures.results]))
        / float(np.mean([sharpness(p) for p in pictures.sources])),
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

    edited = map(mean, ("accuracy", "unedited_accuracy", "preserved", "round_trip"))
    seen = map(mean, ("inside", "sharpness", "seconds"))
    return Score("**all edits**", int(counts.sum()), *edited, *seen)


def first_stage(editing: Editing, count: int) -> dict[str, tuple[int, float]]:
    """How many held-out pictures of each sort, and the mean dB that the first stage keeps.

    Plain drawings, mosaics and other media apart: their mean would say nothing of any.
    """
    means = {}
    for sort, medium in (("plain", "drawing"), ("media", "media"), ("mosaic", "mosaic")):
        decibels = []
        for start in range(0, count, BATCH):
            seeds = range(FIRST_SEED + start, FIRST_SEED + min(start + BATCH, count))
            scenes = [scene_in(seed, medium) for seed in seeds]
            drawn = np.stack([render(scene, editing.side) for scene in scenes])
            pairs = zip(editing.round_trip(drawn), drawn, strict=True)
            decibels += [psnr(decoded, source) for decoded, source in pairs]
        means[sort] = (count, float(np.mean(decibels)))
    return means


def scene_in(seed: int, medium: str) -> Scene:
    """A held-out scene as a drawing, a mosaic, or in one of the other media in turn."""
    scene = sample_scene(seed, KINDS[seed % len(KINDS)])
    others = [name for name in MEDIA if name not in ("drawing", "mosaic")]
    return vary(scene, medium=others[seed % len(others)] if medium == "media" else medium)


def markdown(scores: list[Score], stages: dict[str, tuple[int, float]], heading: str) -> str:
    """The committed tables, of the edits and of what `first_stage` gives."""

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    def decibels(value: float) -> str:
        return "-" if np.isnan(value) else f"{value:.1f}"

    rows = [
        f"| {s.family} | {s.count} | {share(s.accuracy)} | {share(s.unedited_accuracy)} "
        f"| {decibels(s.preserved)} | {decibels(s.round_trip)} | {decibels(s.inside)} "
        f"| {s.sharpness:.2f} | {s.seconds:.2f} |"
        for s in [*scores, overall(scores)]
    ]
    return "\n".join(
        [
            "# ip2p-mini, measured",
            "",
            heading,
            "",
            "| edit | scenes | right | right if nothing is done | PSNR outside the edit, dB "
            "| the same after the first stage alone, dB | PSNR inside the edit, dB "
            "| sharpness, of the source's | seconds an edit |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            "The first stage alone, on held-out drawings:",
            "",
            "| pictures | count | PSNR, dB |",
            "| --- | --- | --- |",
            *(f"| {sort} | {count} | {mean:.1f} |" for sort, (count, mean) in stages.items()),
            "",
        ]
    )


def measured(editing: Editing, count: int, sheets: Path | None = None) -> list[Score]:
    """The scores of all families, `count` scenes each; a sheet of each where a folder is given."""
    scores = []
    for family in FAMILIES:
        edits = held_out_edits(family, count)
        pictures = run_edits(editing, edits)
        scores.append(score(family, edits, pictures))
        if sheets:
            sheets.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sheet(edits, pictures)).save(sheets / f"{family}.png")
    return scores


def suited(scores: list[Score]) -> str:
    """What the edits are at the scales that suit the weights best, in a sentence."""
    every, none = overall(scores), next(score for score in scores if score.family == "none")
    return (
        f"At text_cfg {SUITED[0]:g} and image_cfg {SUITED[1]:g}, which suit these weights best, "
        f"{every.accuracy:.1%} of {every.count} are right, with {every.preserved:.1f} dB outside "
        f"the edit, of {every.round_trip:.1f} that the first stage alone keeps (`none`: "
        f"{none.preserved:.1f}).\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=BUILT_IN)
    parser.add_argument("--count", type=int, default=50, help="scenes of each family")
    parser.add_argument("--suited", type=int, default=6, help="the same at the best scales; or 0")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--text-cfg", type=float, default=7.5)
    parser.add_argument("--image-cfg", type=float, default=1.5)
    parser.add_argument("--output", type=Path, default=RESULT)
    parser.add_argument("--sheets", type=Path, help="folder for pictures: source, edit, truth")
    arguments = parser.parse_args()
    # ComfyUI looks for a device when it is imported.
    comfy.cli_args.args.cpu = not torch.cuda.is_available()
    from .editing import load_editing

    def load(*scales: float) -> Editing:
        return load_editing(arguments.checkpoint, arguments.steps, *scales)

    editing = load(arguments.text_cfg, arguments.image_cfg)
    scores = measured(editing, arguments.count, arguments.sheets)
    heading = (
        f"`python -m instruct_pix2pix.mini.evaluate --count {arguments.count}`, "
        f"{named(arguments.checkpoint)}: held-out scenes and wordings, "
        f"{arguments.steps} Euler ancestral steps, text_cfg {arguments.text_cfg:g}, "
        f"image_cfg {arguments.image_cfg:g}, numerics {NUMERICS}, through the functions of the "
        "nodes. The weather may "
        "change every pixel. `none` asks for no change. The process took "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB at its highest, "
        f"PyTorch and ComfyUI included; threads: {torch.get_num_threads()}."
    )
    text = markdown(scores, first_stage(editing, arguments.count), heading)
    if arguments.suited:
        text += "\n" + suited(measured(load(*SUITED), arguments.suited))
    arguments.output.write_text(text)


if __name__ == "__main__":
    main()
