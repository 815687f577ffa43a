"""What the model is asked, against asking it by hand."""

import comfy.samplers
import node_helpers
import pytest
import torch
from instruct_pix2pix.samplers.comfy.probe import probe, sigma_at, size_of


@pytest.fixture(autouse=True)
def inference_mode():
    """As ComfyUI runs nodes."""
    with torch.inference_mode():
        yield


class Once(comfy.samplers.Sampler):
    """One prediction of the latent at one noise level, under one noise."""

    def __init__(self, drawn):
        self.drawn = drawn

    def sample(self, guider, sigmas, extra, callback, noise, latent, mask=None, quiet=False):
        sampling = guider.inner_model.model_sampling
        self.x = sampling.noise_scaling(sigmas[0], self.drawn, latent, False)
        self.denoised = guider(self.x, sigmas[:1].expand(len(latent)), **extra)
        return latent


def noise_prediction(model, cond, source, drawn, sigma):
    """Of core's own guider, with the picture in the conditioning."""
    guider = comfy.samplers.CFGGuider(model)
    picture = {"concat_latent_image": source["samples"]}
    cond = node_helpers.conditioning_set_values(cond, picture)
    guider.set_conds(cond, cond)
    once = Once(drawn)
    guider.sample(drawn, source["samples"], once, torch.tensor([sigma, 0.0]), seed=0)
    return (once.x - once.denoised) / sigma


@pytest.mark.parametrize("draws", [1, 3])
def test_relevance_is_the_difference_of_two_noise_predictions(model, graph, draws):
    source = graph.source(2, 8, 12)
    found = probe(model, graph.instruction, graph.negative, source, 7, 0.8, draws)
    generator = torch.Generator().manual_seed(7)
    levels = [0.8] if draws == 1 else [0.5, 0.65, 0.8]
    differences = []
    for level in levels:
        drawn = torch.randn(source["samples"].shape, generator=generator)
        asked, without = (
            noise_prediction(model, cond, source, drawn, sigma_at(model, level))
            for cond in (graph.instruction, graph.negative)
        )
        differences.append(asked - without)
    expected = torch.stack(differences).mean(0).abs().sum(1)
    torch.testing.assert_close(found.relevance, expected, rtol=1e-4, atol=1e-5)
    assert found.attention.shape == (2, 4, 6)
    assert (found.attention > 0).all() and (found.attention < 1).all()


def test_a_draw_costs_one_batch_of_two_and_the_model_is_left_as_it_was(model, graph):
    counts = []

    def wrapper(apply_model, args):
        counts.append(args["cond_or_uncond"])
        return apply_model(args["input"], args["timestep"], **args["c"])

    patched = model.clone()
    patched.set_model_unet_function_wrapper(wrapper)
    source = graph.source()
    before, edit = source["samples"].clone(), graph.edit(model, source)
    probe(patched, graph.instruction, graph.negative, source, 0, 0.8, 3)
    assert counts == [[0, 1]] * 3
    assert torch.equal(source["samples"], before)
    assert "attn2" not in patched.model_options["transformer_options"].get("patches_replace", {})
    assert torch.equal(graph.edit(model, source), edit)


def test_attention_is_that_of_the_instruction(model, graph):
    first, second = graph.instruction, graph.negative
    third = [[first[0][0].flip(1), {}]]

    def attention(instruction, negative):
        return probe(model, instruction, negative, graph.source(), 0, 0.8, 1).attention

    expected = attention(first, second)
    torch.testing.assert_close(attention(first, third), expected)
    assert (attention(third, second) - expected).abs().max() > 1e-3


@pytest.mark.parametrize("noise_level, timestep", [(0.05, 50), (0.5, 500), (0.8, 799), (1, 999)])
def test_noise_levels_are_shares_of_the_timesteps(model, noise_level, timestep):
    expected = float(model.get_model_object("model_sampling").sigmas[timestep])
    assert sigma_at(model, noise_level) == pytest.approx(expected, rel=0.02)


def test_a_probe_of_all_noise_still_sees_the_picture_below(model, graph):
    found = probe(model, graph.instruction, graph.negative, graph.source(), 0, 1.0, 2)
    other = {"samples": graph.source()["samples"].flip(-1)}
    flipped = probe(model, graph.instruction, graph.negative, other, 0, 1.0, 2)
    assert not torch.equal(found.relevance, flipped.relevance)


@pytest.mark.parametrize(
    "places, size, expected",
    [(64, (8, 8), (8, 8)), (16, (8, 8), (4, 4)), (15, (9, 5), (5, 3)), (1, (9, 5), (1, 1))],
)
def test_layers_are_halved_and_rounded_up(places, size, expected):
    assert size_of(places, size) == expected
