"""Differences that serve several steps, against tables made by hand and a dense reference."""

import pytest
import torch
from instruct_pix2pix.samplers.guidance import Branches
from instruct_pix2pix.samplers.reuse import Reuse, Reusing, steps_at

ALL = Branches(True, True, True)
SIGMAS = [14.6, 9.0, 6.0, 4.0, 2.5, 1.6, 0.9, 0.4, 0.1]


def branches(step):
    generator = torch.Generator().manual_seed(step)
    shape = (2, 4, 3, 5)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3)]


@pytest.mark.parametrize("image_every, text_every", [(1, 1), (4, 1), (3, 2), (8, 4)])
def test_what_is_filled_in_is_the_difference_of_the_step_it_is_from(image_every, text_every):
    """To the bit, against a loop that predicts all branches and looks up the older ones."""
    reusing = Reusing(image_every, text_every, set())
    differences = {}
    for step, sigma in enumerate(SIGMAS):
        e2, e1, e0 = branches(step)
        image = step % image_every == 0
        text = image or step % text_every == 0
        fresh = reusing.fresh(step, sigma, ALL)
        assert fresh == (True, text, image)
        run = Branches(*(e if one else None for e, one in zip((e2, e1, e0), fresh, strict=True)))
        filled = reusing.filled(run, ALL, step, sigma)
        if text:
            differences["text"] = (e1 - e2) / sigma
        e1 = e1 if text else e2 + differences["text"] * sigma
        if image:
            differences["image"] = (e0 - e1) / sigma
        e0 = e0 if image else e1 + differences["image"] * sigma
        for found, expected in zip(filled, (e2, e1, e0), strict=True):
            assert torch.equal(found, expected)
    assert reusing.needed == 3 * len(SIGMAS)


def plan(reusing, steps, needed=lambda step: ALL):
    """Whether each of `steps`, (step, sigma), runs the branch without picture."""
    ran = []
    for step, sigma in steps:
        fresh = reusing.fresh(step, sigma, needed(step))
        values = Branches(*(torch.ones(1, 1, 1, 1) if one else None for one in fresh))
        reusing.filled(values, needed(step), step, sigma)
        ran.append(fresh.uncond)
    return ran


def test_each_evaluation_of_a_step_that_refreshes_refreshes():
    """Heun evaluates at the next level before that level's own step begins."""
    steps = [(0, 14.6), (1, 9.0), (1, 9.0), (2, 6.0), (2, 6.0), (3, 4.0)]
    assert plan(Reusing(2, 1, set()), steps) == [True, False, False, True, True, False]


def test_a_sampler_that_goes_up_again_refreshes():
    assert plan(Reusing(8, 1, set()), [(1, 9.0), (2, 6.0), (1, 9.5)]) == [True, False, True]


def test_a_branch_that_is_needed_again_is_fresh():
    def needed(step):
        return Branches(True, True, step not in (2, 3))

    steps = list(enumerate(SIGMAS))
    expected = [True, False, False, False, True, False, False, False, True]
    assert plan(Reusing(8, 1, set()), steps, needed) == expected


def test_where_conditionings_begin_or_end_all_is_fresh():
    edges = steps_at([5.0, 0.4], SIGMAS)
    assert edges == {3, 7, 8}
    ran = plan(Reusing(50, 1, edges), list(enumerate(SIGMAS)))
    assert [step for step, is_fresh in enumerate(ran) if is_fresh] == [0, 3, 7, 8]


@pytest.mark.parametrize(
    "steps, image_cfg, interval",
    [(20, 1.5, 4), (20, 2.5, 2), (10, 1.5, 2), (50, 2.0, 10), (1, 3.0, 1)],
)
def test_fast_refreshes_five_times_a_run_and_twice_as_often_at_high_image_cfg(
    steps, image_cfg, interval
):
    assert Reuse().image_interval(steps, image_cfg) == interval
    assert Reuse().image_interval(steps, torch.tensor([image_cfg, 1.2])) == interval
    assert Reuse(7).image_interval(steps, image_cfg) == 7
