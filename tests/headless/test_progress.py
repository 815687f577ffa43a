"""What the terminal shows."""

import io

import numpy as np
import pytest
from instruct_pix2pix.headless.progress import HALF, SIDE, View, blocks
from PIL import Image


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_each_character_shows_the_two_pixels_it_stands_for():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 3))
    text = blocks(png(pixels))
    assert text.plain == f"{HALF * 3}\n" * 3
    styles = [span.style for span in text.spans]
    shown = [[tuple(c.triplet) for c in (style.color, style.bgcolor)] for style in styles]
    pairs = zip(pixels[::2].reshape(-1, 3), pixels[1::2].reshape(-1, 3), strict=True)
    assert shown == [[tuple(upper), tuple(lower)] for upper, lower in pairs]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 200), (200, 1), (33, 200), (301, 200)])
def test_a_picture_of_any_shape_fits(height, width):
    lines = blocks(png(np.zeros((height, width, 3)))).plain.splitlines()
    assert len(lines) <= SIDE // 2 and all(len(line) <= SIDE for line in lines)


def test_what_is_no_picture_is_not_shown():
    assert blocks(b"") is None and blocks(b"nonsense") is None
    assert blocks(png(np.zeros((8, 8, 3)))[:-30]) is None


def test_a_batch_shows_its_rate_and_the_time_left():
    view = View(quiet=True)
    line = view.line("100 rows")
    tell = view.counter(line)
    tell({"pending": 89, "done": 11}, 1.0)  # ten were done before
    tell({"pending": 50, "done": 45, "failed": 5}, 8.0)
    assert view.progress.tasks[0].fields["doing"] == (
        "50/100, 5.00 a second, 0:00:10 left, 5 failed"
    )
