"""The numerics of the authors' code and of diffusers, as patches of ComfyUI's sampling."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import comfy.model_sampling
import comfy.samplers
from torch import Tensor

from ..official import fractional_timestep


def official_sampling(sampling: Any) -> Any:
    """A copy of a model_sampling object with fractional timesteps that starts at noise * sigma_max.

    Models of continuous noise levels (EDM, as CosXL Edit) sample so already and are given back.
    Raises ValueError for other models without discrete timesteps, for which there is no such rule.
    """
    if isinstance(sampling, comfy.model_sampling.ModelSamplingContinuousEDM):
        return sampling
    if not isinstance(sampling, comfy.model_sampling.ModelSamplingDiscrete):
        raise ValueError(
            f"numerics: 'official' needs a model with discrete timesteps, this one samples with "
            f"{type(sampling).__name__}. Choose 'comfyui'."
        )

    class OfficialSampling(type(sampling)):  # type: ignore[misc]
        def timestep(self, sigma: Tensor) -> Tensor:
            return fractional_timestep(sigma, self.log_sigmas)

        def noise_scaling(
            self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False
        ) -> Tensor:
            return super().noise_scaling(sigma, noise, latent_image, False)

    official = copy.copy(sampling)
    official.__class__ = OfficialSampling
    return official


def official_sampler(sampler: Any, draw: Callable[[], Tensor]) -> Any:
    """`sampler` with what `draw` gives as its ancestral noise.

    Samplers that draw none, or correlated noise of their own (SDE), are returned as they are.
    """
    name = sampler.sampler_function.__name__
    if "ancestral" not in name and name not in ("sample_lcm", "sample_ddpm"):
        return sampler

    def next_noise(sigma: Tensor, sigma_next: Tensor) -> Tensor:
        return draw().to(sigma.device)

    options = {**sampler.extra_options, "noise_sampler": next_noise}
    return comfy.samplers.KSAMPLER(sampler.sampler_function, options, sampler.inpaint_options)
