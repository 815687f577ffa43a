"""One tiny InstructPix2Pix model, as ComfyUI has it and as diffusers has it."""

import pytest
import torch
from instruct_pix2pix.checkpoints.loading import load_checkpoint

from ..checkpoints.factory import tiny_checkpoint, tiny_pipeline


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The parts of a checkpoint: model, clip, vae. Not to be changed."""
    return load_checkpoint(tiny_checkpoint(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def reference():
    """diffusers' pipeline of the same weights."""
    return tiny_pipeline()


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
