"""Schedules, regions and limits of the two scales, in real sampling."""

import pytest
import torch
from instruct_pix2pix.nodes.guidance import IP2PGuidance
from instruct_pix2pix.nodes.sampling import IP2PGuider

from ..samplers.graph import sampled

# The model and the graphs of the sampler tests.

# One sampler of each class: one evaluation a step, two, noise of its own, a history of steps, an
# evaluation between levels, one that reads plain CFG's pair, and one of a library of its own.
CLASSES = [
    *("euler", "heun", "euler_ancestral", "dpmpp_2m", "dpm_2", "dpmpp_sde", "euler_cfg_pp"),
    *("uni_pc", "ddim"),
]
DEFAULTS = {
    "text_start": 0.0,
    "text_end": 1.0,
    "text_curve": "constant",
    "text_final": 1.0,
    "image_start": 0.0,
    "image_end": 1.0,
    "image_curve": "constant",
    "image_final": 1.0,
    "rescale": 0.0,
    "rescale_space": "eps",
    "apg_eta": 1.0,
    "apg_norm": 0.0,
    "text_outside": 1.0,
    "image_outside": 1.0,
}


def guidance(**changes):
    return IP2PGuidance.execute(**(DEFAULTS | changes))[0]


def half_region():
    region = torch.zeros(1, 64, 64)
    region[..., :32] = 1
    return region


def through_the_guider(model, graph, source, wired):
    """IP2PGuider in core's SamplerCustomAdvanced."""
    conds = graph.instruction, graph.negative
    guider = IP2PGuider.execute(model, *conds, source, 7.5, 1.5, wired)[0]
    return sampled(model, guider, source, "euler_ancestral")


@pytest.mark.parametrize("sampler_name", CLASSES)
def test_the_defaults_change_nothing_with_any_sampler(model, graph, sampler_name):
    source = graph.source(2)
    wired = graph.edit(model, source, sampler_name=sampler_name, guidance=guidance())
    assert torch.equal(wired, graph.edit(model, source, sampler_name=sampler_name))


def test_the_defaults_change_nothing_in_the_guider(model, graph):
    source = graph.source(3)
    wired = through_the_guider(model, graph, source, guidance())
    assert torch.equal(wired, through_the_guider(model, graph, source, None))
    changed = through_the_guider(model, graph, source, guidance(text_curve="linear"))
    assert torch.equal(wired, changed), "a curve that ends at factor 1 is none"
    cut = through_the_guider(model, graph, source, guidance(text_end=0.5))
    assert not torch.equal(wired, cut)


@pytest.mark.parametrize("sampler_name", CLASSES)
def test_constant_maps_are_scalars_with_any_sampler(model, graph, sampler_name):
    """All of the picture outside, at 0.5 and 2: the scales 4 and 3 of another edit."""
    source = graph.source()
    changed = guidance(region=torch.zeros(1, 20, 30), text_outside=0.5, image_outside=2.0)
    mapped = graph.edit(model, source, 8.0, 1.5, sampler_name, guidance=changed)
    plain = graph.edit(model, source, 4.0, 3.0, sampler_name)
    # Those that do plain CFG in between, to replace it, are told of 8 as the scale.
    torch.testing.assert_close(mapped, plain, rtol=1e-4, atol=1e-4)


def test_a_white_region_changes_nothing_to_the_bit(model, graph):
    changed = guidance(region=torch.ones(1, 64, 64), text_outside=0.0, image_outside=2.0)
    wired = graph.edit(model, graph.source(), guidance=changed)
    assert torch.equal(wired, graph.edit(model, graph.source()))


def test_a_black_region_is_another_pair_of_scales(model, graph):
    changed = guidance(region=torch.zeros(1, 64, 64), text_outside=0.5, image_outside=2.0)
    wired = graph.edit(model, graph.source(), 8.0, 1.5, guidance=changed)
    assert torch.equal(wired, graph.edit(model, graph.source(), 4.0, 3.0))


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 64), (300, 17)])
def test_a_region_of_any_size_covers_the_picture(model, graph, size):
    grey = torch.full((1, *size), 0.5)
    changed = guidance(region=grey, text_outside=0.0)
    wired = graph.edit(model, graph.source(), 8.0, 1.5, guidance=changed)
    torch.testing.assert_close(wired, graph.edit(model, graph.source(), 4.0, 1.5))


