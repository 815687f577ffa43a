"""What a run of `paper` found: the last section of docs/paper.md, and its pictures."""

import json
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..pairs.command import contact_sheet
from ..pairs.layouts import read_pairs
from ..pairs.triples import read_triples
from .evaluate import named

MINI = Path(__file__).parent
WEIGHTS = MINI / "ip2p-mini.safetensors", MINI / "ip2p-mini-text-to-image.safetensors"
PAGE = MINI.parent / "docs" / "paper.md"
HEADING = "## Measured\n"
SHOWN = 6  # triples


def write_report(folder: Path, page: Path = PAGE) -> None:
    """Write the section and the pictures, of the stages that are done in the folder of the run."""
    figures, sizes = (
        json.loads((folder / name).read_text()) for name in ("figures.json", "sizes.json")
    )
    triples = [triple for _, triple in read_triples(folder / "understood.jsonl")]
    rows = [f"| {t.input} | {t.edit} | {t.output} |" for t in triples[:SHOWN]]
    before, _, _ = page.read_text().partition(HEADING)
    page.write_text(before + HEADING + section(figures, sizes, rows))
    images = page.parent / "images"
    images.mkdir(exist_ok=True)
    if "kept" in figures:
        for name in ("pairs", "sets/generated"):
            picture = contact_sheet(read_pairs(folder / name), 6)
            picture.save(images / f"paper-{Path(name).name}.jpg", quality=88)
    if "chance" in figures:
        edit_sheet(folder).save(images / "paper-edits.jpg", quality=88)


def section(figures: dict[str, Any], sizes: dict[str, Any], triples: Sequence[str]) -> str:
    """The tables of a run, as far as it has come."""
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in sizes.items())
    weights = " and ".join(named(path) for path in WEIGHTS)
    lines = [
        "",
        f"`python -m instruct_pix2pix.mini.paper {options}`, {weights}.",
        "",
        "| stage | CPU seconds | what came of it |",
        "| --- | --- | --- |",
        *(
            f"| {name} | {figures['seconds'][name]:.0f} | {came_of(name, figures, sizes)} |"
            for name in figures["seconds"]
        ),
        "",
        "What the language model wrote:",
        "",
        "| caption | instruction | edited caption |",
        "| --- | --- | --- |",
        *triples,
        "",
    ]
    if "kept" in figures:
        lines += [
            f"The reader reads everything right in {figures['reading']:.0%} of held-out drawings. "
            "Some of all pairs, and some that it keeps:",
            "",
            "![pairs that were drawn](images/paper-pairs.jpg)",
            "![pairs that are kept](images/paper-generated.jpg)",
            "",
        ]
    if "chance" in figures:
        lines += edits_table(figures)
    else:
        lines += ["The editors of this run are not trained and measured yet.", ""]
    return "\n".join(lines)


def came_of(stage: str, figures: dict[str, Any], sizes: dict[str, Any]) -> str:
    """The figures of a stage in words."""
    if stage == "triples":
        kept, refused = figures["written"]["triples"], figures["written"]["refused"]
        return (
            f"{kept} of {kept + sum(refused.values())} triples accepted, "
            f"{kept / figures['minutes']:.0f} a CPU minute; the drawn world can show "
            f"{figures['understood']} of them; the language model's loss at the end "
            f"{figures['language']:.3f}"
        )
    if stage == "pairs":
        drawn = figures["drawn"]["pairs"]
        return (
            f"{drawn} drawn, {60 * drawn / figures['seconds'][stage]:.0f} a CPU minute; each takes "
            f"{figures['evaluations']} evaluations of the network"
        )
    if stage == "sets":
        price = figures["evaluations"] * figures["drawn"]["pairs"] / figures["kept"]
        return (
            f"{figures['shown']} pairs show the edit, {figures['same']} keep the rest, "
            f"{figures['kept']} do both and are kept; one costs {price:.0f} evaluations"
        )
    if stage == "editors":
        return f"two, {sizes['steps']} steps of {sizes['batch']} pairs each"
    return f"{figures['editors']['drawn']['all edits'][0]} held-out edits of each editor"


def edits_table(figures: dict[str, Any]) -> list[str]:
    """The lines that compare the editors."""
    return [
        "| edits | count | right, generated pairs | right, drawn pairs | dB outside the edit, "
        "generated pairs | drawn pairs | dB inside, generated pairs | drawn pairs |",
        "| --- " * 8 + "|",
        *(edits_line(family, figures) for family in figures["editors"]["drawn"]),
        "",
        f"By chance {figures['chance']:.0%} would be right. Each column below: the source, the "
        "edit of the editor of generated pairs, that of drawn pairs, the right answer.",
        "",
        "![held-out edits](images/paper-edits.jpg)",
        "",
    ]


def edits_line(family: str, figures: dict[str, Any]) -> str:
    """count, then right, outside and inside of both editors."""
    both = [figures["editors"][name][family] for name in ("generated", "drawn")]
    cells = [f"{scores[1]:.0%}" for scores in both]
    cells += [
        "-" if isnan(scores[column]) else f"{scores[column]:.1f}"  # where all may change
        for column in (2, 3)
        for scores in both
    ]
    return "| " + " | ".join([family, f"{both[0][0]:.0f}", *cells]) + " |"


def edit_sheet(folder: Path, most: int = 10) -> Image.Image:
    """Held-out edits in columns: source, both editors' results, the right answer."""
    generated, drawn = (
        np.load(folder / f"edits-{name}.npy").reshape(3, 256, -1, 3)
        for name in ("generated", "drawn")
    )
    rows = [generated[0], generated[1], drawn[1], generated[2]]
    return Image.fromarray(np.concatenate(rows)[::2, : most * 256 : 2])
