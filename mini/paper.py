"""The making of InstructPix2Pix in miniature: `make paper`.

A language model of our own writes edits of captions, the built-in text-to-image model draws each
before and after by Prompt-to-Prompt, a filter keeps what shows the edit, and `ip2p train` makes an
editor of what is left. The commands are those that anybody gives. Since the world is drawn we know
what every picture ought to show, so the filter is a reader of drawings in place of CLIP, the same
editor is trained on drawn pairs beside it, and the edits of both are measured against the truth.

Each stage leaves its result in the folder of the run, and the same command goes on where the last
one stopped. It is a demonstration at toy scale.
"""

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import comfy.cli_args
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ..edits.settings import TEXT_TO_IMAGE, defaults_of
from ..pairs.layouts import read_pairs
from ..pairs.pair import Pair, PictureBytes, as_png, open_picture
from ..pairs.table import write_pairs
from ..pairs.triples import Triple, as_line, read_triples
from .captions import caption, told
from .drawing import stream
from .evaluate import candidates, held_out_edits, overall, run_edits, score, sheet
from .instructions import EDITED, FAMILY_OF, Edit, changes, is_edit
from .language import drawn_triples, train_language_model
from .pairing import Judgement, judged
from .paper_report import write_report
from .reader import Reader, accuracy, draw, examples, labels, train_reader
from .scenes import KINDS, Scene, attributes, kind_of, render, sample_scene, vary

log = logging.getLogger(__name__)

SOME_FAILED = 1  # the exit code of `ip2p` where a row failed and the others did not
PROGRAM = Path(__file__).parents[1] / "headless" / "program.py"

# First seeds of what each stage draws; none meets what the models were trained on.
TRIPLES, CAPTIONS, READ, READ_HELD_OUT, DRAWN = (n * 1_000_000 for n in range(10, 15))
# Of the pairs. The text-to-image model is small and suits lower scales than Stable Diffusion.
CFGS = (3.0, 5.0)
# Of the edits that are measured; an editor of few steps follows the text weakly.
STEPS, TEXT_CFG, IMAGE_CFG = 20, 3.0, 1.2
# What the two editors are trained on.
SETS = ("generated", "drawn")


@dataclass(frozen=True)
class Sizes:
    """How much of everything; `HELP` says what."""

    kinds: str = "landscape"
    captions: int = 300
    edits: int = 1
    learned: int = 3000
    language_steps: int = 1000
    read: int = 4000
    epochs: int = 20
    samples: int = 4
    steps: int = 2000
    batch: int = 8
    measured: int = 10

    def __post_init__(self) -> None:
        if unknown := {*self.kinds.split(",")} - {*KINDS}:
            raise ValueError(f"--kinds: there is no {', '.join(unknown)}, but {', '.join(KINDS)}.")

    @property
    def drawn_kinds(self) -> tuple[str, ...]:
        return tuple(self.kinds.split(","))


HELP = {
    "kinds": "of scenes, with commas between: " + ", ".join(KINDS),
    "captions": "that the language model invents edits of",
    "edits": "to ask for, of each caption",
    "learned": "drawn triples that the language model learns from",
    "language_steps": "of its training",
    "read": "drawings that the reader, which filters, learns from",
    "epochs": "of its training",
    "samples": "pairs to draw of each triple",
    "steps": "of each editor's training",
    "batch": "pairs in a step",
    "measured": "held-out edits of each family",
}


class Understood(NamedTuple):
    """A triple whose captions are of two scenes between which there is an edit."""

    triple: Triple
    source: Scene
    target: Scene


class Run:
    """The folder of a run, its sizes and its figures.

    Raises ValueError where the folder is of a run of other sizes.
    """

    def __init__(self, folder: Path, sizes: Sizes) -> None:
        self.folder, self.sizes = folder, sizes
        folder.mkdir(parents=True, exist_ok=True)
        known, own = folder / "sizes.json", asdict(sizes)
        if known.exists() and (old := json.loads(known.read_text())) != own:
            other = next(name for name in own if old.get(name) != own[name])
            raise ValueError(
                f"--{other.replace('_', '-')}: {folder} was started with {old.get(other)}, and "
                f"this asks for {own[other]}. Go on with the same, or name another --run."
            )
        known.write_text(json.dumps(own, indent=1) + "\n")

    @property
    def figures(self) -> dict[str, Any]:
        path = self.folder / "figures.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def note(self, **figures: Any) -> None:
        """Keep figures of a stage, whole or not at all."""
        path = self.folder / "figures.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps(self.figures | figures, indent=1) + "\n")
        new.replace(path)

    def ip2p(self, *arguments: object) -> dict[str, Any]:
        """What a command of `ip2p` tells; it goes on where it was stopped.

        A caption that got no answer, or a triple that was not drawn, is in what it tells.
        """
        tree, words = Path(comfy.cli_args.__file__).parents[1], [*map(str, arguments), "--json"]
        log.info("ip2p %s", " ".join(words))
        done = subprocess.run(
            [sys.executable, str(PROGRAM), str(tree), "headless.cli", *words],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "COMFYUI_PATH": str(tree), "COMFYUI_PYTHON": sys.executable},
        )
        if done.returncode not in (0, SOME_FAILED) or not done.stdout:
            raise SystemExit(f"ip2p {words[0]} ended with code {done.returncode}: {done.stdout}")
        told = dict(json.loads(done.stdout))
        if told.get("failed"):
            raise SystemExit(
                f"ip2p {words[0]} {words[1]}: {told['failed']} failed. The same command tries them "
                "again."
            )
        return told

    @cached_property
    def understood(self) -> list[Understood]:
        """Of what the language model wrote, what the drawn world can show."""
        found = []
        for _, triple in read_triples(self.folder / "triples.jsonl"):
            source, target = told(triple.input), told(triple.output)
            if source and target and kind_of(source) == kind_of(target):
                changed = changes(source, target)
                if changed and {*changed} <= {*FAMILY_OF} and is_edit(source, target):
                    found.append(Understood(triple, source, target))
        return found


