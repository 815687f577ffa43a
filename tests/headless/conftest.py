"""A picture, a server that answers wrongly, and an end to what a test has left running."""

import numpy as np
import pytest
from instruct_pix2pix.headless import jobs
from PIL import Image

from .command import started
from .stand_in import StandIn, serve


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
    monkeypatch.setattr(jobs, "POLL", 0.01)
    call, end = serve(StandIn())
    yield call
    end()
