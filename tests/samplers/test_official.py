"""The authors' numerics as pure functions, against diffusers' scheduler and closed forms."""

import numpy as np
import torch
from diffusers import EulerAncestralDiscreteScheduler
from instruct_pix2pix.samplers.official import NoiseStream, fractional_timestep


def stable_diffusion_sigmas():
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas_cumprod = torch.cumprod(1 - betas, dim=0)
    return ((1 - alphas_cumprod) / alphas_cumprod).sqrt().float()


def test_whole_timesteps_are_found_exactly():
    log_sigmas = stable_diffusion_sigmas().log()
    found = fractional_timestep(log_sigmas.exp(), log_sigmas)
    torch.testing.assert_close(found, torch.arange(1000.0), rtol=0, atol=1e-3)


def test_fractions_are_linear_in_log_sigma():
    log_sigmas = stable_diffusion_sigmas().log()
    sigma = (0.75 * log_sigmas[100] + 0.25 * log_sigmas[101]).exp()
    torch.testing.assert_close(
        fractional_timestep(sigma, log_sigmas), torch.tensor(100.25), rtol=0, atol=1e-3
    )


def test_timesteps_are_those_of_diffusers_linspace():
    """Within 0.02: diffusers interpolates sigma linearly, the authors interpolate its logarithm."""
    scheduler = EulerAncestralDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="linspace",
    )
    scheduler.set_timesteps(20)
    found = fractional_timestep(scheduler.sigmas[:-1], stable_diffusion_sigmas().log())
    np.testing.assert_allclose(found, np.linspace(999, 0, 20), atol=0.02)


def test_sigmas_outside_the_range_are_clamped():
    log_sigmas = stable_diffusion_sigmas().log()
    found = fractional_timestep(torch.tensor([1e-4, 100.0]), log_sigmas)
    assert found.tolist() == [0.0, 999.0]


def test_noise_stream_is_one_cpu_generator():
    stream = NoiseStream(7, torch.Size([1, 4, 3, 5]))
    generator = torch.Generator("cpu").manual_seed(7)
    for _ in range(3):
        assert torch.equal(stream.draw(), torch.randn(1, 4, 3, 5, generator=generator))
