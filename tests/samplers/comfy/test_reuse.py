"""Reuse in real sampling: what it leaves out, what it leaves alone, and that nothing stays."""

import comfy.utils
import pytest
import torch
from instruct_pix2pix.nodes.sampling import IP2PKSampler
from instruct_pix2pix.samplers.comfy.sampling import Cell, Edit
from instruct_pix2pix.samplers.control import Guidance
from instruct_pix2pix.samplers.reuse import Reuse

from ..graph import assert_close, calls

FAST, EVERY_1 = Guidance(reuse=Reuse()), Guidance(reuse=Reuse(1, 1))


SAMPLERS = ["euler_ancestral", "heun", "dpmpp_2m", "dpmpp_sde", "lcm"]


@pytest.mark.parametrize("sampler_name", SAMPLERS)
def test_every_step_is_off_to_the_bit(model, graph, sampler_name):
    source = graph.source(2)
    off = graph.edit(model, source, sampler_name=sampler_name, steps=4)
    anew = graph.edit(model, source, sampler_name=sampler_name, steps=4, guidance=EVERY_1)
    assert torch.equal(off, anew)


def test_fast_runs_45_of_60_and_says_so(model, graph, caplog):
    caplog.set_level("INFO")
    patched, seen = calls(model)
    fast = graph.edit(patched, graph.source(), steps=20, guidance=FAST)
    assert [batch for _, batch in seen] == [3, 2, 2, 2] * 5
    assert "45 of 60 evaluations run, 15 reused." in caplog.text
    again = graph.edit(model, graph.source(), steps=20, guidance=FAST)
    assert torch.equal(fast, again), "a run leaves nothing to the next"
    assert not torch.equal(fast, graph.edit(model, graph.source(), steps=20))


def test_the_node_shows_what_was_saved_where_asked(model, graph):
    inputs = model, graph.instruction, graph.negative, graph.source()
    shown = IP2PKSampler.execute(*inputs, guidance=FAST, steps=10).ui
    assert shown.as_dict()["text"] == ("25 of 30 evaluations run, 5 reused.",)
    assert IP2PKSampler.execute(*inputs, steps=1).ui is None
    plain_cfg = {"sampler_name": "euler_cfg_pp", "steps": 2}  # which reuses nothing
    assert IP2PKSampler.execute(*inputs, guidance=FAST, **plain_cfg).ui is None


def test_what_reads_plain_cfgs_pair_gets_it_exact(model, graph):
    both = Guidance(reuse=Reuse(4, 4))
    pp = {"sampler_name": "euler_cfg_pp", "steps": 8}
    edits = [graph.edit(model, graph.source(), **pp, guidance=g) for g in (both, None)]
    assert torch.equal(*edits)
    patched, seen = calls(model)
    patched.set_model_sampler_post_cfg_function(lambda args: args["denoised"])
    graph.edit(patched, graph.source(), steps=8, guidance=both)
    assert [batch for _, batch in seen] == [3, 2, 2, 2] * 2


def test_a_run_that_ends_early_leaves_nothing(model, graph):
    broken, steps = model.clone(), []

    def fail(apply_model, args):
        steps.append(1)
        if len(steps) == 3:
            raise RuntimeError("stopped")
        return apply_model(args["input"], args["timestep"], **args["c"])

    broken.set_model_unet_function_wrapper(fail)
    expected = graph.edit(model, graph.source(), steps=8, guidance=FAST)
    with pytest.raises(RuntimeError, match="stopped"):
        graph.edit(broken, graph.source(), steps=8, guidance=FAST)
    assert torch.equal(graph.edit(model, graph.source(), steps=8, guidance=FAST), expected)


def test_a_cell_of_a_grid_is_the_edit_alone(model, graph):
    """Those above image_cfg 2 refresh oftener and have a batch of their own."""
    cells = [Cell(7.5, 1.5, 5), Cell(4.0, 1.8, 5), Cell(5.0, 2.5, 8)]
    inputs = (model, graph.instruction, graph.negative, graph.source(), 10, "euler", "normal", FAST)
    edit = Edit(*inputs)
    assert edit.batches(cells) == [[0, 1], [2]]
    found = {}
    for indices, latents in edit.run(cells, comfy.utils.ProgressBar(1), lambda *_: None):
        found |= dict(zip(indices, latents, strict=True))
    for index, cell in enumerate(cells):
        scales = cell.text_cfg, cell.image_cfg
        alone = graph.edit(model, graph.source(), *scales, seed=cell.seed, steps=10, guidance=FAST)
        assert_close(found[index], alone)


def test_an_instruction_that_ends_is_made_anew_there(model, graph):
    ends = [[cond, {**rest, "end_percent": 0.5}] for cond, rest in graph.instruction]
    patched, seen = calls(model)
    once = Guidance(reuse=Reuse(50, 1))
    graph.edit(patched, graph.source(), steps=8, guidance=once, instruction=ends)
    assert sum(1 in numbers and len(numbers) > 1 for numbers, _ in seen) >= 2
    plain = [len(numbers) for numbers, _ in seen]
    assert plain[0] == 3 and 2 in plain[4:], "the image branch and the other one, once more"
