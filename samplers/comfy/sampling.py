"""The edits of one picture: where guider, noise, noise levels and sampler are put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

import comfy.model_management
import comfy.patcher_extension
import comfy.sample
import comfy.sampler_helpers
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from PIL import Image
from torch import Tensor

from ..control import Guidance
from ..guidance import branches_needed
from ..official import NoiseStream
from .cells import BATCHING, CellsGuider, with_own_noise
from .guider import DualGuider, check_source
from .hooks import HOOKS
from .official import official_sampler, official_sampling

# (indices of the cells in progress, their x0 estimates [n * B, C, h, w]) -> a picture to show
Preview = Callable[[list[int], Tensor], Image.Image | None]
PREVIEW_SIZE = 1024


class Cell(NamedTuple):
    """The part of an edit that may differ from cell to cell."""

    text_cfg: float
    image_cfg: float
    seed: int


@dataclass(frozen=True)
class Edit:
    """The part of an edit that all its cells share: the inputs of IP2PKSampler without `Cell`'s.

    Raises ValueError for a source that is not an encoded picture.
    """

    model: Any
    instruction: Any
    negative: Any
    source: dict[str, Any]
    steps: int
    sampler_name: str
    scheduler: str
    guidance: Guidance | None = None
    denoise: float = 1.0
    numerics: str = "comfyui"

    def __post_init__(self) -> None:
        check_source(self.source)

    def run(
        self, cells: list[Cell], bar: comfy.utils.ProgressBar, preview: Preview
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Sample all cells; yield the indices of each finished batch and its latents.

        The latents [n, B, C, h, w] are unscaled; B is the batch of the source. Cells that need
        the same branches share a batch, as many as the free memory takes. `bar` advances by one
        for each step of each cell, which is also where an interrupt is heard.
        """

        def on_step(step: int, x0: Tensor, *_: Any) -> None:
            picture = preview(indices, x0)
            shown = None if picture is None else ("JPEG", picture, PREVIEW_SIZE)
            bar.update_absolute(bar.current + len(indices), preview=shown)

        for indices in self.batches(cells):
            samples = self.sample([cells[index] for index in indices], on_step)
            yield indices, samples.unflatten(0, (len(indices), -1))

    def batches(self, cells: list[Cell]) -> list[list[int]]:
        """The indices of `cells` in groups that are sampled together."""

        reuse = self.guidance.reuse if self.guidance else None

        def needs(index: int) -> Any:
            _, image_cfg, _ = cells[index]
            every = reuse.image_interval(self.steps, image_cfg) if reuse else 1
            return branches_needed(*cells[index][:2]), every

        alone = self.sampler_name not in BATCHING or sees_batches(self.model)
        most = 1 if alone else cells_in_memory(self.model, self.source["samples"].shape)
        groups = []
        for _, same in groupby(sorted(range(len(cells)), key=needs), needs):
            group = sorted(same)
            groups += [group[start : start + most] for start in range(0, len(group), most)]
        return sorted(groups)

    def sample(
        self,
        cells: Sequence[Cell],
        callback: Callable[..., None],
        disable_pbar: bool = True,
        say: Callable[[str], None] = lambda saved: None,
    ) -> Tensor:
        """The latents [n * B, C, h, w] of `cells` in one batch, cell by cell.

        callback      called after each step with its number, the x0 estimate, x, the steps
        disable_pbar  True shows no progress on the console
        say           told what `reuse` saved, where it was asked for
        """
        guider = self.guider(cells)
        seeds = [cell.seed for cell in cells]
        latent = self.source["samples"].float()
        noise, sampler = self.noise(guider, latent, seeds)
        mask = self.source.get("noise_mask")
        if mask is not None:
            # One for each picture, of which ComfyUI takes as many as it needs, in turn.
            mask = comfy.sampler_helpers.prepare_mask(mask, latent.shape, mask.device)[:, :1]
        latent = latent.repeat(len(cells), 1, 1, 1)
        # KSampler is asked for its noise levels only: it knows denoise and each sampler's quirks.
        sigmas = comfy.samplers.KSampler(
            guider.model_patcher,
            self.steps,
            "cpu",
            self.sampler_name,
            self.scheduler,
            self.denoise,
        ).sigmas
        samples = guider.sample(
            noise,
            latent,
            sampler,
            sigmas,
            denoise_mask=mask,
            callback=callback,
            disable_pbar=disable_pbar,
            seed=seed_of_steps(seeds[0]),
        )
        if guider.saved:
            say(guider.saved)
        return samples.to(comfy.model_management.intermediate_device())

    def noise(
        self, guider: DualGuider, latent: Tensor, seeds: list[int]
    ) -> tuple[Tensor, comfy.samplers.KSAMPLER]:
        """The start noise [n * B, C, h, w] and the sampler, by the rule of `numerics`.

        latent  of the source, [B, C, h, w]
        seeds   one for each cell
        """
        sampler = comfy.samplers.sampler_object(self.sampler_name)
        index = self.source.get("batch_index")
        if self.numerics == "official":
            sampling = guider.model_patcher.get_model_object("model_sampling")
            guider.model_patcher.add_object_patch("model_sampling", official_sampling(sampling))
            streams = {seed: NoiseStream(seed, latent.shape, index) for seed in seeds}

            def draw() -> Tensor:
                drawn = {seed: stream.draw() for seed, stream in streams.items()}
                return torch.cat([drawn[seed] for seed in seeds])

            noise, sampler = draw(), official_sampler(sampler, draw)
        else:
            drawn = {seed: comfy.sample.prepare_noise(latent, seed, index) for seed in seeds}
            noise = torch.cat([drawn[seed] for seed in seeds])
        if len(seeds) > 1:
            of_steps = [seed_of_steps(seed) for seed in seeds]
            sampler = with_own_noise(sampler, self.sampler_name, len(latent), of_steps)
        return noise, sampler

    def guider(self, cells: Sequence[Cell]) -> DualGuider:
        inputs = (self.model, self.instruction, self.negative)
        if len(cells) == 1:
            cell = cells[0]
            return DualGuider(*inputs, self.source, cell.text_cfg, cell.image_cfg, self.guidance)
        picture = self.source["samples"]
        guidance = self.guidance
        if guidance is not None and guidance.region is not None:
            if len(guidance.region) == len(picture):
                region = guidance.region.repeat(len(cells), 1, 1)
                guidance = replace(guidance, region=region)
        text, image = (
            torch.tensor(scales).repeat_interleave(len(picture)).view(-1, 1, 1, 1)
            for scales in ([c.text_cfg for c in cells], [c.image_cfg for c in cells])
        )
        sources = {"samples": picture.repeat(len(cells), 1, 1, 1)}
        return CellsGuider(
            *inputs,
            sources,
            text,
            image,
            guidance,
            pictures=len(picture),
            same_start=len({cell.seed for cell in cells}) == 1,
        )


