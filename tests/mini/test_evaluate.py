"""The measure itself, and the bar that the committed weights must clear."""

from pathlib import Path

import numpy as np
import pytest
from instruct_pix2pix.mini.evaluate import (
    BUILT_IN,
    Editing,
    candidates,
    held_out_edits,
    load_editing,
    markdown,
    nearest,
    psnr,
    run_edits,
    score,
)
from instruct_pix2pix.mini.scenes import render


@pytest.mark.parametrize(
    ("family", "count"),
    [
        ("hair color", 7),
        ("clothes", 42),
        ("weather", 6),
        ("season", 4),
        ("material", 6),
        ("background", 6),
        ("art medium", 7),
    ],
)
def test_the_right_answer_is_nearest_to_itself_among_all(family: str, count: int) -> None:
    for edit in held_out_edits(family, 4):
        assert len(set(candidates(edit))) == count
        assert nearest(edit, render(edit.target, 64)) == edit.target
        assert nearest(edit, render(edit.source, 64)) == edit.source


def test_psnr_counts_the_masked_pixels_only() -> None:
    a, b = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    b[0] = 255
    assert psnr(a, b, np.ones((4, 4), bool)) == pytest.approx(10 * np.log10(4))
    assert psnr(a, b, (b == 0).all(-1)) > 90


def test_doing_nothing_scores_nothing_and_preserves_all() -> None:
    idle = Editing(lambda pictures, words, seed: pictures, lambda pictures: pictures, 64)
    scores = []
    for family in ("hair color", "none"):
        edits = held_out_edits(family, 5)
        scores.append(score(family, edits, run_edits(idle, edits)))
    assert scores[0].accuracy == 0 == scores[0].unedited_accuracy
    assert min(s.preserved for s in scores) > 90
    assert "| hair color | 5 | 0.0% | 0.0% |" in markdown(scores, "A heading.")


@pytest.fixture(scope="module")
def editing() -> Editing:
    return load_editing(BUILT_IN)


@pytest.mark.parametrize("family", ["hair color", "clothes", "weather"])
def test_the_committed_weights_do_what_they_are_asked(editing: Editing, family: str) -> None:
    edits = held_out_edits(family, 8)
    measured = score(family, edits, run_edits(editing, edits))
    assert measured.accuracy is not None and measured.accuracy >= 0.75


def test_the_committed_file_is_small(tmp_path: Path) -> None:
    assert BUILT_IN.stat().st_size <= 30e6
