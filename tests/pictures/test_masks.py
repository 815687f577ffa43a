"""Masks and maps against slow and plain versions of themselves."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from instruct_pix2pix.pictures.masks import (
    blurred,
    box_mean,
    drawn_to_edges,
    feather_inward,
    grown,
    otsu_threshold,
)

from .made import mask_of


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("feather", [1, 4, 30])
@pytest.mark.parametrize("kind", ["random", "blob", "white"])
def test_feather_is_the_euclidean_distance_to_the_outside(kind, feather):
    mask = mask_of(kind, 41, 33)
    inside, outside = (mask[0] > 0).nonzero().float(), (mask[0] == 0).nonzero().float()
    expected = mask.clone()
    if len(outside):
        distance = torch.cdist(inside, outside).min(1).values
        expected[0][mask[0] > 0] = (distance / (feather + 1)).clamp(max=1)
    assert torch.allclose(feather_inward(mask, feather), expected, atol=1e-6)


def test_feather_of_a_grey_mask_starts_where_the_mask_does():
    mask = torch.zeros(1, 1, 9)
    mask[..., 2:] = 0.25
    ramp = torch.tensor([0, 0, 1, 2, 3, 4, 4, 4, 4]) / 4
    assert torch.allclose(feather_inward(mask, 3), mask * ramp)


@given(st.floats(0.0, 0.3), st.floats(0.6, 1.0), st.integers(1, 99), st.integers(0, 99))
def test_otsu_parts_two_groups(low, high, count, seed):
    generator = torch.Generator().manual_seed(seed)
    heat = torch.cat([torch.full((count,), high), torch.full((100 - count,), low)])
    heat = (heat + 0.05 * torch.rand(100, generator=generator)).clamp(0, 1)
    assert ((heat >= otsu_threshold(heat)).sum() == count).item()


def test_otsu_is_the_split_of_the_largest_variance_between():
    heat = (noise(64, 64) ** 3) * 0.999
    levels = torch.floor(heat * 256) / 256 + 1 / 512

    def between(threshold):
        low, high = levels[heat < threshold], levels[heat >= threshold]
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2

    best = max(range(1, 256), key=lambda level: float(between(level / 256)))
    assert abs(otsu_threshold(heat) - best / 256) <= 1 / 256


@pytest.mark.parametrize("radius", [1, 3, 50])
def test_box_mean_is_the_mean_of_what_lies_within_the_picture(radius):
    values = noise(1, 2, 9, 13)
    result = box_mean(values, radius)
    for y, x in ((0, 0), (4, 6), (8, 12), (0, 7)):
        part = values[..., max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]
        assert torch.allclose(result[..., y, x], part.mean((-1, -2)), atol=1e-6)


def test_a_coarse_map_is_drawn_to_the_edge_of_the_picture():
    """A disc of one color, and a map of cells of 8 pixels that only roughly covers it."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = (y - 30) ** 2 + (x - 35) ** 2 < 15**2
    picture = torch.where(disc, torch.tensor([0.8, 0.2, 0.1]).view(3, 1, 1), torch.tensor(0.4))[
        None
    ]
    heat = torch.nn.functional.avg_pool2d(disc[None].float(), 8)
    plain = torch.nn.functional.interpolate(heat[None], size=(64, 64), mode="bilinear")[0]
    drawn = drawn_to_edges(plain, picture)
    assert drawn.shape == (1, 64, 64) and 0 <= drawn.min() and drawn.max() <= 1

    def iou(mask):
        return ((mask & disc).sum() / (mask | disc).sum()).item()

    assert iou(drawn[0] >= 0.5) > 0.97 > iou(plain[0] >= 0.5)


def test_a_map_over_a_plain_picture_stays_as_it_is_but_softer():
    heat = noise(1, 64, 64)
    drawn = drawn_to_edges(heat, torch.full((1, 3, 64, 64), 0.5))
    assert torch.allclose(drawn, box_mean(box_mean(heat, 12), 12), atol=1e-5)


@pytest.mark.parametrize("grow", [0, 1, 5, 40, -1, -3])
def test_growing_is_by_a_square(grow):
    mask = torch.zeros(1, 30, 40)
    mask[:, 10:20, 12:25] = 1
    expected = torch.zeros_like(mask)
    expected[:, max(0, 10 - grow) : 20 + grow, max(0, 12 - grow) : 25 + grow] = 1
    assert torch.equal(grown(mask, grow), expected)


@pytest.mark.parametrize("blur", [0, 1, 2, 7])
def test_blurring_reaches_as_far_as_it_says_and_no_farther(blur):
    mask = torch.zeros(1, 40, 40)
    mask[..., 20:] = 1
    result = blurred(mask, blur)[0, 20]
    assert (result[: 20 - blur] == 0).all() and torch.allclose(result[20 + blur :], torch.ones(1))
    assert (result.diff() >= -1e-6).all()
    assert blur == 0 or 0 < result[20 - blur] < 0.5 < result[20 + blur - 1] < 1
