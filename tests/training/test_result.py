"""A checkpoint that was trained loads as what was trained, at the size that it was trained for."""

import torch
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.training.base import load_base
from instruct_pix2pix.training.network import trainable
from instruct_pix2pix.training.result import write_result

from .conftest import random
from .runs import run

SIDE = 128


def test_an_editor_made_of_a_text_to_image_model_is_its_base_with_a_source(tmp_path):
    """Size, attention heads of the text encoder and predictions; the file is in fp16."""
    base = load_base("ip2p-mini-text-to-image")
    training = run(tmp_path / "run", base, resolution=SIDE, steps=1, learning_rate=1e-12)
    training.train()
    weights = training.weights
    path = write_result(tmp_path / "run", weights, base.model, base.clip, base.vae, SIDE)
    loaded = load_checkpoint(path)
    assert loaded.resolution == SIDE != base.resolution
    told, expected = (
        one.encode_from_tokens(one.tokenize("a house in winter"))
        for one in (loaded.clip, base.clip)
    )
    assert (told - expected).abs().max() < 4e-3 * expected.abs().max()
    found = trainable(loaded.model, torch.device("cpu"))
    inputs = random(1, 8, 16, 16), torch.tensor([500.0])
    with torch.no_grad():
        of_file = found.unet(*inputs, context=expected)
        of_run = weights.net.unet(*inputs, context=expected)
    assert (of_file - of_run).abs().max() < 1e-2 * of_run.abs().max()
