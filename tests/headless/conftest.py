"""One real ComfyUI for all tests of the client, with a tiny checkpoint of random weights."""

import asyncio
import json

import numpy as np
import pytest
import safetensors.torch
from instruct_pix2pix.headless import client
from instruct_pix2pix.headless.server import PrivateServer
from instruct_pix2pix.tests.checkpoints.factory import (
    ldm_state_dict,
    tiny_checkpoint,
    tiny_pipeline,
)
from PIL import Image

from .command import started
from .stand_in import StandIn, serve


@pytest.fixture(scope="session")
def comfyui(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    tiny_checkpoint(models, "mini.safetensors")  # as tiny.safetensors
    other = ldm_state_dict(tiny_pipeline(in_channels=4))
    safetensors.torch.save_file(other, models / "text-to-image.safetensors")
    (models / "broken.safetensors").write_bytes(b"not a checkpoint")
    paths = models / "paths.json"
    paths.write_text(json.dumps({"tests": {"checkpoints": str(models)}}))
    server = PrivateServer(
        arguments=["--extra-model-paths-config", str(paths), "--preview-method", "latent2rgb"],
        log=models / "comfyui.log",
    )
    try:
        asyncio.run(server.start())
        yield server
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def no_leftovers():
    """End what a failed test has left running."""
    yield
    while started:
        process = started.pop()
        process.kill()
        process.communicate()


@pytest.fixture
def picture(tmp_path):
    """A photo of 48 x 40 pixels with a different value in each of them."""
    y, x = np.mgrid[:40, :48]
    pixels = np.stack([5 * x, 6 * y, (x * y) % 256], axis=-1).astype(np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def hostile(monkeypatch):
    """call(use, **options): run `use(client)` against a stand-in whose answers are at `.state`."""
    monkeypatch.setattr(client, "POLL", 0.01)
    call, end = serve(StandIn())
    yield call
    end()
