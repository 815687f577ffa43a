"""The search for the two scales and the seed: results in few steps, which the model judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import comfy.utils
import torch
from PIL import Image
from torch import Tensor

from ..guidance import Branches
from ..official import NoiseStream
from ..search import belief, closer_scales, follows_and_keeps, report_table, spread_scales
from .guider import DualGuider
from .noised import predict_noised
from .probe import sigma_at
from .sampling import Cell, Edit, live_preview

# Noise levels, as shares of the model's own, at which a result is shown to the model again.
LEVELS = (0.6, 0.8)
# Fewer steps than this make results that tell too little of what many steps would make.
FEWEST_STEPS = 8
HEAD = ("text_cfg", "image_cfg", "seed", "steps", "follows", "keeps", "score")

# A latent [B, C, h, w] -> a picture of it.
Show = Callable[[Tensor], Image.Image]


class Try(NamedTuple):
    """One result and what the model thinks of it."""

    cell: Cell
    steps: int
    latent: Tensor
    follows: float
    keeps: float
    score: float


class Found(NamedTuple):
    """The result that is taken, and the report for people to read."""

    taken: Try
    report: str


def find_scales(
    edit: Edit, start: Cell, keep: float, probes: int, seeds: int, show: Show | None = None
) -> Found:
    """Try pairs of scales in few steps, then make the edit with the pair that scores highest.

    start   the scales that are tried first, and the seed of the edit and of the noises under which
            results are judged
    keep    see `belief`
    probes  how many pairs to try, a third of them near the best of the others
    seeds   how many seeds to make the edit with, from its own on; the best is taken
    show    draws the best try so far, which is then shown while the search goes on
    """
    steps, seed = edit.steps, start.seed
    few = min(steps, max(FEWEST_STEPS, steps // 3))
    bar = comfy.utils.ProgressBar(probes * few + seeds * steps)
    search = Search(edit, keep, seed, bar, show)
    near = probes // 3
    spread = spread_scales((start.text_cfg, start.image_cfg), probes - near)
    tries = search.run([Cell(*pair, seed) for pair in spread], few)
    best = search.show_best(tries).cell
    closer = closer_scales((best.text_cfg, best.image_cfg), near)
    tries += search.run([Cell(*pair, seed) for pair in closer], few)
    best = search.show_best(tries).cell
    # Seeds are numbers of 64 bits.
    attempts = [best._replace(seed=(seed + n) % 2**64) for n in range(seeds)]
    made = search.run(attempts, steps)
    taken = best_of(made)
    return Found(taken, report(tries, made, taken, keep))


class Search:
    """Samples cells of one edit and has the model judge each result.

    keep  see `belief`
    seed  of the noises under which results are judged, the same for all
    bar   advances by one for each step of each cell
    show  see `find_scales`
    """

    def __init__(
        self,
        edit: Edit,
        keep: float,
        seed: int,
        bar: comfy.utils.ProgressBar,
        show: Show | None,
    ) -> None:
        self.edit, self.keep, self.seed, self.bar, self.show = edit, keep, seed, bar, show
        self.live = live_preview(edit.model)
        self.shown: Image.Image | None = None

    def run(self, cells: list[Cell], steps: int) -> list[Try]:
        """The results of `cells` in so many steps."""
        tries: dict[int, Try] = {}
        edit = replace(self.edit, steps=steps)
        for indices, latents in edit.run(cells, self.bar, self.preview):
            errors = noise_errors(edit, latents, self.seed)
            judged = (*follows_and_keeps(errors), belief(errors, self.keep))
            rows = zip(indices, latents, *(column.tolist() for column in judged), strict=True)
            for index, latent, *row in rows:
                tries[index] = Try(cells[index], steps, latent, *row)
        return [tries[index] for index in range(len(cells))]

    def show_best(self, tries: list[Try]) -> Try:
        """The best of `tries`, drawn from now on where there is something to draw it with."""
        best = best_of(tries)
        if self.show is not None:
            self.shown = self.show(best.latent)
        return best

    def preview(self, indices: list[int], x0: Tensor) -> Image.Image | None:
        return self.shown or self.live(indices, x0)


def best_of(tries: list[Try]) -> Try:
    return max(tries, key=lambda one: one.score)


def noise_errors(edit: Edit, latents: Tensor, seed: int) -> Tensor:
    """Mean squared errors of the three noise predictions for noised results of `edit`.

    latents  [n, B, C, h, w], unscaled; all are noised alike, from `seed`

    Returns [levels, 3 (as `Branches`), n].
    """
    count = len(latents)
    source = {"samples": edit.source["samples"].repeat(count, 1, 1, 1)}
    guider = DualGuider(edit.model, edit.instruction, edit.negative, source, 1.0, 1.0)
    stream = NoiseStream(seed, latents.shape[1:])
    sigmas = torch.tensor([sigma_at(edit.model, level) for level in LEVELS])
    flat = latents.flatten(0, 1).float()
    errors: list[Tensor] = []

    def see(sigma: Tensor, latent: Tensor, predictions: Branches) -> None:
        # D = x - sigma * e, so the error of e is that of D by sigma.
        squares = ((torch.stack(predictions).float() - latent) / sigma) ** 2
        errors.append(squares.unflatten(1, (count, -1)).mean((2, 3, 4, 5)).cpu())

    def draw() -> Tensor:
        return stream.draw().repeat(count, 1, 1, 1)

    predict_noised(guider, flat, sigmas, draw, Branches(True, True, True), see)
    return torch.stack(errors)


def report(tries: list[Try], made: list[Try], taken: Try, keep: float) -> str:
    """What was tried, how it was judged, and what was taken, for people to read."""
    best = best_of(tries)
    rows = [
        (
            f"{one.cell.text_cfg:g}",
            f"{one.cell.image_cfg:g}",
            f"{one.cell.seed}",
            f"{one.steps}",
            # Noise has a mean square of 1.
            *(f"{100 * value:.2f}" for value in (one.follows, one.keeps, one.score)),
        )
        for one in (*tries, *made)
    ]
    marked = {tries.index(best), len(tries) + made.index(taken)}
    return "\n".join(
        [
            f"Taken: text_cfg {taken.cell.text_cfg:g}, image_cfg {taken.cell.image_cfg:g}, "
            f"seed {taken.cell.seed}.",
            f"Of {len(tries)} pairs tried in {tries[0].steps} steps it has the highest score at "
            f"keep {keep:g}; then the edit was made in {taken.steps} steps with {len(made)} "
            f"{'seed' if len(made) == 1 else 'seeds'}.",
            "",
            *report_table(HEAD, rows, marked),
            "",
            "follows: by how much the instruction explains the result, in percent of the noise "
            "that the model was asked to tell from it.",
            "keeps: by how much the picture does.",
            "score: how likely the model finds the result, the two weighed by keep; higher is "
            "better.",
        ]
    )