def write_triples(run: Run) -> None:
    """Captions, a language model, and what it writes of them behind a server of its own."""
    sizes, captions, model = run.sizes, run.folder / "captions.txt", run.folder / "language-model"
    if not captions.exists():
        seeds = range(CAPTIONS, CAPTIONS + sizes.captions)
        scenes = [
            sample_scene(seed, sizes.drawn_kinds[seed % len(sizes.drawn_kinds)]) for seed in seeds
        ]
        lines = [caption(scene, stream(scene.seed, "caption")) for scene in scenes]
        captions.write_text("".join(f"{line}\n" for line in dict.fromkeys(lines)))
    if "language" not in run.figures:
        log.info("training the language model")
        triples = drawn_triples(TRIPLES, sizes.learned, sizes.drawn_kinds)
        run.note(language=train_language_model(model, triples, sizes.language_steps))
    command = ("pairs", "write", captions, "--llm", model, "--edits", sizes.edits)
    if "written" not in run.figures:
        before = cpu_seconds()
        written = run.ip2p(*command, "-o", run.folder / "triples.jsonl")
        run.note(written=written, minutes=(cpu_seconds() - before) / 60)
    lines = [as_line(found.triple) for found in run.understood]
    (run.folder / "understood.jsonl").write_text("".join(lines))
    run.note(understood=len(lines))


def draw_pairs(run: Run) -> None:
    """The pairs of every triple by Prompt-to-Prompt; all are kept for the filter to see."""
    # Two pictures, each of them with the caption and without.
    run.note(evaluations=4 * defaults_of("steps")["steps"])
    if "drawn" in run.figures:
        return
    samples = run.sizes.samples
    options = ["-o", run.folder / "pairs", "--samples", samples, "--keep", samples]
    options += ["--set", f"cfg_from={CFGS[0]}", "--set", f"cfg_to={CFGS[1]}"]
    triples = run.folder / "understood.jsonl"
    run.note(drawn=run.ip2p("pairs", "draw", triples, "--checkpoint", TEXT_TO_IMAGE, *options))


def trained_reader(run: Run) -> Reader:
    """What tells the good pairs from the bad: CLIP in the paper, here a reader of drawings."""
    path, reader = run.folder / "reader.safetensors", Reader()

    def scenes(first_seed: int, count: int) -> list[Scene]:
        every = examples(first_seed, 4 * count)  # one of four is of the rarest kind
        return [scene for scene in every if kind_of(scene) in run.sizes.drawn_kinds][:count]

    if not path.exists():
        log.info("training the reader")
        learned = scenes(READ, run.sizes.read)
        reader = train_reader(draw(learned), labels(learned), run.sizes.epochs, 0)
        save_file(reader.state_dict(), path)
    reader.load_state_dict(load_file(path))
    if "reading" not in run.figures:
        unseen = scenes(READ_HELD_OUT, 100)
        run.note(reading=accuracy(reader.eval(), unseen, draw(unseen))["all of them"])
    return reader.eval()


def judge(reader: Reader, pairs: Sequence[Pair]) -> list[Judgement]:
    """What the reader finds of each pair, whose captions tell what it ought to show."""
    found = []
    for pair in pairs:
        both = [np.asarray(open_picture(picture)) for picture in (pair.source, pair.target)]
        before, after = reader.read(np.stack(both))
        source, target = told(pair.caption), told(pair.edited_caption)
        assert source and target
        found.append(judged(before, after, source, target))
    return found