def seed_of_steps(seed: int) -> int:
    """The seed of the noise that a sampler adds at its steps.

    Newer cores add one to it, which the largest seed has no room for.
    """
    return min(seed, 2**64 - 2)


def live_preview(model: Any) -> Preview:
    """What the edit in progress looks like, where ComfyUI shows previews."""
    previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)

    def preview(indices: list[int], x0: Tensor) -> Image.Image | None:
        return None if previewer is None else previewer.decode_latent_to_preview(x0[:1])

    return preview


def sees_batches(model: Any) -> bool:
    """Whether a model carries what would act on a whole batch, or on one number as the scale."""
    options = model.model_options
    kinds = comfy.patcher_extension.WrappersMP
    around = (kinds.PREDICT_NOISE, kinds.CALC_COND_BATCH, kinds.OUTER_SAMPLE)
    return any(options.get(name) for name in (*HOOKS, "context_handler")) or any(
        comfy.patcher_extension.get_all_wrappers(kind, options, is_model_options=True)
        or any(model.wrappers.get(kind, {}).values())
        for kind in around
    )


def cells_in_memory(model: Any, shape: torch.Size) -> int:
    """How many edits of a source of `shape` [B, C, h, w] the free memory takes at once."""
    free = comfy.model_management.get_free_memory(model.load_device)
    free -= model.model_size() - model.loaded_size()
    # The three branches, and the reserve that ComfyUI leaves as well.
    each = 1.5 * model.memory_required([3 * shape[0], *shape[1:]])
    return max(1, int(free / each))
