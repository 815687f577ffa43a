"""Prompt-to-Prompt against plain sampling, its closed forms, and diffusers' UNet.

In full precision on the CPU with random weights: what is tested is that pairs are drawn exactly as
the authors draw them. Random weights draw no pictures, so nothing is said of those.
"""

import sys

import comfy.model_management
import comfy.samplers
import pytest
import torch
from comfy.k_diffusion.sampling import default_noise_sampler
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.pairs.prompt_to_prompt import (
    Draw,
    SharedSelfAttention,
    check_pair_model,
    check_sampler,
    draw_pairs,
    draws,
    paired,
    shared_at,
)

from ..checkpoints.factory import tiny_checkpoint
from .drawing import SDXL_WIDTHS, text, tiny_sdxl, tiny_text_to_image

STEPS = 6
BEFORE, AFTER, NEGATIVE = text(1), text(2), text(3)


@pytest.fixture(scope="module")
def tiny():
    return tiny_text_to_image()


@pytest.fixture(scope="module")
def model(tiny):
    return tiny[0]


def drawn(model, chosen, before=BEFORE, after=AFTER, sampler="euler_ancestral", **options):
    start = options.pop("start", torch.zeros(1, 4, 8, 8))
    steps = options.pop("steps", STEPS)
    return draw_pairs(
        model, before, after, NEGATIVE, chosen, start, steps, sampler, "normal", **options
    )


def plain(model, positive, draw, sampler="euler_ancestral", steps=STEPS, denoise=1.0, start=None):
    """The same picture by core's KSampler, alone."""
    start = torch.zeros(1, 4, 8, 8) if start is None else start
    noise = comfy.sample.prepare_noise(start, draw.seed)
    return comfy.sample.sample(
        model,
        noise,
        steps,
        draw.cfg,
        sampler,
        "normal",
        positive,
        NEGATIVE,
        start,
        denoise=denoise,
        seed=draw.seed,
    )


def worst(a, b):
    """The largest difference as a share of the range."""
    return ((a - b).abs().max() / (b.max() - b.min())).item()


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_2m", "euler", "lcm", "er_sde"])
def test_without_sharing_a_pair_is_two_runs_of_the_plain_sampler(model, sampler) -> None:
    draw = Draw(5, 0.0, 7.5)
    before, after = drawn(model, [draw], sampler=sampler)[0]
    assert worst(before, plain(model, BEFORE, draw, sampler)[0]) <= 1e-4
    assert worst(after, plain(model, AFTER, draw, sampler)[0]) <= 1e-4


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_2m"])
def test_the_first_picture_does_not_know_of_the_second(model, sampler) -> None:
    reference = drawn(model, [Draw(5, 0.0, 7.5)], sampler=sampler)[0]
    for swap in (0.1, 0.3, 0.5, 0.7, 0.9, 1.0):
        before, after = drawn(model, [Draw(5, swap, 7.5)], sampler=sampler)[0]
        assert torch.equal(before, reference[0])
        assert worst(after, reference[1]) > 1e-3


def test_equal_captions_give_equal_pictures(model) -> None:
    before, after = drawn(model, [Draw(5, 0.7, 9.0)], after=BEFORE)[0]
    assert torch.equal(before, after)


def test_pairs_of_one_batch_are_those_drawn_alone(model) -> None:
    chosen = draws(11, 3, (0.1, 0.9), (7.5, 15))
    together = drawn(model, chosen)
    for pair, draw in zip(together, chosen, strict=True):
        assert worst(pair, drawn(model, [draw])[0]) <= 1e-6


@pytest.mark.parametrize(
    ("swap", "active"), [(0, 0), (0.1, 2), (0.3, 6), (0.5, 10), (0.7, 14), (0.9, 18), (1, 19)]
)
def test_the_steps_that_share_are_the_closed_form(model, swap, active) -> None:
    seen = []

    class Watched(SharedSelfAttention):
        def __call__(self, n, context, value, options):
            changed = super().__call__(n, context, value, options)
            if changed[0] is not n:
                seen.append(options["sigmas"][0].item())
            return changed

    patched = model.clone()
    patched.set_model_attn1_patch(Watched([swap]))
    guider = comfy.samplers.CFGGuider(patched)
    guider.set_conds(paired(BEFORE, AFTER), paired(NEGATIVE, NEGATIVE))
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "normal", 20)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).repeat(2, 1, 1, 1)
    sampler = comfy.samplers.sampler_object("euler")
    guider.sample(noise, torch.zeros(2, 4, 8, 8), sampler, sigmas)
    assert len(set(seen)) == active
    assert active == sum(swap > i / 19 for i in range(20))
    assert all(shared_at([swap], sigma, sigmas)[0] for sigma in torch.tensor(seen))