def make_sets(run: Run) -> None:
    """The two training sets: the generated pairs that pass the filter, and as many drawn ones.

    Each drawn pair is of the captions of a generated one, of another view.
    """
    if "kept" in run.figures:
        return
    pairs = read_pairs(run.folder / "pairs")
    judgements = judge(trained_reader(run), pairs)
    kept = [pair for pair, found in zip(pairs, judgements, strict=True) if all(found)]
    if not kept:
        raise SystemExit("Not one pair passed the filter: draw more --samples in another --run.")
    write_pairs(kept, run.folder / "sets" / "generated")
    write_pairs([drawn(pair, DRAWN + n) for n, pair in enumerate(kept)], run.folder / "sets/drawn")
    shown, same = (sum(column) for column in zip(*judgements, strict=True))
    run.note(shown=shown, same=same, kept=len(kept))


def drawn(pair: Pair, seed: int) -> Pair:
    """A pair with the same words and with the pictures that they ask for."""

    def picture(words: str, name: str) -> PictureBytes:
        scene = told(words)
        assert scene
        drawing = Image.fromarray(render(vary(scene, seed=seed), 256))
        return as_png(f"{seed}-{name}.png", drawing)

    source, target = picture(pair.caption, "before"), picture(pair.edited_caption, "after")
    texts = pair.instructions, pair.caption, pair.edited_caption
    return Pair(str(seed), source, target, *texts, origin=str(seed))


def train_editors(run: Run) -> None:
    """`ip2p train` on each set, with the same settings, from the text-to-image model."""
    sizes, config = run.sizes, run.folder / "train.toml"
    config.write_text("ema_decay = 0.98\n")  # a thousandth of the steps that the default is for
    options: list[object] = ["--from", "ip2p-mini-text-to-image", "--kind", "full"]
    options += ["--steps", sizes.steps, "--batch-size", sizes.batch, "--learning-rate", 5e-4]
    options += ["--warmup", sizes.steps // 10, "--schedule", "cosine", "--held-out", 0]
    options += ["--sample-every", 0, "--save-every", 50, "--config", config]
    for name in SETS:
        if f"trained on {name}" not in run.figures:
            output = run.folder / "editors" / name
            made = run.ip2p("train", run.folder / "sets" / name, *options, "-o", output)
            run.note(**{f"trained on {name}": made["told"]})


def families(kinds: Sequence[str]) -> list[str]:
    """The families of edits that scenes of these kinds have."""
    known = {name for kind in kinds for name in attributes(sample_scene(0, kind))}
    return [family for family, names in EDITED.items() if known & {*names}]


def held_out(run: Run) -> dict[str, list[Edit]]:
    kinds = run.sizes.drawn_kinds
    return {family: held_out_edits(family, run.sizes.measured, kinds) for family in families(kinds)}


def measure_editors(run: Run) -> None:
    """The edits of held-out scenes in held-out words, as ip2p-mini's own are measured."""
    from .editing import load_editing

    asked = held_out(run)
    for name in SETS:
        if name in run.figures.get("editors", {}):
            continue
        log.info("measuring the editor of %s pairs", name)
        path = run.folder / "editors" / name / "result.safetensors"
        editing = load_editing(path, STEPS, TEXT_CFG, IMAGE_CFG)
        scores, sheets = [], []
        for family, edits in asked.items():
            pictures = run_edits(editing, edits)
            scores.append(score(family, edits, pictures))
            sheets.append(sheet(edits, pictures, 2))
        np.save(run.folder / f"edits-{name}.npy", np.concatenate(sheets, 1))
        rows = [*scores, replace(overall(scores), family="all edits")]
        figures = {s.family: [s.count, s.accuracy, s.preserved, s.inside] for s in rows}
        run.note(editors=run.figures.get("editors", {}) | {name: figures})
    chances = [1 / len(candidates(edit)) for edits in asked.values() for edit in edits]
    run.note(chance=float(np.mean(chances)))


STAGES = {
    "triples": write_triples,
    "pairs": draw_pairs,
    "sets": make_sets,
    "editors": train_editors,
    "measure": measure_editors,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path("runs/paper"), help="folder of the run")
    parser.add_argument("--stop", choices=STAGES, help="stop after this stage")
    for size in fields(Sizes):
        option = f"--{size.name.replace('_', '-')}"
        kind = type(size.default)
        parser.add_argument(option, type=kind, default=size.default, help=HELP[size.name])
    given = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    # ComfyUI looks for a device when it is imported.
    comfy.cli_args.args.cpu = not torch.cuda.is_available()
    folder, stop = given.pop("run"), given.pop("stop")
    run = Run(folder.absolute(), Sizes(**given))
    for name, stage in STAGES.items():
        before = cpu_seconds()
        stage(run)
        spent = run.figures.get("seconds", {})
        run.note(seconds=spent | {name: spent.get(name, 0) + cpu_seconds() - before})
        if name == stop:
            break
    write_report(run.folder)


def cpu_seconds() -> float:
    """Of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


if __name__ == "__main__":
    main()
