"""A + m (B - C) equals AUTOMATIC1111's formula on every tensor, and stays a live patch."""

import pytest
import torch
from comfy.sd import load_lora_for_models
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.checkpoints.merging import (
    merge_clips,
    merge_models,
    patched_weight,
    weight_of,
)
from instruct_pix2pix.nodes.merging import IP2PMergeCheckpoint
from instruct_pix2pix.samplers.comfy.patches import check_first_layer

from .editors import FAMILIES
from .factory import TEXT, UNET, ldm_state_dict, tiny_checkpoint, tiny_pipeline
from .ordinary import ordinary_model

FIRST = "input_blocks.0.0.weight"


@pytest.fixture(scope="module")
def weights():
    """Editor, custom and base as in their files."""
    return [ldm_state_dict(tiny_pipeline(n, in_channels=4 if n else 8)) for n in range(3)]


@pytest.fixture(scope="module")
def editor(tmp_path_factory):
    return load_checkpoint(tiny_checkpoint(tmp_path_factory.mktemp("editor")))


@pytest.fixture(scope="module")
def ordinary(weights):
    return [ordinary_model(each) for each in weights[1:]]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Those of custom and base: their text encoders, whose UNet an editor's file carries."""
    made = []
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp("clip")
        made.append(load_checkpoint(tiny_checkpoint(folder, seed=seed)).clip)
    return made


def expected(weights, name, multiplier):
    """A1111's: theta_0 + (theta_1 - theta_2) * multiplier, of the first layer 4 channels alone."""
    a, b, c = (each[name] for each in weights)
    if a.shape == b.shape:
        return a + (b - c) * multiplier
    merged = a.clone()
    merged[:, :4] = a[:, :4] + (b - c) * multiplier
    return merged


@pytest.mark.parametrize("multiplier", [1.0, 0.4, -0.5])
def test_every_tensor_is_a1111s(editor, ordinary, weights, multiplier):
    merged = merge_models(editor.model, *ordinary, multiplier)
    names = [name for name in weights[0] if name.startswith(UNET)]
    parts = merged.get_key_patches()
    for name in names:
        key = "diffusion_model." + name.removeprefix(UNET)
        got = patched_weight(key, parts[key])
        # fp32 in another order of sums.
        torch.testing.assert_close(got, expected(weights, name, multiplier), atol=1e-6, rtol=0)
    assert len(merged.patches) == len(names)
    check_first_layer(merged)


def test_the_sources_channels_stay_the_editors(editor, ordinary, weights):
    merged = weight_of(merge_models(editor.model, *ordinary, 1.0), f"diffusion_model.{FIRST}")
    first = weights[0][UNET + FIRST]
    assert torch.equal(merged[:, 4:], first[:, 4:])
    assert not torch.equal(merged[:, :4], first[:, :4])


def test_the_text_encoder_is_merged_too(editor, clips):
    merged = merge_clips(editor.clip, *clips, 0.7)
    weights = [ldm_state_dict(tiny_pipeline(seed)) for seed in range(3)]
    parts = merged.patcher.get_key_patches()
    for name in weights[0]:
        if name.startswith(TEXT) and not name.endswith("position_ids"):
            key = "clip_l.transformer." + name.removeprefix(TEXT)
            got = patched_weight(key, parts[key])
            torch.testing.assert_close(got, expected(weights, name, 0.7), atol=1e-6, rtol=0)


def test_nothing_is_changed_in_place(editor, ordinary, clips):
    before = {k: v.clone() for k, v in editor.model.model.state_dict().items()}
    model, clip = IP2PMergeCheckpoint.execute(
        editor.model, *ordinary, 1.0, editor.clip, *clips
    ).args
    assert model is not editor.model and clip is not editor.clip
    assert not editor.model.patches and not editor.clip.patcher.patches
    assert all(torch.equal(v, before[k]) for k, v in editor.model.model.state_dict().items())


@pytest.mark.parametrize("kind", ["sd21", "sdxl", "cosxl"])
def test_other_families_are_merged_by_the_same_formula(tmp_path, kind):
    """CosXL Edit is merged with ordinary SDXL models: what they differ by has no noise levels."""
    made = FAMILIES[kind]
    editor = load_checkpoint(made.write(tmp_path))
    weights = [made.named(made.pipeline(0))]
    weights += [made.named(made.pipeline(seed, in_channels=4)) for seed in (1, 2)]
    core = "SD20" if kind == "sd21" else "SDXL"
    ordinary = [ordinary_model(each, core) for each in weights[1:]]
    merged = merge_models(editor.model, *ordinary, 0.6)
    names = [name for name in weights[0] if name.startswith(UNET)]
    parts = merged.get_key_patches()
    for name in names:
        key = "diffusion_model." + name.removeprefix(UNET)
        got = patched_weight(key, parts[key])
        torch.testing.assert_close(got, expected(weights, name, 0.6), atol=1e-6, rtol=0)
    assert len(merged.patches) == len(names)
    assert merged.model.model_type is editor.model.model.model_type


