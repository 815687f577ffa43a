"""Errors are told in sentences, without where they come from in somebody's files."""

import pickle

import pytest
from instruct_pix2pix.headless.errors import ExecutionFailed

OURS = "comfy/custom_nodes/instruct-pix2pix.checkpoints.files.CheckpointError"


@pytest.mark.parametrize(
    ("kind", "message", "told"),
    [
        (OURS, "x.ckpt is damaged.", "Model: x.ckpt is damaged."),
        ("ValueError", "steps: give 1.", "Model: steps: give 1."),
        ("RuntimeError", "bad shapes", "Model failed with RuntimeError: bad shapes"),
        ("torch.OutOfMemoryError", "", "Model failed with OutOfMemoryError: "),
        (OURS, "", "Model failed with CheckpointError: "),
    ],
)
def test_a_nodes_own_sentence_stands_alone(kind, message, told):
    error = ExecutionFailed("Model", kind, message)
    assert str(error) == told
    assert str(pickle.loads(pickle.dumps(error))) == told
