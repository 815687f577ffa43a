"""The contact sheet holds every picture whole, in its place, beside readable labels."""

import numpy as np
import pytest
from instruct_pix2pix.pictures.sheet import BLANK, PAPER, Sheet, fitted, sheet_of
from PIL import Image, ImageFont

COLUMNS, ROWS = ["text_cfg 5", "text_cfg 7.5"], ["image_cfg 1", "image_cfg 1.5", "image_cfg 2"]


@pytest.mark.parametrize("size", [(512, 512), (128, 192), (8, 8), (1024, 64)])
def test_pictures_are_whole_and_in_their_place(size):
    sheet = Sheet(COLUMNS, ROWS, size)
    sheet.paste(Image.new("RGB", size, (255, 0, 0)), 1, 2)
    sheet.paste(Image.new("RGB", size, (0, 0, 255)), 0, 0)
    pixels = np.array(sheet.image)
    red = np.argwhere((pixels == (255, 0, 0)).all(-1))
    blue = np.argwhere((pixels == (0, 0, 255)).all(-1))
    blank = (pixels == BLANK).all(-1)
    assert len(red) == len(blue) == size[0] * size[1]
    assert blank.sum() >= 4 * size[0] * size[1]
    assert (red.min(0) > blue.max(0)).all()
    assert (red.max(0) == np.array(pixels.shape[:2]) - 1 - sheet.gap).all()


def test_both_axes_are_labelled():
    sheet = Sheet(COLUMNS, ROWS, (128, 128))
    pixels = np.array(sheet.image)
    for column in range(2):
        x = sheet.place(column, 0)[0]
        assert (pixels[: sheet.top, x : x + 128] != PAPER).any()
    for row in range(3):
        y = sheet.place(0, row)[1]
        label = pixels[y : y + 128, : sheet.left]
        assert (label != PAPER).any()
        assert (label[0] == PAPER).all() and (label[-1] == PAPER).all(), "the label is cut off"


def test_captions_stand_under_their_pictures_and_are_shortened_to_their_width():
    captions = ["", "make her hair blue", "", "make it snow " * 30]
    red, blue = (Image.new("RGB", (200, 150), color) for color in ("red", "blue"))
    made = sheet_of([red, blue, red, blue], (200, 150), ("before", "after"), ("", ""), captions)
    sheet = Sheet(("before", "after"), ("", ""), (200, 150), captions)
    assert sheet.left == 0 and made.size == sheet.image.size
    pixels = np.array(made)
    for number, words in enumerate(captions):
        x, y = sheet.place(number % 2, number // 2)
        assert (
            pixels[y : y + 150, x : x + 200] == ((0, 0, 255) if number % 2 else (255, 0, 0))
        ).all()
        under = pixels[y + 150 : y + 150 + sheet.foot, x : x + 200]
        assert (under != PAPER).any() == bool(words)
    line = fitted(captions[3], ImageFont.load_default(12), 200)
    assert line.endswith("...") and ImageFont.load_default(12).getlength(line) <= 200


def test_a_picture_of_another_shape_is_shown_whole():
    sheet = Sheet([""], [""], (100, 100))
    sheet.paste(Image.new("RGB", (400, 200), (255, 0, 0)), 0, 0)
    pixels = np.array(sheet.image)
    red = np.argwhere((pixels == (255, 0, 0)).all(-1))
    assert red.min(0).tolist() == [25, 0] and red.max(0).tolist() == [74, 99]
