"""The numerics of the authors' code and of diffusers, where ComfyUI's own differ.

Three things: the network is told fractional timesteps, the start is noise times sigma_max, and
start noise and ancestral noise come from one stream of random numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def fractional_timestep(sigma: Tensor, log_sigmas: Tensor) -> Tensor:
    """The timestep t in [0, len(log_sigmas) - 1] whose noise level is `sigma`, not rounded.

    sigma       any shape, within the model's range (clamped to it)
    log_sigmas  [T] log noise levels of the model's timesteps, rising

    Linear in log sigma between the two nearest timesteps: k-diffusion, `sigma_to_t` with
    quantize=False, which the authors sample with. ComfyUI takes the nearest whole timestep.
    """
    log_sigma = sigma.to(log_sigmas).log().clamp(log_sigmas[0], log_sigmas[-1])
    high = torch.searchsorted(log_sigmas, log_sigma).clamp(1, len(log_sigmas) - 1)
    low = high - 1
    weight = (log_sigma - log_sigmas[low]) / (log_sigmas[high] - log_sigmas[low])
    return (low + weight).to(sigma.device)


class NoiseStream:
    """All random numbers of one sampling run, from one CPU generator, in the order of use.

    As in the authors' code on a CPU and in diffusers with `generator=torch.Generator("cpu")`:
    the first draw is the start noise, every ancestral step takes the next one.

    seed     0 to 2**64 - 1
    shape    [B, C, H, W] of the latent
    numbers  for each picture its number in the batch that it was taken from, as ComfyUI's
             `batch_index`; it then gets the noise that it had there. How many pictures that batch
             had is not told: it is taken to end with the highest number
    """

    def __init__(self, seed: int, shape: torch.Size, numbers: Sequence[int] | None = None) -> None:
        self.generator = torch.Generator("cpu").manual_seed(seed)
        self.shape, self.numbers = shape, numbers

    def draw(self) -> Tensor:
        """The next standard normal noise, float32 on the CPU."""
        if self.numbers is None:
            return torch.randn(self.shape, generator=self.generator)
        count = max(self.numbers) + 1
        drawn = torch.randn(count, *self.shape[1:], generator=self.generator)
        return drawn[list(self.numbers)]