def test_a_model_of_another_family_is_refused_by_a_sentence(tmp_path, editor, ordinary):
    sdxl = FAMILIES["sdxl"]
    other = ordinary_model(sdxl.named(sdxl.pipeline(1, in_channels=4)), "SDXL")
    with pytest.raises(ValueError, match="^custom: this model is of another family than the edi"):
        merge_models(editor.model, other, ordinary[1], 1.0)
    edits = load_checkpoint(sdxl.write(tmp_path))
    with pytest.raises(ValueError, match="^custom: this model is of another family than the edi"):
        merge_models(edits.model, *ordinary, 1.0)


def test_a_lora_goes_on_top_and_below(editor, ordinary, weights):
    """On the merged model, and on the custom model before it is merged."""
    key = "middle_block.1.transformer_blocks.0.attn1.to_q"
    up, down = torch.randn(64, 4), torch.randn(4, 64)
    lora = {
        f"lora_unet_{key.replace('.', '_')}.lora_up.weight": up,
        f"lora_unet_{key.replace('.', '_')}.lora_down.weight": down,
    }
    name = f"diffusion_model.{key}.weight"
    wanted = expected(weights, f"{UNET}{key}.weight", 0.5)
    merged = merge_models(editor.model, *ordinary, 0.5)
    above, _ = load_lora_for_models(merged, None, lora, 0.3, 0.0)
    torch.testing.assert_close(weight_of(above, name), wanted + 0.3 * up @ down)
    custom, _ = load_lora_for_models(ordinary[0], None, lora, 0.3, 0.0)
    below = merge_models(editor.model, custom, ordinary[1], 0.5)
    torch.testing.assert_close(weight_of(below, name), wanted + 0.5 * 0.3 * up @ down)


def test_wrong_order_is_refused(editor, ordinary):
    custom, base = ordinary
    with pytest.raises(ValueError, match="^editor: this model takes 4 input channels"):
        merge_models(custom, editor.model, base, 1.0)
    with pytest.raises(ValueError, match="^custom: this model takes 8 input channels"):
        merge_models(editor.model, editor.model, base, 1.0)
    with pytest.raises(ValueError, match="^base: this model takes 8 input channels"):
        merge_models(editor.model, custom, editor.model, 1.0)


def test_another_family_is_refused(editor, ordinary):
    layout = {
        "num_res_blocks": [1, 1, 1],
        "channel_mult": [1, 2, 2],
        "transformer_depth": [1, 0, 0],
        "transformer_depth_output": [1, 1, 0, 0, 0, 0],
        "transformer_depth_middle": 1,
    }
    other = ordinary_model(ldm_state_dict(tiny_pipeline(3, layout, in_channels=4), layout))
    with pytest.raises(ValueError, match="^base: this model is of another family than the editor"):
        merge_models(editor.model, ordinary[0], other, 1.0)


@pytest.mark.parametrize("given", [(0,), (1, 2), (0, 2)])
def test_some_text_encoders_alone_are_refused(editor, ordinary, clips, given):
    names = ("editor_clip", "custom_clip", "base_clip")
    some = {names[n]: (editor.clip, *clips)[n] for n in given}
    with pytest.raises(ValueError, match="_clip: nothing arrived. Connect all three"):
        IP2PMergeCheckpoint.execute(editor.model, *ordinary, 1.0, **some)


def test_without_text_encoders_the_model_alone_is_merged(editor, ordinary):
    model, clip = IP2PMergeCheckpoint.execute(editor.model, *ordinary, 1.0).args
    assert clip is None and model.patches


def test_what_is_computed_is_what_the_patched_model_has(editor, ordinary):
    merged = merge_models(editor.model, *ordinary, 0.4)
    merged.patch_model()
    patched = {k: v.clone() for k, v in merged.model.diffusion_model.state_dict().items()}
    merged.unpatch_model()
    parts = merged.get_key_patches("diffusion_model.")
    assert len(parts) == len(patched)
    for key, each in parts.items():
        tensor = patched[key.removeprefix("diffusion_model.")].float()
        torch.testing.assert_close(tensor, patched_weight(key, each), atol=1e-6, rtol=0)
