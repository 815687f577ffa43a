"""One real ComfyUI for all tests of the client, and small graphs of core nodes."""

import asyncio

import numpy as np
import pytest
from instruct_pix2pix.headless.server import PrivateServer
from PIL import Image


@pytest.fixture(scope="session")
def comfyui():
    server = PrivateServer()
    try:
        asyncio.run(server.start())
        yield server
    finally:
        server.stop()


@pytest.fixture
def picture(tmp_path):
    """A photo of 48 x 40 pixels with a different value in each of them."""
    y, x = np.mgrid[:40, :48]
    pixels = np.stack([5 * x, 6 * y, (x * y) % 256], axis=-1).astype(np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path
