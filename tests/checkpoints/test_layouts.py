"""Every layout is brought to the authors' names, and one of two sets of weights is chosen whole."""

import json

import pytest
import safetensors.torch
import torch
from instruct_pix2pix.checkpoints.families import SD15
from instruct_pix2pix.checkpoints.files import CheckpointError
from instruct_pix2pix.checkpoints.layouts import (
    choose_unet,
    read_checkpoint,
    unet_from_diffusers,
)

from .factory import (
    EMA,
    SD15_LAYOUT,
    UNET,
    UNET_CONFIG,
    ema_of,
    ldm_state_dict,
    tiny_pipeline,
)


@pytest.fixture
def both():
    weights = ldm_state_dict(tiny_pipeline())
    return weights | ema_of(weights)


def test_ema_names_are_the_authors(both):
    assert "model_ema.diffusion_modelinput_blocks00weight" in both
    assert "model_ema.decay" in both


@pytest.mark.parametrize(("weights", "prefix"), [("auto", EMA), ("ema", EMA), ("raw", UNET)])
def test_the_set_is_chosen_whole(both, weights, prefix):
    chosen = choose_unet(both, weights, "file", SD15)
    assert {UNET + k for k in chosen} == {k for k in both if k.startswith(UNET)}
    for name, tensor in chosen.items():
        ema_name = "model_ema.diffusion_model" + name.replace(".", "")
        assert tensor is both[ema_name if prefix == EMA else UNET + name]


@pytest.mark.parametrize("weights", ["auto", "ema"])
def test_half_an_ema_is_refused(both, weights):
    both.pop("model_ema.diffusion_modelout2weight")
    with pytest.raises(CheckpointError, match=r"^file: .*\(1 are missing.*choose weights = raw"):
        choose_unet(both, weights, "file", SD15)
    assert choose_unet(both, "raw", "file", SD15)


def test_ema_of_another_network_is_refused(both):
    both["model_ema.diffusion_modelextra"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match="1 belong to nothing"):
        choose_unet(both, "auto", "file", SD15)


def test_counters_alone_are_no_ema(both):
    left = {k: v for k, v in both.items() if not k.startswith("model_ema.diffusion_model")}
    assert UNET + "out.2.weight" not in choose_unet(left, "auto", "file", SD15)
    with pytest.raises(CheckpointError, match="no EMA weights"):
        choose_unet(left, "ema", "file", SD15)


def test_names_come_back_where_only_ema_is_left():
    weights = ldm_state_dict(tiny_pipeline(layout=SD15_LAYOUT), SD15_LAYOUT)
    names = {k.removeprefix(UNET) for k in weights if k.startswith(UNET)}
    assert len(names) == 686
    assert choose_unet(ema_of(weights), "auto", "file", SD15).keys() == names


def test_ema_alone_of_unknown_layout_is_refused():
    ema = {"model_ema.diffusion_modelsomewhere_else": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="1 belong to nothing"):
        choose_unet(ema, "auto", "file", SD15)


@pytest.mark.parametrize("layout", [UNET_CONFIG, SD15_LAYOUT])
def test_diffusers_names_become_the_authors(layout):
    pipeline = tiny_pipeline(layout=layout)
    expected = {
        k.removeprefix(UNET): v
        for k, v in ldm_state_dict(pipeline, layout).items()
        if k.startswith(UNET)
    }
    got = unet_from_diffusers(pipeline.unet.state_dict())
    assert got.keys() == expected.keys()
    assert all(torch.equal(got[k], expected[k]) for k in got)


@pytest.mark.parametrize("naming", ["ldm", "diffusers"])
def test_a_bare_unet_file_is_read(tmp_path, naming):
    pipeline = tiny_pipeline()
    tensors = pipeline.unet.state_dict()
    expected = unet_from_diffusers(tensors)
    path = tmp_path / "unet.safetensors"
    safetensors.torch.save_file(expected if naming == "ldm" else tensors, path)
    parts = read_checkpoint(path, "auto")
    assert all(torch.equal(parts.unet[k], v) for k, v in expected.items())
    assert parts.vae == {} and not any(parts.text)


@pytest.mark.parametrize(
    ("architecture", "sentence"),
    [
        ("{", "not valid JSON"),
        ("[]", "a JSON object was expected"),
        (json.dumps({"resolution": "512"}), "resolution is given as '512'"),
        (json.dumps({"resolution": 100}), "multiple of 8"),
        (json.dumps({"resolution": 1 << 40}), "multiple of 8"),
        (json.dumps({"clip_config": 3}), "clip_config that is not an object"),
    ],
)
def test_nonsense_in_the_metadata_is_refused(tmp_path, architecture, sentence):
    path = tmp_path / "odd.safetensors"
    weights = ldm_state_dict(tiny_pipeline())
    safetensors.torch.save_file(weights, path, metadata={"ip2p.architecture": architecture})
    with pytest.raises(CheckpointError, match=f"^odd.safetensors: .*{sentence}"):
        read_checkpoint(path, "auto")


@pytest.mark.parametrize("sample_size", [None, [64, 64]])
def test_a_folder_that_names_no_size_is_sd15(tmp_path, sample_size):
    tiny_pipeline().unet.save_pretrained(tmp_path / "p" / "unet")
    config = tmp_path / "p" / "unet" / "config.json"
    config.write_text(json.dumps({"sample_size": sample_size}))
    assert read_checkpoint(tmp_path / "p", "auto").resolution == 512
