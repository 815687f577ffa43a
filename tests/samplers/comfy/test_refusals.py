"""What cannot be edited is refused in a sentence that names its true cause."""

import pytest
import torch


def test_nan_names_the_branch_and_the_step(model, graph):
    steps = []

    def overflow(apply_model, args):
        output = apply_model(args["input"], args["timestep"], **args["c"])
        steps.append(1)
        if len(steps) == 2:
            output[1] = float("nan")
        return output

    patched = model.clone()
    patched.set_model_unet_function_wrapper(overflow)
    message = "model: the image branch .* at step 2 of 3 .* runs in float32, .* weights are damaged"
    with pytest.raises(ValueError, match=message):
        graph.edit(patched, graph.source())


def test_nan_in_half_precision_is_said_to_come_from_it(model, graph):
    patched = model.clone()
    patched.add_object_patch("manual_cast_dtype", torch.float16)
    patched.set_model_unet_function_wrapper(
        lambda apply_model, args: torch.full_like(args["input"], float("inf"))
    )
    message = "model: the instruction and image and uncond branch .* at step 1 of 3 .* half prec"
    with pytest.raises(ValueError, match=message):
        graph.edit(patched, graph.source())


@pytest.mark.parametrize("name", ["instruction", "negative"])
def test_a_word_of_enormous_weight_is_the_cause_and_not_the_precision(model, graph, name):
    enormous = [[1e30 * graph.instruction[0][0], {}]]
    with pytest.raises(ValueError, match=f"{name}: .* numbers up to .*e\\+30, .* ordinary weights"):
        graph.edit(model, graph.source(), **{name: enormous})


def test_a_source_of_nan_is_named(model, graph):
    source = graph.source()
    source["samples"][0, 0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="source: .* holds NaN or infinite .* --fp32-vae"):
        graph.edit(model, source)


def test_a_latent_that_ran_away_is_named(model, graph):
    patched, steps = model.clone(), []

    def hook(args):
        steps.append(1)
        return args["denoised"] * (float("inf") if len(steps) == 2 else 1)

    patched.set_model_sampler_post_cfg_function(hook)
    with pytest.raises(ValueError, match="at step 3 of 3 .* the sampling ran away: lower text_cfg"):
        graph.edit(patched, graph.source())


@pytest.mark.parametrize(
    "source, message",
    [
        (torch.zeros(1, 4, 8, 8), "all zeros"),
        (torch.ones(1, 16, 8, 8), r"got \(1, 16, 8, 8\)"),
        (torch.ones(1, 4, 1, 8, 8), r"got \(1, 4, 1, 8, 8\)"),
    ],
)
def test_a_source_that_is_no_picture_is_refused(model, graph, source, message):
    with pytest.raises(ValueError, match=f"source: .*{message}"):
        graph.edit(model, {"samples": source})


@pytest.mark.parametrize("name", ["sampler_name", "scheduler", "numerics"])
def test_an_unknown_choice_is_named(model, graph, name):
    with pytest.raises(ValueError, match=f"{name}: got 'nonsense'; choose one of"):
        graph.edit(model, graph.source(), **{name: "nonsense"})
