"""The measures behind the curve of the two scales."""

from pathlib import Path

import numpy as np
import pytest
from instruct_pix2pix.mini.evaluate import Editing, held_out_edits
from instruct_pix2pix.mini.scenes import render
from instruct_pix2pix.mini.tradeoff import Point, direction, markdown, measure, plot


def test_direction_is_one_for_any_share_of_what_was_asked_and_minus_one_for_its_opposite() -> None:
    source = np.full((4, 4, 3), 100, np.uint8)
    target = source.copy()
    target[:2] = 200
    half = source.copy()
    half[:2] = 150
    away = source.copy()
    away[:2] = 50
    beside = source.copy()
    beside[2:] = 200
    assert direction(source, half, target) == pytest.approx(1)
    assert direction(source, away, target) == pytest.approx(-1)
    assert direction(source, beside, target) == direction(source, source, target) == 0


def test_the_ends_of_the_curve_are_doing_nothing_and_doing_what_was_asked() -> None:
    edits = held_out_edits("weather", 3)
    targets = np.stack([render(edit.target, 64) for edit in edits])
    idle = Editing(lambda pictures, words, seed: pictures, lambda pictures: pictures, 64)
    perfect = Editing(lambda pictures, words, seed: targets, lambda pictures: pictures, 64)
    nothing, everything = (measure(editing, edits, 7.5, 1.5) for editing in (idle, perfect))
    assert nothing.direction == 0 and everything.direction == pytest.approx(1)
    assert nothing.similarity > 90 > everything.similarity


def test_the_curve_is_drawn_and_told(tmp_path: Path) -> None:
    points = [Point(7.5, 1.0, 0.8, 15.0), Point(7.5, 2.0, 0.6, 20.0)]
    plot({"image_cfg": points}, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert "| 7.5 | 2 | 0.600 | 20.00 |" in markdown(points, 1, 20, "these weights")