def test_both_branches_and_all_layers_share(model) -> None:
    calls = []

    class Counted(SharedSelfAttention):
        def __call__(self, n, context, value, options):
            found = super().__call__(n, context, value, options)
            rows = 2 * torch.arange(len(n) // 2)
            calls.append(torch.equal(found[0][rows], found[0][rows + 1]))
            assert torch.equal(found[0], found[1])
            assert found[2] is value
            assert not torch.equal(n[rows], n[rows + 1]) or len(calls) < 3
            return found

    patched = model.clone()
    patched.set_model_attn1_patch(Counted([1.0]))
    options = patched.model_options["transformer_options"]
    options["cond_or_uncond"], options["sigmas"] = [0, 1], torch.tensor([9.0])
    options["sample_sigmas"] = torch.tensor([9.0, 5.0, 0.0])
    x = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    context = torch.cat([BEFORE[0][0], AFTER[0][0], NEGATIVE[0][0], NEGATIVE[0][0]])
    comfy.model_management.load_models_gpu([patched])
    with torch.no_grad():
        patched.model.apply_model(
            x, torch.tensor([9.0] * 4), c_crossattn=context, transformer_options=options
        )
    layers = [m for n, m in model.model.diffusion_model.named_modules() if n.endswith(".attn1")]
    assert len(calls) == len(layers) > 2 and all(calls)


def test_an_odd_batch_is_refused() -> None:
    patch = SharedSelfAttention([0.5])
    n = torch.zeros(3, 4, 8)
    options = {"cond_or_uncond": [0], "sigmas": torch.ones(1), "sample_sigmas": torch.ones(3)}
    with pytest.raises(ValueError, match="3 rows arrived for 1 parts of 1 pairs"):
        patch(n, n, n, options)


def test_a_batch_that_memory_splits_gives_the_same_pairs(model, monkeypatch) -> None:
    parts = []

    def record(apply, call):
        parts.append(len(call["cond_or_uncond"]))
        return apply(call["input"], call["timestep"], **call["c"])

    watched = model.clone()
    watched.set_model_unet_function_wrapper(record)
    chosen = draws(4, 2, (0.4, 0.9), (7.5, 15))
    whole = drawn(watched, chosen)
    monkeypatch.setattr(model.model, "memory_required", lambda *_, **__: 1e18)
    split = drawn(watched, chosen)
    assert parts == [2] * STEPS + [1] * (2 * STEPS)
    assert worst(split, whole) <= 1e-5


def test_texts_of_different_length_share_a_batch(model) -> None:
    draw, long = Draw(5, 0.0, 7.5), text(2, 154)
    before, after = drawn(model, [draw], after=long)[0]
    assert worst(before, plain(model, BEFORE, draw)[0]) <= 1e-4
    assert worst(after, plain(model, long, draw)[0]) <= 1e-4


def test_pairs_of_a_real_picture_start_from_it(model) -> None:
    start = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(9))
    draw = Draw(5, 0.0, 7.5)
    before, after = drawn(model, [draw], start=start, denoise=0.6)[0]
    for picture, caption in ((before, BEFORE), (after, AFTER)):
        assert worst(picture, plain(model, caption, draw, denoise=0.6, start=start)[0]) <= 1e-4
    shared = drawn(model, [Draw(5, 0.8, 7.5)], start=start, denoise=0.6)[0]
    assert torch.equal(shared[0], before) and not torch.equal(shared[1], after)


def test_a_hook_of_another_node_sees_the_scale_of_each_row(model) -> None:
    seen = []

    def hook(args):
        seen.append(args["cond_scale"].flatten().tolist())
        return args["uncond"] + (args["cond"] - args["uncond"]) * args["cond_scale"]

    patched = model.clone()
    patched.set_model_sampler_cfg_function(hook)
    chosen = [Draw(1, 0.5, 3.0), Draw(2, 0.5, 4.0)]
    assert worst(drawn(patched, chosen), drawn(model, chosen)) <= 1e-4
    assert seen[0] == [3.0, 3.0, 4.0, 4.0]


def test_sdxl_draws_pairs_with_the_pooled_text_of_each(monkeypatch) -> None:
    # Random weights of this size multiply rounding at each step, so there are few of them: over
    # six, noise that differs by 1e-7 moves the picture by 1e-3. In float64 nothing differs.
    model, draw = tiny_sdxl(), Draw(5, 0.0, 2.0)
    before, after, negative = (text(seed, **SDXL_WIDTHS) for seed in (1, 2, 3))
    monkeypatch.setattr(sys.modules[__name__], "NEGATIVE", negative)
    pair = drawn(model, [draw], before, after, steps=2)[0]
    assert worst(pair[0], plain(model, before, draw, steps=2)[0]) <= 1e-4
    assert worst(pair[1], plain(model, after, draw, steps=2)[0]) <= 1e-4
    other = [[after[0][0], before[0][1]]]  # the pooled text counts
    assert worst(plain(model, other, draw, steps=2)[0], pair[1]) > 1e-3
    shared = drawn(model, [Draw(5, 0.8, 2.0)], before, after, steps=2)[0]
    assert torch.equal(shared[0], pair[0]) and worst(shared[1], pair[1]) > 1e-3


