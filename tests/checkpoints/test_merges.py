"""A merge of A1111's keeps the EMA weights of the editor before, which are never taken for it."""

import logging

import pytest
import safetensors.torch
import torch
from instruct_pix2pix.checkpoints.layouts import read_checkpoint

from .factory import EMA, UNET, ldm_state_dict, tiny_pipeline


def averaged(weights, spread=0.005):
    """EMA weights as near to the raw ones as averaging leaves them, in the authors' names."""
    generator = torch.Generator().manual_seed(1)
    return {
        EMA + name.removeprefix("model.").replace(".", ""): weight
        + spread * weight.std().nan_to_num() * torch.randn(weight.shape, generator=generator)
        for name, weight in weights.items()
        if name.startswith(UNET)
    }


@pytest.fixture(scope="module")
def editor():
    weights = ldm_state_dict(tiny_pipeline(0))
    return weights | averaged(weights)


@pytest.fixture(scope="module")
def merge(editor):
    """A + (B - C) as A1111's merger computes it, which goes through B's keys and keeps the rest."""
    custom, base = (ldm_state_dict(tiny_pipeline(seed, in_channels=4)) for seed in (1, 2))
    merged = dict(editor)
    for name, weight in custom.items():
        change = 0.3 * (weight - base[name])
        if name == UNET + "input_blocks.0.0.weight":
            merged[name] = editor[name].clone()
            merged[name][:, :4] += change
        elif name.startswith(UNET):
            merged[name] = editor[name] + change
    return merged


def written(folder, tensors, name="file.ckpt", metadata=None):
    path = folder / name
    if path.suffix == ".ckpt":
        torch.save({"state_dict": tensors}, path)
    else:
        safetensors.torch.save_file(tensors, path, metadata=metadata)
    return path


def taken(path, weights="auto"):
    return read_checkpoint(path, weights).unet["out.2.weight"]


RAW = UNET + "out.2.weight"
AVERAGED = "model_ema.diffusion_modelout2weight"


def test_the_authors_file_gives_its_average(tmp_path, editor, caplog):
    with caplog.at_level(logging.INFO):
        assert torch.equal(taken(written(tmp_path, editor)), editor[AVERAGED])
    assert caplog.messages == ["file.ckpt: took the EMA weights."]


@pytest.mark.parametrize(
    ("name", "metadata", "reason"),
    [
        ("file.safetensors", {"sd_merge_recipe": "{}"}, "its metadata says that it is a merge"),
        ("file.safetensors", {"sd_merge_models": "{}"}, "its metadata says that it is a merge"),
        ("style.instruct-pix2pix.safetensors", None, "its name is that of a merge"),
        ("style.instruct-pix2pix.ckpt", None, "its name is that of a merge"),
    ],
)
def test_a_file_that_says_it_is_a_merge_gives_its_raw_weights(
    tmp_path, editor, name, metadata, reason, caplog
):
    with caplog.at_level(logging.INFO):
        path = written(tmp_path, editor, name, metadata)
        assert torch.equal(taken(path), editor[RAW])
    assert caplog.messages == [
        f"{name}: took the raw weights: {reason}, so its EMA weights are left over."
    ]


def test_a_merge_that_says_nothing_tells_by_its_weights(tmp_path, merge, caplog):
    path = written(tmp_path, merge)
    with caplog.at_level(logging.INFO):
        assert torch.equal(taken(path), merge[RAW])
    assert "further apart than averaging explains" in caplog.messages[0]
    assert torch.equal(taken(path, "ema"), merge[AVERAGED])
    assert torch.equal(taken(path, "raw"), merge[RAW])


@pytest.mark.parametrize("spread", [0.0, 0.001, 0.02, 0.3])
def test_no_average_is_taken_for_a_merge(tmp_path, spread):
    weights = ldm_state_dict(tiny_pipeline(3))
    path = written(tmp_path, weights | averaged(weights, spread))
    assert torch.equal(taken(path), averaged(weights, spread)[AVERAGED])


def test_what_was_taken_is_said_of_every_kind_of_file(tiny, caplog):
    said = {
        "raw.safetensors": "tiny.safetensors: took its one set of weights.",
        "raw+ema.ckpt": "tiny.ckpt: took the EMA weights.",
        "ema.safetensors": "tiny.safetensors: took the EMA weights.",
        "unet.safetensors": "tiny.safetensors: took its one set of weights.",
        "diffusers": "tiny: took its one set of weights.",
    }
    for format, sentence in said.items():
        caplog.clear()
        with caplog.at_level(logging.INFO):
            read_checkpoint(tiny(format), "auto")
        assert caplog.messages == [sentence]
