"""Core's merge nodes on an editor and a 4-channel model: refused where they spoil it, else said."""

import logging

import pytest
import torch
from comfy_extras.nodes_model_merging import ModelAdd, ModelMergeSimple, ModelSubtract
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.samplers.comfy.patches import check_first_layer

from ...checkpoints.factory import ldm_state_dict, tiny_checkpoint, tiny_pipeline
from ...checkpoints.ordinary import ordinary_model


@pytest.fixture(scope="module")
def editor(tmp_path_factory):
    return load_checkpoint(tiny_checkpoint(tmp_path_factory.mktemp("editor"))).model


@pytest.fixture(scope="module")
def ordinary():
    return ordinary_model(ldm_state_dict(tiny_pipeline(5, in_channels=4)))


@pytest.mark.parametrize("ratio", [0.0, 0.7])
def test_a_scaled_first_layer_is_refused(editor, ordinary, ratio):
    (merged,) = ModelMergeSimple().merge(editor, ordinary, ratio)
    with pytest.raises(ValueError, match=f"^model: .*left {ratio:g} times .*IP2PMergeCheckpoint"):
        check_first_layer(merged)


def test_a_first_layer_that_stayed_is_said(editor, ordinary, caplog):
    (difference,) = ModelSubtract().merge(ordinary, ordinary, 1.0)
    (merged,) = ModelAdd().merge(editor, difference)
    with caplog.at_level(logging.WARNING):
        check_first_layer(merged)
    assert "left the first layer as it was" in caplog.text


def test_editors_merge_with_each_other(editor, caplog):
    (merged,) = ModelMergeSimple().merge(editor, editor.clone(), 0.5)
    patched = editor.clone()
    patched.add_patches({"diffusion_model.input_blocks.0.0.weight": (torch.zeros(32, 8, 3, 3),)})
    for model in (editor, merged, patched):
        check_first_layer(model)
    assert not caplog.records
