"""The maths of the edit's region against slow and plain versions of itself."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from instruct_pix2pix.samplers.relevance import (
    attention_map,
    is_global,
    located,
    normalized,
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