def test_a_region_of_one_pixel_acts_by_its_area(model, graph):
    one, cell = torch.zeros(1, 64, 64), torch.zeros(1, 8, 8)
    one[0, 27, 42] = 1
    cell[0, 3, 5] = 1 / 64
    edits = [
        graph.edit(model, graph.source(), guidance=guidance(region=region, text_outside=0.0))
        for region in (one, cell)
    ]
    assert torch.equal(*edits)
    assert not torch.equal(edits[0], graph.edit(model, graph.source(), 0.0))


def test_a_black_region_is_said_to_be_one(caplog):
    output = IP2PGuidance.execute(**(DEFAULTS | {"region": torch.zeros(1, 8, 8)}))
    assert "The region is all black, so text_outside and image_outside hold" in caplog.text
    assert output.ui.as_dict()["text"][0].startswith("The region is all black")
    assert IP2PGuidance.execute(**(DEFAULTS | {"region": half_region()})).ui is None


def test_a_region_steers_its_own_half(model, graph):
    """A network sees all of the picture, so only the first step's difference is local."""
    changed = guidance(region=half_region(), text_outside=0.0)
    wired = graph.edit(model, graph.source(), steps=1, guidance=changed)
    inside = graph.edit(model, graph.source(), 7.5, steps=1)
    outside = graph.edit(model, graph.source(), 0.0, steps=1)
    assert torch.equal(wired[..., :4], inside[..., :4])
    torch.testing.assert_close(wired[..., 4:], outside[..., 4:], rtol=1e-5, atol=1e-2)


def branch_counts(model):
    counts = []

    def wrapper(apply_model, args):
        counts.append(len(args["cond_or_uncond"]))
        return apply_model(args["input"], args["timestep"], **args["c"])

    patched = model.clone()
    patched.set_model_unet_function_wrapper(wrapper)
    return patched, counts


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"image_start": 0.5}, [2, 2, 3, 3, 3]),
        ({"text_end": 0.5, "image_end": 0.5}, [3, 3, 3, 1, 1]),
        ({"text_curve": "linear", "text_final": 0.0, "image_end": 0.0}, [3, 2, 2, 2, 1]),
    ],
)
def test_schedules_drop_branches_by_themselves(model, graph, changes, expected):
    patched, counts = branch_counts(model)
    graph.edit(patched, graph.source(), steps=5, guidance=guidance(**changes))
    assert counts == expected


@pytest.mark.parametrize("curve, expected", [("linear", [8, 6, 4, 2, 0]), ("cosine", None)])
def test_curves_run_from_full_to_final(curve, expected):
    plan = guidance(text_curve=curve, text_final=0.0).plan(8.0, 1.5, 5, None)
    values = [step.text_cfg for step in plan]
    expected = expected or [8, 4 + 8**0.5, 4, 4 - 8**0.5, 0]
    assert values == pytest.approx(expected, abs=1e-12)


def test_rescale_and_projection_change_the_edit(model, graph):
    plain = graph.edit(model, graph.source())
    for changes in ({"rescale": 0.7}, {"rescale": 0.7, "rescale_space": "v"}, {"apg_eta": 0.0}):
        changed = graph.edit(model, graph.source(), guidance=guidance(**changes))
        assert changed.std() < plain.std(), changes


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"text_start": 0.8, "text_end": 0.2}, "text_start: 0.8 lies behind text_end 0.2"),
        ({"image_curve": "wavy"}, "image_curve: got 'wavy'; choose one of constant"),
        ({"rescale_space": "x"}, "rescale_space: got 'x'"),
        ({"region": torch.ones(8, 8)}, r"region: expected .* got \(8, 8\)"),
        ({"region": torch.ones(1, 0, 8)}, r"region: expected .* got \(1, 0, 8\)"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        guidance(**changes)


def test_regions_that_do_not_fit_the_batch_are_named(model, graph):
    changed = guidance(region=torch.ones(2, 8, 8), text_outside=0.0)
    with pytest.raises(ValueError, match="region: 2 masks for a batch of 3"):
        graph.edit(model, graph.source(3), guidance=changed)
