"""What the search for the scales, chains of edits, rescale and APG are worth, on ip2p-mini.

    make bench                                  the committed tables, benchmarks/guidance.md
    python benchmarks/guidance.py --edits 4     a quick look

On held-out scenes in held-out words, the edits spread over all families. We draw the scenes, so
the right answer of every edit is known: "right" is the share of edits whose nearest drawing is the
one asked for, and PSNR is taken to that drawing over the whole picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import comfy.cli_args
import comfy.utils
import matplotlib.pyplot as plt
import numpy as np
import torch
import typer

comfy.cli_args.args.cpu = not torch.cuda.is_available()

from counting import Counted  # noqa: E402
from instruct_pix2pix.checkpoints.loading import load_checkpoint  # noqa: E402
from instruct_pix2pix.edits.settings import defaults_of  # noqa: E402
from instruct_pix2pix.mini.drawing import stream  # noqa: E402
from instruct_pix2pix.mini.editing import to_pixels  # noqa: E402
from instruct_pix2pix.mini.evaluate import (  # noqa: E402
    BUILT_IN,
    NUMERICS,
    SUITED,
    held_out_edits,
    named,
    nearest,
    psnr,
)
from instruct_pix2pix.mini.instructions import FAMILIES, Edit, sample_edit, targets  # noqa: E402
from instruct_pix2pix.mini.scenes import render, sample_scene  # noqa: E402
from instruct_pix2pix.nodes.auto import IP2PAutoGuidance  # noqa: E402
from instruct_pix2pix.nodes.chain import IP2PEditChain  # noqa: E402
from instruct_pix2pix.nodes.pictures import IP2PEncodeSource  # noqa: E402
from instruct_pix2pix.nodes.text import IP2PEncodeInstruction  # noqa: E402
from instruct_pix2pix.samplers.comfy import sampling  # noqa: E402
from instruct_pix2pix.samplers.control import Guidance  # noqa: E402

RESULT = Path(__file__).with_suffix(".md")
USUAL = tuple(defaults_of("text_cfg", "image_cfg").values())
KEEPS = (0.3, 0.5)
GRID = [
    (text, image) for image in (1.0, 1.25, 1.5, 1.8, 2.2) for text in (1.5, 3.0, 5.0, 7.5, 10.0)
]
SAMPLER = "euler_ancestral", "normal"
STRENGTHS = 7.5, 10.0, 12.5, 15.0
REMEDIES = {
    "plain": Guidance(),
    "rescale 0.7": Guidance(rescale=0.7),
    "rescale 0.7 (v)": Guidance(rescale=0.7, rescale_space="v"),
    "APG eta 0": Guidance(apg_eta=0.0),
}
TURNS = 5
# Of a picture in another medium nothing else is asked.
SINGLE = [name for name in FAMILIES if name not in ("two edits", "none", "art medium")]


class Bench:
    """The nodes around one checkpoint."""

    def __init__(self, checkpoint: Path, steps: int) -> None:
        self.loaded = load_checkpoint(checkpoint)
        self.side, self.steps = self.loaded.resolution, steps
        self.network = Counted(self.loaded.model)
        self.model = self.network.model

    def encode(self, picture: np.ndarray) -> dict[str, Any]:
        tensor = torch.tensor(picture)[None].float() / 255
        return IP2PEncodeSource.execute(tensor, self.loaded.vae, "training size", self.side).args[0]

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        return to_pixels(self.loaded.vae.decode(latents))

    def asked(self, edit: Edit) -> tuple[Any, ...]:
        """model, instruction, negative, source"""
        words = edit.instruction
        conds = IP2PEncodeInstruction.execute(self.loaded.clip, words, "", "plain").args
        return self.model, *conds, self.encode(render(edit.source, self.side))

    def sample(
        self,
        asked: tuple[Any, ...],
        pairs: list[tuple[float, float]],
        seed: int,
        guidance: Guidance,
    ) -> np.ndarray:
        """The pictures of the edit with each pair of scales."""
        edit = sampling.Edit(*asked, self.steps, *SAMPLER, guidance, numerics=NUMERICS)
        found: dict[int, torch.Tensor] = {}
        todo = [sampling.Cell(*pair, seed) for pair in pairs]
        for indices, latents in edit.run(todo, comfy.utils.ProgressBar(1), lambda *_: None):
            found |= dict(zip(indices, latents, strict=True))
        return self.decode(torch.cat([found[index] for index in range(len(todo))]))


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)] + [""]


def search(bench: Bench, edits: list[Edit]) -> list[str]:
    """The usual scales, those that were found, and the best of a grid by the right answer."""
    figures: dict[str, list[tuple[float, bool, float]]] = {}
    for seed, edit in enumerate(edits):
        asked, truth = bench.asked(edit), render(edit.target, bench.side)

        def note(name: str, pictures: np.ndarray, edit: Edit = edit, truth: Any = truth) -> None:
            best = max(pictures, key=lambda picture: psnr(picture, truth))
            row = psnr(best, truth), nearest(edit, best) == edit.target, bench.network.seen
            figures.setdefault(name, []).append(row)
            bench.network.seen = 0

        bench.network.seen = 0
        for pair in (USUAL, SUITED):
            name = "text_cfg {:g}, image_cfg {:g}".format(*pair)
            note(name, bench.sample(asked, [pair], seed, Guidance()))
        for keep in KEEPS:
            latent = IP2PAutoGuidance.execute(
                *(*asked, keep, 9, 1), seed=seed, steps=bench.steps, numerics=NUMERICS
            ).args[0]
            note(f"IP2PAutoGuidance, keep {keep:g}", bench.decode(latent["samples"]))
        note("best of 5 x 5, answer in hand", bench.sample(asked, GRID, seed, Guidance()))
    means = {name: np.mean(rows, axis=0) for name, rows in figures.items()}
    least, *_, most = (mean[0] for mean in means.values())
    return table(
        ["scales", "PSNR to the right answer, dB", "of the gap", "right", "evaluations"],
        [
            [name, f"{mean[0]:.2f}", f"{(mean[0] - least) / (most - least):.0%}"]
            + [f"{mean[1]:.1%}", f"{mean[2]:.0f}"]
            for name, mean in means.items()
        ],
    )


def chain_of(seed: int) -> list[Edit]:
    """Edits in turn, each of another family, each of the scene that the one before asked for."""
    scene, edits = sample_scene(seed, "portrait"), []
    for family in stream(seed, "turns").permutation(SINGLE).tolist():
        if len(edits) < TURNS and targets(scene, family):
            edits.append(sample_edit(scene, family, stream(seed, f"turn {family}"), held_out=True))
            scene = edits[-1].target
    return edits


def chains_of(count: int) -> dict[int, list[Edit]]:
    """So many chains that have all their turns, by their seeds."""
    found: dict[int, list[Edit]] = {}
    seed = 5000
    while len(found) < count:
        edits = chain_of(seed)
        if len(edits) == TURNS:
            found[seed] = edits
        seed += 1
    return found


def settings(bench: Bench, seed: int) -> dict[str, Any]:
    """Of every turn of a chain."""
    text_cfg, image_cfg = SUITED
    scales = dict(text_cfg=text_cfg, image_cfg=image_cfg)
    return dict(seed=seed, steps=bench.steps, **scales, numerics=NUMERICS)


def turns(bench: Bench, edits: list[Edit], seed: int, mask_each: bool) -> Iterator[np.ndarray]:
    """The picture after each turn of one chain."""
    latents = IP2PEditChain.execute(
        *(bench.model, bench.loaded.clip, bench.encode(render(edits[0].source, bench.side))),
        "\n".join(edit.instruction for edit in edits),
        mask_each,
        **settings(bench, seed),
    ).args[0]
    yield from bench.decode(latents["samples"])


def turns_by_pixels(bench: Bench, edits: list[Edit], seed: int) -> Iterator[np.ndarray]:
    """The same where each turn decodes, rounds to 8 bits and encodes again."""
    picture = render(edits[0].source, bench.side)
    for edit in edits:
        last = IP2PEditChain.execute(
            *(bench.model, bench.loaded.clip, bench.encode(picture), edit.instruction, False),
            **settings(bench, seed),
        ).args[1]
        picture = bench.decode(last["samples"])[0]
        yield picture


def chains(bench: Bench, count: int, panel: Any) -> list[str]:
    """How right and how near each way is after each turn, as a table and in a plot."""
    figures: dict[tuple[str, int], list[tuple[bool, float]]] = {}
    for seed, edits in chains_of(count).items():
        ways = {
            "latent to latent": turns(bench, edits, seed, mask_each=False),
            "latent to latent, mask_each": turns(bench, edits, seed, mask_each=True),
            "through pixels": turns_by_pixels(bench, edits, seed),
        }
        for name, pictures in ways.items():
            for turn, (edit, picture) in enumerate(zip(edits, pictures, strict=True), 1):
                row = (
                    nearest(edit, picture) == edit.target,
                    psnr(picture, render(edit.target, bench.side)),
                )
                figures.setdefault((name, turn), []).append(row)
    rows = []
    for name in dict.fromkeys(name for name, _ in figures):
        means = [np.mean(rows, axis=0) for (way, _), rows in figures.items() if way == name]
        rows.append([name, *(f"{right:.0%}, {near:.1f}" for right, near in means)])
        panel.plot(range(1, len(means) + 1), [near for _, near in means], "o-", label=name)
    panel.set(title="edits in turn", xlabel="turn", ylabel="PSNR to the right answer, dB")
    panel.set_xticks(range(1, TURNS + 1))
    head = ["right, PSNR in dB after turn", *map(str, range(1, TURNS + 1))]
    return table(head, rows)


def drift(bench: Bench, edits: list[Edit], panel: Any) -> list[str]:
    """How far the colors drift that should stay, with and without the remedies, and its plot."""
    figures: dict[tuple[str, float], list[tuple[float, float, bool]]] = {}
    pairs = [(strength, USUAL[1]) for strength in STRENGTHS]
    for seed, edit in enumerate(edits):
        source, truth = (render(scene, bench.side) for scene in (edit.source, edit.target))
        same = (source == truth).all(-1)
        if not same.any():  # an edit of the whole picture
            continue
        asked = bench.asked(edit)
        for name, guidance in REMEDIES.items():
            pictures = bench.sample(asked, pairs, seed, guidance)
            for strength, picture in zip(STRENGTHS, pictures, strict=True):
                moved = np.abs(picture[same].mean(0) - source[same].mean(0)).mean()
                row = moved, psnr(picture, truth), nearest(edit, picture) == edit.target
                figures.setdefault((name, strength), []).append(row)
    rows = []
    for name in REMEDIES:
        means = [np.mean(figures[name, strength], axis=0) for strength in STRENGTHS]
        rows.append(
            [name, *(f"{moved:.1f}, {near:.1f}, {right:.0%}" for moved, near, right in means)]
        )
        panel.plot(STRENGTHS, [moved for moved, _, _ in means], "o-", label=name)
    panel.set(title="strong text_cfg", xlabel="text_cfg", ylabel="color drift, grey levels")
    return table(["text_cfg", *(f"{strength:g}" for strength in STRENGTHS)], rows)


def spread_edits(count: int) -> list[Edit]:
    """So many held-out edits, of one family after the other."""
    families = [family for family in FAMILIES if family != "none"]
    rounds = -(-count // len(families))
    each = [held_out_edits(family, rounds) for family in families]
    return [edit for edits in zip(*each, strict=True) for edit in edits][:count]


def main(
    edits: Annotated[int, typer.Option(help="Over all families.")] = 9,
    chain_count: Annotated[int, typer.Option("--chains", help=f"Of {TURNS} edits.")] = 3,
    strong: Annotated[int, typer.Option(help="Edits with strong text_cfg.")] = 4,
    steps: int = 20,
    checkpoint: Path = BUILT_IN,
    output: Path = RESULT,
) -> None:
    torch.set_grad_enabled(False)
    bench = Bench(checkpoint, steps)
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    text = [
        "# The two scales: found, in turns, and strong",
        "",
        f"`python benchmarks/guidance.py --edits {edits} --chains {chain_count} --strong {strong} "
        f"--steps {steps}`: held-out scenes and words, {named(checkpoint)}, Euler ancestral, "
        f"numerics {NUMERICS}; text_cfg {USUAL[0]:g} and image_cfg {USUAL[1]:g} unless said "
        "otherwise.",
        "",
        f"## IP2PAutoGuidance against fixed scales, {edits} edits",
        "",
        *search(bench, spread_edits(edits)),
        f"## {TURNS} edits in turn, {chain_count} times, text_cfg {SUITED[0]:g}, "
        f"image_cfg {SUITED[1]:g}",
        "",
        *chains(bench, chain_count, panels[0]),
        "## Strong text_cfg: color drift outside of the edit in grey levels, PSNR in dB, right, "
        f"{strong} edits",
        "",
        *drift(bench, spread_edits(strong), panels[1]),
        f"![Turns and strong text_cfg]({output.with_suffix('.png').name})",
    ]
    for panel in panels:
        panel.legend(fontsize=8)
        panel.grid(alpha=0.3)
    figure.savefig(output.with_suffix(".png"), dpi=90)
    output.write_text("\n".join(text) + "\n")
    print("\n".join(text))


if __name__ == "__main__":
    typer.run(main)
