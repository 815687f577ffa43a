"""Dual guidance as pure maths: the equation, its dropped branches and the pair that equals it."""

import pytest
import torch
from diffusers.guiders.adaptive_projected_guidance import normalized_guidance
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from hypothesis import given
from hypothesis import strategies as st
from instruct_pix2pix.samplers.control import latent_region
from instruct_pix2pix.samplers.guidance import (
    branches_needed,
    combine_guidance,
    project_guidance,
    rescale_guidance,
    with_stand_ins,
)

SCALES = [(7.5, 1.5), (7.5, 1.0), (5, 5), (0, 1.5), (1, 1), (7.5, 0.8), (0, 0), (0, 1), (1, 1.5)]
scale = st.floats(0, 20, allow_nan=False)


def predictions(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 4, 5, 3, generator=generator, dtype=dtype) for _ in range(3)]


def equation(e2, e1, e0, text_cfg, image_cfg):
    """Equation 3 of the paper as the weights of the three predictions."""
    return (1 - image_cfg) * e0 + (image_cfg - text_cfg) * e1 + text_cfg * e2


@given(text_cfg=scale, image_cfg=scale)
def test_combination_is_the_equation(text_cfg, image_cfg):
    e2, e1, e0 = predictions()
    combined = combine_guidance(e2, e1, e0, text_cfg, image_cfg)
    expected = equation(e2, e1, e0, text_cfg, image_cfg)
    torch.testing.assert_close(combined, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("text_cfg, image_cfg", SCALES)
def test_a_branch_left_out_changes_nothing(text_cfg, image_cfg):
    full = predictions()
    needed = branches_needed(text_cfg, image_cfg)
    reduced = [e if keep else None for e, keep in zip(full, needed, strict=True)]
    torch.testing.assert_close(
        combine_guidance(*reduced, text_cfg, image_cfg),
        equation(*full, text_cfg, image_cfg),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize(
    "text_cfg, image_cfg, needed",
    [
        (7.5, 1.5, (True, True, True)),
        (7.5, 1.0, (True, True, False)),
        (5.0, 5.0, (True, False, True)),
        (0.0, 1.5, (False, True, True)),
        (1.0, 1.0, (True, False, False)),
        (0.0, 1.0, (False, True, False)),
        (0.0, 0.0, (False, False, True)),
        (7.5, 0.8, (True, True, True)),
    ],
)
def test_only_branches_with_a_weight_are_needed(text_cfg, image_cfg, needed):
    assert branches_needed(text_cfg, image_cfg) == needed


def test_unit_scales_return_the_instruction_branch_itself():
    e2, _, _ = predictions()
    assert torch.equal(combine_guidance(e2, None, None, 1.0, 1.0), e2)


def test_constant_maps_equal_scalars_to_the_bit():
    full = predictions(torch.float32)
    maps = torch.full((1, 1, 5, 3), 7.5), torch.full((2, 1, 5, 3), 1.5)
    assert torch.equal(combine_guidance(*full, *maps), combine_guidance(*full, 7.5, 1.5))


def test_a_branch_is_left_out_only_where_its_weight_is_zero_for_every_pixel():
    ones = torch.ones(1, 1, 5, 3)
    half = torch.cat([ones, 1.5 * ones], dim=2)
    assert branches_needed(7.5 * ones, ones) == (True, True, False)
    assert branches_needed(7.5, half) == (True, True, True)
    assert branches_needed(1.5 * ones, 1.5) == (True, False, True)


@given(eta=st.floats(0, 1), max_norm=st.floats(0, 50))
def test_projection_is_that_of_diffusers(eta, max_norm):
    e2, e1, _ = predictions()
    expected = normalized_guidance(e2, e1, 7.5 - 1, None, eta, max_norm, True)
    ours = e2 + (7.5 - 1) * project_guidance(e2 - e1, e2, eta, max_norm)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9)


@given(amount=st.floats(0, 1))
def test_rescale_is_that_of_diffusers_in_the_space_of_the_noise(amount):
    e2, e1, e0 = predictions()
    guided = equation(e2, e1, e0, 7.5, 1.5)
    expected = rescale_noise_cfg(guided, e2, amount)
    x, sigma = predictions()[0] * 3, 2.0
    denoised = rescale_guidance(x - sigma * guided, x - sigma * e2, x, amount)
    torch.testing.assert_close((x - denoised) / sigma, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_combined_in_float32(dtype):
    """The text term is a small difference times a large scale; half precision would lose it."""
    halves = predictions(dtype)
    combined = combine_guidance(*halves, 7.5, 1.5)
    assert combined.dtype == torch.float32
    assert torch.equal(combined, combine_guidance(*[e.float() for e in halves], 7.5, 1.5))


def test_no_prediction_at_all_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        with_stand_ins(None, None, None)


class OnMetal(torch.Tensor):
    """A tensor that says it lies on an Apple GPU, and has what is missing there."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function == torch.Tensor.device.__get__:
            return torch.device("mps")
        if function is torch.Tensor.cpu:
            return args[0].as_subclass(torch.Tensor)
        if function is torch.Tensor.double:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        if function is torch.nn.functional.interpolate and kwargs["mode"] == "area":
            raise RuntimeError("Adaptive pool MPS: input sizes must be divisible by output sizes")
        if function is torch.Tensor.to:
            moved = args[0].as_subclass(torch.Tensor).to("cpu", args[2])
            return moved.as_subclass(cls) if args[1] == torch.device("mps") else moved
        return super().__torch_function__(function, types, args, kwargs or {})


def test_projection_runs_where_there_is_no_float64():
    """On the CPU, as diffusers' does, and the result goes back."""
    e2, e1, _ = predictions(torch.float32)
    expected = project_guidance(e2 - e1, e2, 0.3, 5.0)
    found = project_guidance((e2 - e1).as_subclass(OnMetal), e2.as_subclass(OnMetal), 0.3, 5.0)
    assert isinstance(found, OnMetal)
    assert torch.equal(found.as_subclass(torch.Tensor), expected)


def test_a_region_is_scaled_where_there_is_no_scaling_by_area():
    region = torch.rand(1, 20, 30, generator=torch.Generator().manual_seed(0))
    expected = latent_region(region, torch.Size([1, 4, 7, 9]))
    assert torch.equal(latent_region(region.as_subclass(OnMetal), (1, 4, 7, 9)), expected)
