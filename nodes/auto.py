"""The search for the two scales and the seed that suit one edit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import comfy.samplers
import comfy.utils
import torch
from comfy_api.latest import io
from PIL import Image
from torch import Tensor

from ..pictures.frame import as_pil
from ..samplers.control import Guidance
from ..samplers.guider import DualGuider, check_finite
from ..samplers.official import NoiseStream
from ..samplers.search import (
    belief,
    closer_scales,
    follows_and_keeps,
    report_table,
    spread_scales,
)
from .cells import Cell, Edit, live_preview
from .probing import check_instruction, sigma_at
from .sampling import guidance_input, guided_inputs, run_inputs, sampler_inputs

# Noise levels, as shares of the model's own, at which a result is shown to the model again.
LEVELS = (0.6, 0.8)
# Fewer steps than this make results that tell too little of what many steps would make.
FEWEST_STEPS = 8
HEAD = ("text_cfg", "image_cfg", "seed", "steps", "follows", "keeps", "score")


class IP2PAutoGuidance(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="IP2PAutoGuidance",
            display_name="Auto Guidance (InstructPix2Pix)",
            category="InstructPix2Pix",
            description=(
                "Finds the two scales and the seed for this picture and this instruction: tries "
                "several in few steps, asks the model which result it believes most, and makes "
                "that edit."
            ),
            inputs=[
                *guided_inputs(),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="Not needed for the search. Shows the best try while it goes on.",
                ),
                *run_inputs(),
                *sampler_inputs(),
                guidance_input(),
                io.Float.Input(
                    "keep",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=(
                        "How much the rest must stay: 0 looks at the instruction only, 1 at the "
                        "picture only. 0.5 is what the model finds most likely."
                    ),
                ),
                io.Int.Input(
                    "probes",
                    default=9,
                    min=1,
                    max=64,
                    tooltip="How many pairs of scales to try, in a third of the steps each.",
                ),
                io.Int.Input(
                    "seeds",
                    default=1,
                    min=1,
                    max=64,
                    tooltip="How many seeds to make the edit with, from seed on. The best is kept.",
                ),
            ],
            outputs=[
                io.Latent.Output(
                    "latent", display_name="latent", tooltip="The edited picture, for VAEDecode."
                ),
                io.Float.Output(
                    "text_cfg", display_name="text_cfg", tooltip="The text_cfg that was found."
                ),
                io.Float.Output(
                    "image_cfg", display_name="image_cfg", tooltip="The image_cfg that was found."
                ),
                # The id may not equal an input id on the oldest supported ComfyUI.
                io.Int.Output("best_seed", display_name="seed", tooltip="The seed of the edit."),
                io.String.Output(
                    "report",
                    display_name="report",
                    tooltip="What was tried, how it was judged, and what was taken.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        instruction: Any,
        negative: Any,
        source: dict[str, Any],
        seed: int,
        steps: int,
        keep: float,
        probes: int,
        seeds: int,
        sampler_name: str,
        scheduler: str,
        guidance: Guidance | None = None,
        vae: Any = None,
    ) -> io.NodeOutput:
        for name, value, least, most in (
            ("keep", keep, 0, 1),
            ("probes", probes, 1, 64),
            ("seeds", seeds, 1, 64),
        ):
            if not least <= value <= most:
                raise ValueError(f"{name}: got {value}; give {least} to {most}.")
        check_instruction(instruction, negative)
        few = min(steps, max(FEWEST_STEPS, steps // 3))
        edit = Edit(model, instruction, negative, source, steps, sampler_name, scheduler, guidance)
        search = Search(edit, keep, seed, comfy.utils.ProgressBar(probes * few + seeds * steps))
        near = probes // 3
        tries = search.run([Cell(*pair, seed) for pair in spread_scales(probes - near)], few)
        best = search.best(tries, vae).cell
        closer = closer_scales((best.text_cfg, best.image_cfg), near)
        tries += search.run([Cell(*pair, seed) for pair in closer], few)
        best = search.best(tries, vae).cell
        # Seeds are numbers of 64 bits.
        attempts = [best._replace(seed=(seed + n) % 2**64) for n in range(seeds)]
        made = search.run(attempts, steps)
        taken = search.best(made)
        return io.NodeOutput(
            {**source, "samples": taken.latent}, *taken.cell, report(tries, made, taken, keep)
        )


class Try(NamedTuple):
    """One result and what the model thinks of it."""

    cell: Cell
    steps: int
    latent: Tensor
    follows: float
    keeps: float
    score: float


class Search:
    """Samples cells of one edit and has the model judge each result.

    keep  see `belief`
    seed  of the noises under which results are judged, the same for all
    bar   goes on by one for each step of each cell
    """

    def __init__(self, edit: Edit, keep: float, seed: int, bar: comfy.utils.ProgressBar) -> None:
        self.edit, self.keep, self.seed, self.bar = edit, keep, seed, bar
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

    def best(self, tries: list[Try], vae: Any = None) -> Try:
        """The try with the highest score; where there is a VAE, it is shown from now on."""
        best = max(tries, key=lambda one: one.score)
        if vae is not None:
            self.shown = as_pil(vae.decode(best.latent)[0])
        return best

    def preview(self, indices: list[int], x0: Tensor) -> Image.Image | None:
        return self.shown or self.live(indices, x0)


def noise_errors(edit: Edit, latents: Tensor, seed: int) -> Tensor:
    """Mean squared errors of the three noise predictions for noised results of `edit`.

    latents  [n, B, C, h, w], unscaled; all are noised alike, from `seed`

    Returns [levels, 3 (uncond, image, instruction), n].
    """
    count = len(latents)
    source = {"samples": edit.source["samples"].repeat(count, 1, 1, 1)}
    guider = DualGuider(edit.model, edit.instruction, edit.negative, source, 1.0, 1.0)
    judge = Judge(count, NoiseStream(seed, latents.shape[1:]))
    sigmas = torch.tensor([sigma_at(edit.model, level) for level in LEVELS])
    flat = latents.flatten(0, 1).float()
    guider.sample(torch.zeros_like(flat), flat, judge, sigmas, seed=seed)
    return torch.stack(judge.errors)


class Judge(comfy.samplers.Sampler):
    """A "sampler" that takes no step: it noises the results and asks each branch for the noise."""

    def __init__(self, count: int, stream: NoiseStream) -> None:
        self.count, self.stream = count, stream
        self.errors: list[Tensor] = []

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Callable[..., None] | None,
        noise: Tensor,
        latent_image: Tensor | None = None,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        assert latent_image is not None
        model, options = model_wrap.inner_model, extra_args["model_options"]
        branches = [model_wrap.conds[name] for name in ("negative", "middle", "positive")]
        for sigma in sigmas:
            drawn = self.stream.draw().to(latent_image).repeat(self.count, 1, 1, 1)
            x = model.model_sampling.noise_scaling(sigma, drawn, latent_image, False)
            levels = sigma.expand(len(x))
            predictions = comfy.samplers.calc_cond_batch(model, branches, x, levels, options)
            check_finite(predictions[::-1], 1, 1, levels)
            # D = x - sigma * e, so the error of e is that of D by sigma.
            squares = ((torch.stack(predictions).float() - latent_image) / sigma) ** 2
            self.errors.append(squares.unflatten(1, (self.count, -1)).mean((2, 3, 4, 5)).cpu())
        return latent_image


def report(tries: list[Try], made: list[Try], taken: Try, keep: float) -> str:
    """What was tried, how it was judged, and what was taken, for people to read."""
    best = max(tries, key=lambda one: one.score)
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
