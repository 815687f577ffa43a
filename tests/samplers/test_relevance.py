"""The maths of the edit's region against slow and plain versions of itself."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from instruct_pix2pix.samplers.relevance import (
    attention_map,
    blurred,
    box_mean,
    drawn_to_edges,
    grown,
    is_global,
    located,
    normalized,
    otsu_threshold,
    relevance_map,
)


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_relevance_is_the_absolute_mean_difference_summed_over_channels():
    differences = noise(3, 2, 4, 5, 6) - 0.5
    expected = differences.numpy().mean(0)
    assert np.allclose(relevance_map(differences), np.abs(expected).sum(1), atol=1e-6)


def test_what_only_the_noise_causes_cancels():
    change = torch.zeros(1, 4, 8, 8)
    change[..., :4] = 1
    differences = change + 0.5 * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1, 1)
    assert torch.equal(relevance_map(differences), change.sum(1))


def test_attention_is_what_the_start_tokens_do_not_get():
    query, key = noise(2, 10, 16) * 3, noise(2, 154, 16, seed=1) * 3
    expected = torch.zeros(2, 10)
    for b in range(2):
        for head in range(4):
            part = slice(4 * head, 4 * head + 4)
            shares = (query[b, :, part] @ key[b, :, part].T / 2).softmax(-1)
            shares[:, [0, 77]] = 0
            expected[b] += shares.sum(-1) / 4
    assert torch.allclose(attention_map(query, key, 4), expected, atol=1e-6)


def bright_top(share, size=16):
    """A map whose upper quarter is 1 and whose rest is `share`."""
    heat = torch.full((1, size, size), share)
    heat[:, : size // 4] = 1
    return heat


@given(st.floats(1e-6, 1e6), st.floats(0, 1))
def test_whether_an_edit_is_global_does_not_depend_on_its_strength(strength, share):
    heat = bright_top(share)
    assert is_global(heat * strength, None) == is_global(heat, None) == [share > 0.12 + 1e-6]


@given(st.floats(0, 1), st.floats(0, 1))
def test_an_edit_is_global_where_all_of_the_picture_answers_and_reads(answers, reads):
    both = is_global(bright_top(answers), bright_top(reads, size=8))
    assert both == [answers > 0.12 + 1e-6 and reads > 0.7 + 1e-6]


def test_each_picture_of_a_batch_is_global_or_not_on_its_own():
    relevance = torch.cat([bright_top(0.9), bright_top(0.1), bright_top(0.9)])
    attention = torch.cat([bright_top(0.9, 8), bright_top(0.9, 8), bright_top(0.1, 8)])
    assert is_global(relevance, attention) == [True, False, False]


def test_what_is_located_is_the_geometric_mean_of_both_maps():
    relevance, attention = noise(2, 8, 8), 0.3 + noise(2, 8, 8, seed=1)
    product = (normalized(relevance) * normalized(attention)).sqrt()
    assert torch.equal(located(relevance, attention), normalized(product))
    assert torch.equal(located(relevance, None), normalized(relevance))
    # At its own size: attention is coarser.
    coarse = located(relevance, attention[:, ::2, ::2])
    assert coarse.shape == (2, 8, 8) and 0 <= coarse.min() and coarse.max() == 1


def test_only_one_map_that_answers_locates_nothing():
    assert (located(torch.ones(1, 8, 8), noise(1, 4, 4)) == 0).all()


def test_normalized_runs_from_the_least_to_the_loud_quantile():
    heat = torch.arange(200.0).view(2, 10, 10) * torch.tensor([1.0, 7.0]).view(2, 1, 1)
    result = normalized(heat)
    assert (result.amin((1, 2)) == 0).all() and (result.amax((1, 2)) == 1).all()
    assert ((result == 1).sum((1, 2)) == 3).all()
    assert (normalized(torch.full((1, 4, 4), 3.0)) == 0).all()


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
    drawn = drawn_to_edges(heat, picture)
    assert drawn.shape == (1, 64, 64) and 0 <= drawn.min() and drawn.max() <= 1

    def iou(mask):
        return ((mask & disc).sum() / (mask | disc).sum()).item()

    plain = torch.nn.functional.interpolate(heat[None], size=(64, 64), mode="bilinear")[0, 0]
    assert iou(drawn[0] >= 0.5) > 0.97 > iou(plain >= 0.5)


def test_a_map_over_a_plain_picture_stays_as_it_is_but_softer():
    heat = noise(1, 8, 8)
    drawn = drawn_to_edges(heat, torch.full((1, 3, 64, 64), 0.5))
    coarse = torch.nn.functional.interpolate(heat[None], size=(64, 64), mode="bilinear")
    assert torch.allclose(drawn, box_mean(box_mean(coarse, 12), 12)[0], atol=1e-5)


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
