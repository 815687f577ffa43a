"""The trainer: it learns, it resumes, and the same seeds give the same data."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from instruct_pix2pix.mini.data import SHARES, Pairs, groups
from instruct_pix2pix.mini.instructions import FAMILIES, family_of
from instruct_pix2pix.mini.networks import LATENT_SCALE, build_vae
from instruct_pix2pix.mini.scenes import KINDS, render, sample_scene
from instruct_pix2pix.mini.train_text import asked_values
from instruct_pix2pix.mini.train_unet import SETTLED, build_networks, drop, edit_loss, noise_levels
from instruct_pix2pix.mini.train_vae import reconstruction_loss, to_tensor
from instruct_pix2pix.mini.training import WARMUP, Average, Clock, Run, Step
from torch import nn


def test_the_same_seed_draws_the_same_pairs() -> None:
    scenes = groups({"portrait": 4, "landscape": 3, "object": 3}, first_seed=50)
    a, b = (
        [Pairs(scenes).draw(rng) for _ in range(50)]
        for rng in (np.random.default_rng(5), np.random.default_rng(5))
    )
    assert a == b


def test_pairs_differ_in_what_their_words_ask_for_and_in_nothing_else() -> None:
    scenes = groups({"portrait": 5, "landscape": 5, "object": 5}, first_seed=50)
    flat = [scene for group in scenes for scene in group]
    pairs, rng = Pairs(scenes), np.random.default_rng(0)
    for _ in range(300):
        pair = pairs.draw(rng)
        source, target = flat[pair.source], flat[pair.target]
        assert source.seed == target.seed
        if pair.source != pair.target:
            assert family_of(source, target) is not None
            assert any(asked_values(pair, flat))


def test_every_family_is_trained() -> None:
    assert {*SHARES, "two edits"} == set(FAMILIES)
    assert sum(SHARES.values()) == pytest.approx(1)
    scenes = groups({"portrait": 20, "landscape": 20, "object": 20}, first_seed=50)
    pairs = Pairs(scenes)
    assert set(pairs.edits) == set(FAMILIES)
    flat = [scenes[group][i] for group, i, _ in pairs.doubles]
    assert {"plain", "studio"} <= {
        value for s in flat for n in ("material", "background") if (value := getattr(s, n, None))
    }


def test_the_first_stage_overfits_two_pictures() -> None:
    torch.manual_seed(0)
    vae = build_vae()
    target = to_tensor(np.stack([render(sample_scene(1, kind), 32) for kind in KINDS]))
    optimizer = torch.optim.AdamW(vae.parameters(), lr=2e-3)
    losses = []
    for _ in range(50):
        output = vae.decode(vae.encode(target).latent_dist.mode()).sample
        loss = reconstruction_loss(output, target, torch.ones(len(target), 1, 32, 32))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if losses[-1] < 0.5 * losses[0]:
            return
    pytest.fail(f"the loss fell from {losses[0]} to {losses[-1]}")


def test_an_edit_step_overfits_one_pair() -> None:
    torch.manual_seed(0)
    networks = build_networks(tokens=12)
    source, target = 5 * torch.randn(2, 4, 4, 4), 5 * torch.randn(2, 4, 4, 4)
    rows = torch.tensor([[1, 2, 3, *[4] * 74], [1, 5, 6, *[4] * 74]])
    optimizer = torch.optim.AdamW(networks.parameters(), lr=5e-4)
    losses = []
    for _ in range(25):
        torch.manual_seed(1)  # the same noise at every step
        loss = edit_loss(
            networks, noise_levels(), source, target, torch.ones(2), torch.ones(2), rows
        )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if losses[-1] < 0.5 * losses[0]:
            return
    pytest.fail(f"the loss fell from {losses[0]} to {losses[-1]}")


def test_words_source_and_both_are_dropped_in_turn() -> None:
    said, nothing = torch.full((4, 3), 7), torch.tensor([1, 2, 2])
    rows, kept, asked = drop(said, nothing, torch.tensor([0.01, 0.06, 0.11, 0.5]))
    assert rows.tolist() == [[1, 2, 2], [1, 2, 2], [7, 7, 7], [7, 7, 7]]
    assert kept.tolist() == [1, 0, 0, 1]
    assert asked.tolist() == [0, 1, 1, 1]


class Copying(nn.Module):
    """Takes the source for the result: what it predicts is the noise if that is so."""

    def __init__(self, levels: torch.Tensor):
        super().__init__()
        self.levels = levels

    def forward(self, x: torch.Tensor, step: torch.Tensor, context: object) -> SimpleNamespace:
        alpha = self.levels[step][:, None, None, None]
        clean = alpha.sqrt() * LATENT_SCALE * x[:, 4:]
        return SimpleNamespace(sample=(x[:, :4] - clean) / (1 - alpha).sqrt())


def test_without_an_instruction_edits_are_kept_only_where_noise_does_not_hide_them() -> None:
    """To copy the source is right where noise is loud, and for half the pairs where it is not."""
    count = 4000
    source, target = torch.zeros(count, 4, 2, 2), torch.ones(count, 4, 2, 2)
    rows = torch.ones(count, 1, dtype=torch.long)  # of words that nobody reads
    text = build_networks(tokens=12)["text"]
    sigmas = (1 / noise_levels() - 1).sqrt()

    def loss(levels: torch.Tensor, asked: float) -> float:
        torch.manual_seed(0)
        networks = nn.ModuleDict({"unet": Copying(levels), "text": text})
        said = torch.full((count,), asked)
        with torch.no_grad():
            error = edit_loss(networks, levels, source, target, torch.ones(count), said, rows)
        return error.item()

    loud, quiet = noise_levels()[sigmas >= SETTLED], noise_levels()[sigmas < SETTLED]
    assert loss(loud, asked=0) < 1e-6 < loss(loud, asked=1)
    assert loss(quiet, asked=0) == pytest.approx(0.5 * loss(quiet, asked=1), rel=0.1)


def test_the_learning_rate_rises_stays_and_falls_to_nothing() -> None:
    clock = Clock(steps=1000)
    rates = []
    for step in (0, 100, WARMUP, 700, 850, 999):
        clock.step = step
        rates.append(clock.rate())
    assert rates[0] < rates[1] < rates[2] == 1 and rates[3] == pytest.approx(1)
    assert rates[4] == pytest.approx(0.5) and rates[5] < 0.01


def test_a_stage_ends_with_its_steps_or_its_minutes() -> None:
    clock = Clock(steps=1000, minutes=2)
    clock.step, clock.spent = 500, 90.0
    assert clock.done == 0.75
    clock.step = 900
    assert clock.done == 0.9


def test_the_running_mean_of_weights_follows_them_and_is_saved_and_found(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    average = Average(model, decay=0.5)
    with torch.no_grad():
        model.weight.fill_(4.0)
    for _ in range(20):
        average.update()
    torch.testing.assert_close(
        average.weights["weight"], torch.full((1, 2), 4.0), atol=1e-4, rtol=0
    )
    Run(tmp_path, "mean", Clock(10), {"average": average}).save()
    other = Average(nn.Linear(2, 1), decay=0.5)
    Run(tmp_path, "mean", Clock(10), {"average": other})
    assert other.steps == 20
    assert torch.equal(other.weights["weight"], average.weights["weight"])


def line(folder: Path, until: float = math.inf) -> tuple[nn.Module, Run]:
    """Learn to map ones to one: 300 steps of a run in `folder`, as far as the time goes."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    average = Average(model)
    parts = {"model": model, "optimizer": optimizer, "average": average}
    run = Run(folder, "line", Clock(300), parts, until)
    train = Step(lambda: (model(torch.ones(1, 3)) - 1).square().mean(), optimizer, [0.01], average)
    for _ in run.steps():
        train(1.0)
    run.save()
    return model, run


def test_a_run_learns_stops_in_time_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    start, none = line(tmp_path, until=0)
    assert none.clock.step == 0
    model, run = line(tmp_path)
    assert run.clock.done == 1 and (model(torch.ones(1, 3)) - 1).abs() < 0.1
    again, done = line(tmp_path)
    assert done.clock.step == 300 and torch.equal(again.weight, model.weight)
    assert not torch.equal(start.weight, model.weight)


def test_a_step_uses_the_rate_it_is_given() -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0, fused=True)
    train = Step(lambda: model(torch.ones(1, 3)).sum(), optimizer, [0.5], Average(model))
    before = model.weight.detach().clone()
    train(0.0)
    assert torch.equal(model.weight, before)
    train(0.1)
    # Adam's step is the rate times the sign of a gradient that does not change.
    torch.testing.assert_close(model.weight, before - 0.05, atol=1e-5, rtol=0)
    assert train.mean_loss(2) != 0 and train.mean_loss(1) == 0
