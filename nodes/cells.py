"""Many edits of one picture in few batches, each equal to what IP2PKSampler makes of it alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

import comfy.k_diffusion.sampling
import comfy.model_management
import comfy.sample
import comfy.samplers
import comfy.utils
import latent_preview
import torch
from PIL import Image
from torch import Tensor

from ..samplers.control import Guidance
from ..samplers.guidance import branches_needed
from ..samplers.guider import DualGuider, check_source, kept_part
from .sampling import check_choice

# Samplers that treat each picture of a batch on its own, and draw noise, if any, by ComfyUI's
# default noise sampler. With the others (Brownian noise, adaptive steps) cells run one at a time.
BATCHING = frozenset(
    "euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 dpm_2 dpm_2_ancestral "
    "lms dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp dpmpp_2m dpmpp_2m_cfg_pp ddpm lcm ipndm "
    "ipndm_v deis res_multistep res_multistep_cfg_pp res_multistep_ancestral "
    "res_multistep_ancestral_cfg_pp gradient_estimation gradient_estimation_cfg_pp er_sde "
    "uni_pc uni_pc_bh2".split()
)
# Functions that other nodes put on a model, which expect one number as the scale.
HOOKS = (
    "sampler_cfg_function",
    "sampler_pre_cfg_function",
    "sampler_post_cfg_function",
    "sampler_calc_cond_batch_function",
)

# (indices of the cells in progress, their x0 estimates [n * B, C, h, w]) -> a picture to show
Preview = Callable[[list[int], Tensor], Image.Image | None]
PREVIEW_SIZE = 1024


class Cell(NamedTuple):
    """What one edit has for itself."""

    text_cfg: float
    image_cfg: float
    seed: int


@dataclass(frozen=True)
class Edit:
    """What all cells have in common: the inputs of IP2PKSampler without scales and seed."""

    model: Any
    instruction: Any
    negative: Any
    source: dict[str, Any]
    steps: int
    sampler_name: str
    scheduler: str
    guidance: Guidance | None = None

    def __post_init__(self) -> None:
        check_choice("sampler_name", self.sampler_name, comfy.samplers.SAMPLER_NAMES)
        check_choice("scheduler", self.scheduler, comfy.samplers.SCHEDULER_NAMES)
        check_source(self.source)

    def run(
        self, cells: list[Cell], bar: comfy.utils.ProgressBar, preview: Preview
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Sample all cells; yield the indices of each finished batch and its latents.

        The latents [n, B, C, h, w] are unscaled; B is the batch of the source. Cells that need
        the same branches share a batch, as many as the free memory takes. `bar` goes on by one
        for each step of each cell, which is also where an interrupt is heard.
        """

        def on_step(step: int, x0: Tensor, *_: Any) -> None:
            picture = preview(indices, x0)
            shown = None if picture is None else ("JPEG", picture, PREVIEW_SIZE)
            bar.update_absolute(bar.current + len(indices), preview=shown)

        for indices in self.batches(cells):
            samples = self.sample([cells[index] for index in indices], on_step)
            samples = samples.to(comfy.model_management.intermediate_device())
            yield indices, samples.unflatten(0, (len(indices), -1))

    def batches(self, cells: list[Cell]) -> list[list[int]]:
        """The indices of `cells` in groups that are sampled together."""

        def needs(index: int) -> Any:
            return branches_needed(cells[index].text_cfg, cells[index].image_cfg)

        options = self.model.model_options
        alone = self.sampler_name not in BATCHING or any(options.get(name) for name in HOOKS)
        most = 1 if alone else cells_in_memory(self.model, self.source["samples"].shape)
        groups = []
        for _, same in groupby(sorted(range(len(cells)), key=needs), needs):
            group = sorted(same)
            groups += [group[start : start + most] for start in range(0, len(group), most)]
        return sorted(groups)

    def sample(self, cells: list[Cell], callback: Any) -> Tensor:
        """The latents [n * B, C, h, w] of `cells` in one batch, cell by cell."""
        guider = self.guider(cells)
        latent = self.source["samples"].float()
        noises = {
            cell.seed: comfy.sample.prepare_noise(latent, cell.seed, self.source.get("batch_index"))
            for cell in cells
        }
        mask = self.source.get("noise_mask")
        if mask is not None:
            mask = mask[: len(latent)]  # of which ComfyUI takes as many as it needs, in turn
        sampler = comfy.samplers.sampler_object(self.sampler_name)
        if len(cells) > 1:
            sampler = with_own_noise(sampler, len(latent), [cell.seed for cell in cells])
        return guider.sample(
            torch.cat([noises[cell.seed] for cell in cells]),
            kept_part(latent.repeat(len(cells), 1, 1, 1), mask),
            sampler,
            comfy.samplers.KSampler(
                guider.model_patcher, self.steps, "cpu", self.sampler_name, self.scheduler
            ).sigmas,
            denoise_mask=mask,
            callback=callback,
            disable_pbar=True,
            seed=cells[0].seed,
        )

    def guider(self, cells: list[Cell]) -> DualGuider:
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
        return CellsGuider(*inputs, sources, text, image, guidance, pictures=len(picture))


