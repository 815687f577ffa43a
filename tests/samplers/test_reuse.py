"""Differences that serve several steps, against tables made by hand and a dense reference."""

import pytest
import torch
from instruct_pix2pix.samplers.guidance import Branches
from instruct_pix2pix.samplers.reuse import Moment, Reuse, Reusing, steps_at

ALL = Branches(True, True, True)
SIGMAS = [14.6, 9.0, 6.0, 4.0, 2.5, 1.6, 0.9, 0.4, 0.1]


def branches(step):
    generator = torch.Generator().manual_seed(step)
    shape = (2, 4, 3, 5)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3)]


@pytest.mark.parametrize("image_every, text_every", [(1, 1), (4, 1), (3, 2), (8, 4)])
def test_what_is_filled_in_is_the_difference_of_the_step_it_is_from(image_every, text_every):
    """To the bit, against a loop that predicts all branches and looks up the older ones."""
    reusing = Reusing(Reuse(image_every, text_every), set())
    differences = {}
    for step, sigma in enumerate(SIGMAS):
        e2, e1, e0 = branches(step)
        image = step % image_every == 0
        text = image or step % text_every == 0
        now = Moment(step, sigma)
        fresh = reusing.fresh(now, ALL)
        assert fresh == (True, text, image)
        run = Branches(*(e if one else None for e, one in zip((e2, e1, e0), fresh, strict=True)))
        filled = reusing.filled(run, ALL, now)
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
    for now in (Moment(*step) for step in steps):
        fresh = reusing.fresh(now, needed(now.step))
        values = Branches(*(torch.ones(1, 1, 1, 1) if one else None for one in fresh))
        reusing.filled(values, needed(now.step), now)
        ran.append(fresh.uncond)
    return ran


def test_each_evaluation_of_a_step_that_refreshes_refreshes():
    """Heun evaluates at the next level before that level's own step begins."""
    steps = [(0, 14.6), (1, 9.0), (1, 9.0), (2, 6.0), (2, 6.0), (3, 4.0)]
    assert plan(Reusing(Reuse(2), set()), steps) == [True, False, False, True, True, False]


def test_a_sampler_that_goes_up_again_refreshes():
    assert plan(Reusing(Reuse(8), set()), [(1, 9.0), (2, 6.0), (1, 9.5)]) == [True, False, True]


def test_a_branch_that_is_needed_again_is_fresh():
    def needed(step):
        return Branches(True, True, step not in (2, 3))

    steps = list(enumerate(SIGMAS))
    expected = [True, False, False, False, True, False, False, False, True]
    assert plan(Reusing(Reuse(8), set()), steps, needed) == expected


def test_where_conditionings_begin_or_end_all_is_fresh():
    edges = steps_at([5.0, 0.4], SIGMAS)
    assert edges == {3, 7, 8}
    ran = plan(Reusing(Reuse(50), edges), list(enumerate(SIGMAS)))
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


def deep_plan(reusing, steps, needed=lambda step: ALL):
    """The steps of `steps`, (step, sigma), that run the whole network."""
    whole = []
    for now in (Moment(*step) for step in steps):
        fresh = reusing.fresh(now, needed(now.step))
        if reusing.deep_is_due(now, fresh):
            whole.append(now.step)
        values = Branches(*(torch.ones(1, 1, 1, 1) if one else None for one in fresh))
        reusing.filled(values, needed(now.step), now)
    return whole


@pytest.mark.parametrize("steps, image_cfg, interval", [(20, 1.5, 4), (15, 1.5, 4), (5, 2.5, 2)])
def test_fastest_runs_the_whole_network_every_second_step(steps, image_cfg, interval):
    """The branch without picture goes along with those steps."""
    fastest = Reuse(deep_every=2)
    assert fastest.image_interval(steps, image_cfg) == interval
    sigmas = [float(steps - step) for step in range(steps)]
    whole = deep_plan(Reusing(Reuse(interval, deep_every=2), set()), list(enumerate(sigmas)))
    assert whole == list(range(0, steps, 2))


def test_the_whole_network_runs_where_all_is_made_anew():
    steps = list(enumerate(SIGMAS))
    edge = Reusing(Reuse(50, deep_every=2), {3})
    assert deep_plan(edge, steps) == [0, 2, 3, 4, 6, 8]
    up = [(1, 9.0), (1, 9.5), (1, 9.0), (2, 6.0), (3, 4.0), (5, 1.6)]
    assert deep_plan(Reusing(Reuse(50, deep_every=2), set()), up) == [1, 1, 2, 5]


def test_a_branch_that_was_left_out_runs_the_whole_network():
    def needed(step):
        return Branches(True, step not in (2, 4), False)

    steps = list(enumerate(SIGMAS))
    found = deep_plan(Reusing(Reuse(50, deep_every=2), set()), steps, needed)
    assert found == [0, 2, 3, 4, 5, 6, 8]
