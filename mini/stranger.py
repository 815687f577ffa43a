"""A test for somebody who has not seen the model: `python -m instruct_pix2pix.mini.stranger`.

Writes sheets of held-out edits, each beside four sentences of which one was asked for, and the
answers into a file of their own. The person who looks at the sheets names the sentence of each.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import comfy.cli_args
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..pictures.sheet import sheet_of
from .drawing import one, stream
from .evaluate import BUILT_IN, held_out_edits, run_edits
from .instructions import EDITED, FAMILY_OF, Edit, instruct, single_targets
from .scenes import Scene

LETTERS = "abcd"
SIDE, ON_A_SHEET = 256, 10


@dataclass(frozen=True)
class Question:
    """An edit, the sentences to choose from, and which of them was asked for."""

    edit: Edit
    sentences: tuple[str, ...]
    right: int


def questions(count: int) -> list[Question]:
    """`count` edits, of every application in turn."""
    families = list(EDITED)
    each = -(-count // len(families))
    # Each application on other scenes.
    edits = [held_out_edits(name, turn + each)[turn:] for turn, name in enumerate(families)]
    turns = [edits[number % len(families)][number // len(families)] for number in range(count)]
    return [question(edit, number) for number, edit in enumerate(turns)]


def question(edit: Edit, number: int) -> Question:
    """`edit` among three others that its source could have had, the first of the same family."""
    rng = stream(number, "stranger")
    others: list[Scene] = []
    names = EDITED[edit.family]
    while len(others) < len(LETTERS) - 1:
        reached = [s for s in single_targets(edit.source, names) if s not in (edit.target, *others)]
        if reached:
            others.append(one(rng, reached))
        names = (one(rng, tuple(FAMILY_OF)),)
    sentences = [instruct(edit.source, other, rng, held_out=True) for other in others]
    right = int(rng.integers(len(LETTERS)))
    sentences.insert(right, edit.instruction)
    return Question(edit, tuple(sentences), right)


def card(sentences: tuple[str, ...]) -> Image.Image:
    """The sentences of one question, each in as many lines as it takes."""
    picture = Image.new("RGB", (2 * SIDE, SIDE), "white")
    draw, font, top = ImageDraw.Draw(picture), ImageFont.load_default(22), 12
    for letter, sentence in zip(LETTERS, sentences, strict=True):
        line = f"{letter})"
        for word in sentence.split():
            if font.getlength(f"{line} {word}") > picture.width - 24:
                draw.text((12, top), line, "black", font)
                line, top = "    ", top + 26
            line = f"{line} {word}"
        draw.text((12, top), line, "black", font)
        top += 34
    return picture


def pages(asked: list[Question], sources: np.ndarray, results: np.ndarray) -> list[Image.Image]:
    """The sheets, ON_A_SHEET questions each; the pictures are uint8 [n, h, w, 3]."""
    made = []
    for first in range(0, len(asked), ON_A_SHEET):
        pictures, numbers = [], range(first, min(first + ON_A_SHEET, len(asked)))
        for number in numbers:
            pair = [
                Image.fromarray(side[number]).resize((SIDE, SIDE)) for side in (sources, results)
            ]
            both = Image.new("RGB", (2 * SIDE, SIDE))
            both.paste(pair[0], (0, 0))
            both.paste(pair[1], (SIDE, 0))
            pictures += [both, card(asked[number].sentences)]
        rows = [str(number + 1) for number in numbers]
        made.append(sheet_of(pictures, (2 * SIDE, SIDE), ("before, after", "asked"), rows))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=BUILT_IN)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--output", type=Path, default=Path("runs/stranger"), help="folder")
    arguments = parser.parse_args()
    # ComfyUI looks for a device when it is imported.
    comfy.cli_args.args.cpu = not torch.cuda.is_available()
    from .editing import load_editing

    asked = questions(arguments.count)
    editing = load_editing(arguments.checkpoint, 20, 7.5, 1.5)
    pictures = run_edits(editing, [question.edit for question in asked])
    arguments.output.mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(pages(asked, pictures.sources, pictures.results), 1):
        page.save(arguments.output / f"sheet-{number}.png")
    answers = {number: LETTERS[q.right] for number, q in enumerate(asked, 1)}
    (arguments.output / "answers.json").write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main()