def live_preview(model: Any) -> Preview:
    """What the edit in progress looks like, where ComfyUI shows previews."""
    previewer = latent_preview.get_previewer(model.load_device, model.model.latent_format)

    def preview(indices: list[int], x0: Tensor) -> Image.Image | None:
        return None if previewer is None else previewer.decode_latent_to_preview(x0[:1])

    return preview


class CellsGuider(DualGuider):
    """Dual guidance of several cells in one batch, with scales [n * B, 1, 1, 1].

    The first step of cells with the same noise is predicted once: only the scales tell them apart.
    """

    cfg: Any
    image_cfg: Any

    def __init__(self, *args: Any, pictures: int) -> None:
        super().__init__(*args)
        self.pictures = pictures

    def predict_noise(
        self,
        x: Tensor,
        timestep: Tensor,
        model_options: dict[str, Any] = {},  # noqa: B006  (ComfyUI's signature; never written to)
        seed: int | None = None,
    ) -> Tensor:
        self.cfg, self.image_cfg = self.cfg.to(x), self.image_cfg.to(x)
        first = x[: self.pictures]
        cells = len(x) // self.pictures
        if timestep[0] == model_options["transformer_options"]["sample_sigmas"][0]:
            if torch.equal(x, first.repeat(cells, 1, 1, 1)):

                def predict_once(args: dict[str, Any]) -> list[Tensor]:
                    predictions = comfy.samplers.calc_cond_batch(
                        args["model"],
                        args["conds"][::-1],
                        first,
                        timestep[: self.pictures],
                        model_options,
                    )
                    return [p.repeat(cells, 1, 1, 1) for p in predictions[::-1]]

                options = {**model_options, "sampler_calc_cond_batch_function": predict_once}
                return super().predict_noise(x, timestep, options, seed)
        return super().predict_noise(x, timestep, model_options, seed)


def with_own_noise(sampler: Any, pictures: int, seeds: list[int]) -> Any:
    """`sampler` drawing for each cell the ancestral noise that it draws for that seed alone.

    pictures  of each cell
    seeds     one for each cell
    """
    if "noise_sampler" not in inspect.signature(sampler.sampler_function).parameters:
        return sampler

    def run(model: Any, x: Tensor, sigmas: Tensor, **options: Any) -> Tensor:
        streams = {
            seed: comfy.k_diffusion.sampling.default_noise_sampler(x[:pictures], seed=seed)
            for seed in seeds
        }

        def next_noise(sigma: Tensor, sigma_next: Tensor) -> Tensor:
            drawn = {seed: draw(sigma, sigma_next) for seed, draw in streams.items()}
            return torch.cat([drawn[seed] for seed in seeds])

        return sampler.sampler_function(model, x, sigmas, noise_sampler=next_noise, **options)

    return comfy.samplers.KSAMPLER(run, sampler.extra_options, sampler.inpaint_options)


def cells_in_memory(model: Any, shape: torch.Size) -> int:
    """How many edits of a source of `shape` [B, C, h, w] the free memory takes at once."""
    free = comfy.model_management.get_free_memory(model.load_device)
    free -= model.model_size() - model.loaded_size()
    # The three branches, and the reserve that ComfyUI leaves as well.
    each = 1.5 * model.memory_required([3 * shape[0], *shape[1:]])
    return max(1, int(free / each))
