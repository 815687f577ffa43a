"""Several edits in one batch, each with scales and noise of its own."""

from __future__ import annotations

import inspect
from typing import Any

import comfy.samplers
import torch
from comfy.k_diffusion.sampling import BrownianTreeNoiseSampler, default_noise_sampler
from torch import Tensor

from ..guidance import Branches
from .guider import DualGuider

# Samplers that draw noise which is correlated in time, so that its levels must be known.
BROWNIAN = frozenset(
    "dpmpp_sde dpmpp_sde_gpu dpmpp_2m_sde dpmpp_2m_sde_gpu dpmpp_2m_sde_heun dpmpp_2m_sde_heun_gpu "
    "dpmpp_3m_sde dpmpp_3m_sde_gpu".split()
)
# Samplers that treat each picture of a batch on its own, and draw noise, if any, by a noise sampler
# that can be handed in. With the others, such as those of adaptive steps, cells run one at a time.
BATCHING = BROWNIAN | frozenset(
    "euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 dpm_2 dpm_2_ancestral "
    "lms dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp dpmpp_2m dpmpp_2m_cfg_pp ddpm lcm ipndm "
    "ipndm_v deis res_multistep res_multistep_cfg_pp res_multistep_ancestral "
    "res_multistep_ancestral_cfg_pp gradient_estimation gradient_estimation_cfg_pp er_sde seeds_2 "
    "seeds_3 sa_solver sa_solver_pece uni_pc uni_pc_bh2".split()
)


class CellsGuider(DualGuider):
    """Dual guidance of several cells in one batch, with scales [n * B, 1, 1, 1].

    The first step of cells with the same noise is predicted once: only the scales tell them apart.

    pictures    of each cell, B
    same_start  whether all cells have the same noise
    """

    cfg: Any
    image_cfg: Any

    def __init__(self, *args: Any, pictures: int, same_start: bool) -> None:
        super().__init__(*args)
        self.pictures, self.same_start = pictures, same_start
        self.is_first = False

    def inner_sample(self, *args: Any, **kwargs: Any) -> Tensor:
        self.is_first = True
        return super().inner_sample(*args, **kwargs)

    def predict_branches(
        self, x: Tensor, sigma: Tensor, needed: Branches, model_options: dict[str, Any]
    ) -> Branches:
        is_first, self.is_first = self.is_first, False
        if not (is_first and self.same_start):
            return super().predict_branches(x, sigma, needed, model_options)
        cell = slice(self.pictures)
        once = super().predict_branches(x[cell], sigma[cell], needed, model_options)
        cells = len(x) // self.pictures
        return Branches(*(None if one is None else one.repeat(cells, 1, 1, 1) for one in once))


def with_own_noise(sampler: Any, name: str, pictures: int, seeds: list[int]) -> Any:
    """`sampler` drawing for each cell the noise of its steps that it draws for that seed alone.

    name      of the sampler
    pictures  of each cell
    seeds     one for each cell
    """
    if "noise_sampler" in sampler.extra_options:  # that of official numerics
        return sampler
    if "noise_sampler" not in inspect.signature(sampler.sampler_function).parameters:
        return sampler

    def stream(x: Tensor, sigmas: Tensor, seed: int) -> Any:
        if name not in BROWNIAN:
            return default_noise_sampler(x, seed=seed)
        low, high = sigmas[sigmas > 0].min(), sigmas.max()
        return BrownianTreeNoiseSampler(x, low, high, seed=seed, cpu=not name.endswith("_gpu"))

    def run(model: Any, x: Tensor, sigmas: Tensor, **options: Any) -> Tensor:
        streams = {seed: stream(x[:pictures], sigmas, seed) for seed in seeds}

        def next_noise(sigma: Tensor, sigma_next: Tensor) -> Tensor:
            drawn = {seed: draw(sigma, sigma_next) for seed, draw in streams.items()}
            return torch.cat([drawn[seed] for seed in seeds])

        return sampler.sampler_function(model, x, sigmas, noise_sampler=next_noise, **options)

    return comfy.samplers.KSAMPLER(run, sampler.extra_options, sampler.inpaint_options)
