"""What is drawn follows from the counter alone; every pair comes once an epoch."""

from collections import Counter

import torch
from instruct_pix2pix.training.stream import Order, draw


def test_a_draw_follows_from_seed_step_and_place_alone():
    first = draw(1, 2, 3, (4, 8, 8))
    torch.manual_seed(99)
    draw(5, 5, 5, (4, 8, 8))
    again = draw(1, 2, 3, (4, 8, 8))
    assert torch.equal(first.noise, again.noise) and torch.equal(first.spread, again.spread)
    assert (first.time, first.chance, first.flip) == (again.time, again.chance, again.flip)
    for other in (draw(0, 2, 3, (4, 8, 8)), draw(1, 3, 3, (4, 8, 8)), draw(1, 2, 4, (4, 8, 8))):
        assert not torch.equal(first.noise, other.noise) and first.chance != other.chance


def test_draws_are_uniform_and_normal():
    draws = [draw(0, step, place, (4, 4, 4)) for step in range(250) for place in range(8)]
    noise = torch.stack([one.noise for one in draws])
    count = noise.numel()
    assert abs(float(noise.mean())) < 4 / count**0.5
    assert abs(float(noise.var()) - 1) < 4 * (2 / count) ** 0.5
    times = torch.tensor([one.time for one in draws], dtype=torch.float64)
    assert times.min() >= 0 and times.max() <= 999
    assert abs(float(times.mean()) - 499.5) < 4 * 288.7 / len(draws) ** 0.5
    # The first numbers of a torch generator must not follow its seed.
    pairs = torch.tensor([[one.chance, one.flip] for one in draws])
    assert abs(float(torch.corrcoef(pairs.T)[0, 1])) < 4 / len(draws) ** 0.5


def test_an_epoch_has_every_pair_once_and_batches_of_one_shape():
    shapes = ["wide"] * 24 + ["tall"] * 16
    order = Order(0, shapes, 4)
    assert order.length == 10
    for epoch in range(3):
        steps = [order.at(epoch * 10 + step) for step in range(10)]
        assert Counter(sum(steps, [])) == Counter(range(40))
        assert all(len({shapes[i] for i in step}) == 1 for step in steps)
    assert [order.at(s) for s in range(10)] != [order.at(s) for s in range(10, 20)]


def test_a_batch_that_is_not_full_takes_more_of_its_shape():
    order = Order(0, ["wide"] * 5 + ["tall"], 4)
    steps = [order.at(step) for step in range(order.length)]
    assert order.length == 3 and all(len(step) == 4 for step in steps)
    assert Counter(sum(steps, [])).keys() == set(range(6))
    assert [5, 5, 5, 5] in steps


def test_order_is_the_same_whenever_it_is_asked():
    straight, jumping = Order(7, ["a"] * 10, 3), Order(7, ["a"] * 10, 3)
    wanted = [straight.at(step) for step in range(12)]
    assert [jumping.at(step) for step in reversed(range(12))] == wanted[::-1]
