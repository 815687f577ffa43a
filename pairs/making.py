"""From two captions to pictures: draws in batches, decodes, scores, filters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_base
import comfy.model_management
import torch
from torch import Tensor

from ..checkpoints.models import architecture_of
from .filter import Filtered, NothingKept, Scores, Thresholds, described, filtered
from .prompt_to_prompt import Draw, check_pair_model, check_sampler, draw_pairs
from .scores import embed_captions, own_scoring_clip, score_pairs

MOST_PAIRS = 4  # of one batch: more are not faster, and the first would come later

# (the pairs in progress, the step, their x0 estimates [2 n, C, h, w])
OnStep = Callable[[Sequence[Draw], int, Tensor], None]


@dataclass(frozen=True)
class Recipe:
    """What all pairs of two captions have in common.

    before, after  the captions
    start          [1, C, h, w]: the latent of a picture, or zeros of the wanted size; None: zeros
                   of the size that the model was trained for
    denoise        1 from noise alone; 0.5 to 0.8 from the picture in `start`
    """

    model: Any
    clip: Any
    vae: Any
    before: str
    after: str
    steps: int
    sampler_name: str
    scheduler: str
    start: Tensor | None = None
    denoise: float = 1.0

    def __post_init__(self) -> None:
        if not self.before.strip() or not self.after.strip():
            missing = "after" if self.before.strip() else "before"
            raise ValueError(
                f"{missing}: it is empty. Write the caption of the picture {missing} the edit, "
                "such as 'a photo of a lake in snow'."
            )
        if self.before.strip() == self.after.strip():
            raise ValueError(
                "before, after: they say the same, so both pictures would be the same. Write into "
                "'after' what the edited picture shows."
            )
        if self.clip is None or self.vae is None:
            missing = "clip" if self.clip is None else "vae"
            raise ValueError(
                f"{missing}: nothing arrived; the checkpoint holds none. Load one with "
                f"{missing.upper()}Loader and connect it."
            )
        check_pair_model(self.model)
        check_sampler(self.sampler_name)

    def latent(self) -> Tensor:
        """Where sampling starts, one row."""
        if self.start is not None:
            return self.start[:1]
        usual = 1024 if isinstance(self.model.model, comfy.model_base.SDXL) else 512
        side = architecture_of(self.model).get("resolution", usual) // 8
        return torch.zeros(1, 4, side, side)

    def pictures(
        self, chosen: Sequence[Draw], on_step: OnStep
    ) -> Iterator[tuple[list[Draw], Tensor, Tensor]]:
        """Draw all pairs; yield those of each finished batch: draws, before, after [n, H, W, 3]."""
        before, after, negative = (
            self.clip.encode_from_tokens_scheduled(self.clip.tokenize(text))
            for text in (self.before, self.after, "")
        )
        latent = self.latent()
        most = min(MOST_PAIRS, pairs_in_memory(self.model, latent.shape))
        for first in range(0, len(chosen), most):
            batch = list(chosen[first : first + most])

            def callback(step: int, x0: Tensor, *_: Any) -> None:
                on_step(batch, step, x0)  # noqa: B023  (called before the next batch begins)

            latents = draw_pairs(
                self.model,
                before,
                after,
                negative,
                batch,
                latent,
                self.steps,
                self.sampler_name,
                self.scheduler,
                self.denoise,
                callback,
            )
            images = self.vae.decode(latents.flatten(0, 1)).unflatten(0, (-1, 2))
            yield batch, images[:, 0], images[:, 1]


@dataclass(frozen=True)
class Candidates:
    """All pairs that were drawn of two captions: pictures [n, H, W, 3]."""

    draws: list[Draw]
    before: Tensor
    after: Tensor

    def scored(self, recipe: Recipe, clip_vision: Any, scoring_clip: Any) -> list[Scores]:
        """The scores of all pairs by the two parts of a CLIP, or by a DINOv2; see `score_pairs`."""
        texts = None
        scoring_clip = scoring_clip or own_scoring_clip(recipe.clip)
        if clip_vision is not None and scoring_clip is not None:
            texts = embed_captions(scoring_clip, (recipe.before, recipe.after))
        seeds = [draw.seed for draw in self.draws]
        return score_pairs(self.before, self.after, seeds, clip_vision, texts)

    def kept(
        self, scores: Sequence[Scores], thresholds: Thresholds, keep: int
    ) -> tuple[Tensor, Tensor, str]:
        """The pictures that are kept, the best first, and the report.

        Raises NothingKept, with the report, where no pair passes.
        """
        found = filtered(scores, thresholds, keep)
        report = self.report(found, scores, thresholds)
        if not found.seeds:
            raise NothingKept(
                f"before, after: {report} Draw more samples, or word both captions closer to each "
                "other."
            )
        rows = [[draw.seed for draw in self.draws].index(seed) for seed in found.seeds]
        return self.before[rows], self.after[rows], report

    def report(self, found: Filtered, scores: Sequence[Scores], thresholds: Thresholds) -> str:
        """A sentence, what was not measured, and a line for each pair that is kept."""
        lines = [f"{described(found, len(self.draws), thresholds)}."]
        if all(pair.image is None and pair.dino is None for pair in scores):
            lines.append("Not scored: connect a CLIP vision model to keep the best.")
        elif all(pair.direction is None and pair.dino is None for pair in scores):
            lines.append(
                "Captions not scored: connect the text part of the same CLIP to scoring_clip."
            )
        by_seed = {pair.seed: (draw, pair) for draw, pair in zip(self.draws, scores, strict=True)}
        for draw, pair in (by_seed[seed] for seed in found.seeds):
            measured = [
                f"{name} {value:.4f}"
                for name, value in pair._asdict().items()
                if name != "seed" and value is not None
            ]
            words = [f"seed {draw.seed}", f"swap {draw.swap:.3f}", f"cfg {draw.cfg:.2f}", *measured]
            lines.append("  ".join(words))
        return "\n".join(lines)


def pairs_in_memory(model: Any, shape: torch.Size) -> int:
    """How many pairs of a latent [1, C, h, w] the free memory takes at once, at least one."""
    free = comfy.model_management.get_free_memory(model.load_device)
    free -= model.model_size() - model.loaded_size()
    # Two pictures in two branches, and the reserve that ComfyUI leaves as well.
    each = 1.5 * model.memory_required([4, *shape[1:]])
    return max(1, int(free / each))