def test_the_model_is_not_changed(model) -> None:
    reference = plain(model, BEFORE, Draw(5, 0, 7.5))
    drawn(model, [Draw(5, 0.9, 7.5)])
    assert torch.equal(plain(model, BEFORE, Draw(5, 0, 7.5)), reference)
    assert "patches" not in model.model_options["transformer_options"]


def test_draws_follow_from_their_own_seed() -> None:
    first = draws(2**64 - 2, 4, (0.1, 0.9), (7.5, 15))
    assert [draw.seed for draw in first] == [2**64 - 2, 2**64 - 1, 0, 1]
    assert draws(0, 2, (0.1, 0.9), (7.5, 15)) == first[2:]
    many = draws(0, 2000, (0.1, 0.9), (7.5, 15))
    assert 0.1 <= min(d.swap for d in many) < 0.11 and 0.89 < max(d.swap for d in many) <= 0.9
    assert sum(d.swap for d in many) / 2000 == pytest.approx(0.5, abs=0.02)
    assert sum(d.cfg for d in many) / 2000 == pytest.approx(11.25, abs=0.2)


def test_what_cannot_draw_pairs_says_so(model, tmp_path) -> None:
    check_pair_model(model)
    with pytest.raises(ValueError, match="8 input channels"):
        check_pair_model(load_checkpoint(tiny_checkpoint(tmp_path)).model)
    joint = model.clone()
    joint.model = torch.nn.Module()
    joint.model.diffusion_model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="no self-attention apart"):
        check_pair_model(joint)
    for name in ("dpmpp_2m_sde", "dpm_adaptive", "dpmpp_sde_gpu"):
        with pytest.raises(ValueError, match=name):
            check_sampler(name)


class CopiedScores:
    """diffusers' attention, written out, in which the second picture takes the first one's map."""

    def __init__(self) -> None:
        self.active = False

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_):
        own = encoder_hidden_states is None
        context = hidden_states if own else encoder_hidden_states
        q, k, v = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        q, k, v = (attn.head_to_batch_dim(part) for part in (q, k, v))
        scores = attn.get_attention_scores(q, k)
        if own and self.active:
            maps = scores.unflatten(0, (-1, attn.heads))  # rows: uncond x 2, cond x 2
            maps[1::2] = maps[0::2]
            scores = maps.flatten(0, 1)
        return attn.to_out[0](attn.batch_to_head_dim(scores @ v))


def test_twenty_steps_equal_diffusers_unet_with_copied_attention_maps(tiny) -> None:
    model, pipeline = tiny
    swap, cfg, seed, steps = 0.6, 7.5, 5, 20
    unet = pipeline.unet
    processor = CopiedScores()
    originals = unet.attn_processors
    unet.set_attn_processor(processor)
    sampling = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, "normal", steps)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, 4, 8, 8, generator=generator)
    # Which numbers a seed gives between the steps is core's own, and not the same in every version.
    ancestral = default_noise_sampler(noise, seed=seed)
    x = noise.repeat(2, 1, 1, 1) * (1 + sigmas[0] ** 2).sqrt()
    context = torch.cat([NEGATIVE[0][0], NEGATIVE[0][0], BEFORE[0][0], AFTER[0][0]])
    try:
        with torch.no_grad():
            for i in range(steps):
                processor.active = swap > i / (steps - 1)
                sigma, following = sigmas[i], sigmas[i + 1]
                t = sampling.timestep(sigma)
                scaled = torch.cat([x, x]) / (sigma**2 + 1).sqrt()
                without, asked = unet(scaled, t, encoder_hidden_states=context).sample.chunk(2)
                eps = without + cfg * (asked - without)
                # Euler ancestral of k-diffusion, from its formulas.
                up = (following**2 * (sigma**2 - following**2) / sigma**2).sqrt()
                down = (following**2 - up**2).sqrt()
                x = x + eps * (down - sigma)
                if following > 0:
                    x = x + ancestral(sigma, following) * up
    finally:
        unet.set_attn_processor(originals)
    expected = model.model.process_latent_out(x)
    found = drawn(model, [Draw(seed, swap, cfg)], steps=steps)[0]
    assert worst(found, expected) <= 1e-4
