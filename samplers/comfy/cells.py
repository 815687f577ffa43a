"""Several edits in one batch, each with scales and noise of its own."""

from __future__ import annotations

import inspect
from typing import Any

import comfy.k_diffusion.sampling
import comfy.samplers
import torch
from torch import Tensor

from .guider import DualGuider

# Samplers that treat each picture of a batch on its own, and draw noise, if any, by ComfyUI's
# default noise sampler. With the others (Brownian noise, adaptive steps) cells run one at a time.
BATCHING = frozenset(
    "euler euler_cfg_pp euler_ancestral euler_ancestral_cfg_pp heun heunpp2 dpm_2 dpm_2_ancestral "
    "lms dpmpp_2s_ancestral dpmpp_2s_ancestral_cfg_pp dpmpp_2m dpmpp_2m_cfg_pp ddpm lcm ipndm "
    "ipndm_v deis res_multistep res_multistep_cfg_pp res_multistep_ancestral "
    "res_multistep_ancestral_cfg_pp gradient_estimation gradient_estimation_cfg_pp er_sde "
    "uni_pc uni_pc_bh2".split()
)


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
    if "noise_sampler" in sampler.extra_options:  # official numerics have their own
        return sampler
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
