"""The pairs that are kept, and their order, on scores made by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruct_pix2pix.pairs.filter import AUTHORS, ULTRAEDIT, Scores, described, filtered


def authors_own(rows, keep):
    """The rule of the authors' program, written out: filter, sort by direction, cut."""
    kept = [r for r in rows if r[1] >= 0.7 and r[2] >= 0.2 and r[3] >= 0.2 and r[4] >= 0.2]
    kept.sort(key=lambda r: r[0])
    kept.sort(key=lambda r: r[2], reverse=True)
    return [r[0] for r in kept[:keep]]


def test_thresholds_are_inclusive_and_the_best_four_come_by_direction() -> None:
    rows = [
        Scores(1, 0.70, 0.20, 0.20, 0.20),  # exactly at every threshold
        Scores(2, 0.6999, 0.9, 0.9, 0.9),
        Scores(3, 0.9, 0.1999, 0.9, 0.9),
        Scores(4, 0.9, 0.9, 0.1999, 0.9),
        Scores(5, 0.9, 0.9, 0.9, 0.1999),
        Scores(6, 0.8, 0.25, 0.3, 0.3),
        Scores(9, 0.8, 0.30, 0.3, 0.3),
        Scores(7, 0.8, 0.30, 0.3, 0.3),  # a tie: the lower seed first
        Scores(8, 0.8, 0.40, 0.3, 0.3),
    ]
    found = filtered(rows, AUTHORS)
    assert found.seeds == [8, 7, 9, 6]
    assert found.refused == {
        "image": 1,
        "direction": 1,
        "before": 1,
        "after": 1,
        "more than are kept": 1,
    }
    assert described(found, 9, AUTHORS) == (
        "4 of 9 pairs kept; refused: 1 for image below 0.7, 1 for direction below 0.2, "
        "1 for before below 0.2, 1 for after below 0.2, 1 for more than are kept"
    )


value = st.sampled_from([0.0, 0.1999, 0.2, 0.3, 0.3, 0.69, 0.7, 0.9])


@given(st.lists(st.tuples(value, value, value, value), max_size=12), st.integers(1, 5))
def test_the_kept_set_and_its_order_are_the_authors(values, keep) -> None:
    rows = [Scores(seed, *row) for seed, row in enumerate(values)]
    assert filtered(rows, AUTHORS, keep).seeds == authors_own(rows, keep)


def test_no_number_is_never_kept() -> None:
    assert filtered([Scores(1, math.nan, 0.9, 0.9, 0.9)], AUTHORS).seeds == []


def test_ultraedit_asks_for_dino_and_not_for_captions() -> None:
    rows = [
        Scores(1, 0.75, 0.22, 0.0, 0.0, 0.4),
        Scores(2, 0.75, 0.22, 0.9, 0.9, 0.39),
        Scores(3, 0.74, 0.5, 0.9, 0.9, 0.9),
        Scores(4, 0.9, 0.21, 0.9, 0.9, 0.9),
    ]
    found = filtered(rows, ULTRAEDIT)
    assert found.seeds == [1]
    assert found.refused == {"dino": 1, "image": 1, "direction": 1}


def test_what_was_not_measured_is_not_asked_for() -> None:
    rows = [Scores(1, 0.8), Scores(2, 0.9), Scores(3, 0.6)]
    assert filtered(rows, AUTHORS).seeds == [1, 2]
    unscored = filtered([Scores(5), Scores(3)], AUTHORS, 1)
    assert unscored.seeds == [3]
    assert described(unscored, 2, AUTHORS) == "1 of 2 pairs kept; refused: 1 for more than are kept"


@pytest.mark.parametrize("keep", [1, 3])
def test_no_more_than_asked_are_kept(keep) -> None:
    rows = [Scores(seed, 0.9, 0.5, 0.5, 0.5) for seed in range(6)]
    assert filtered(rows, AUTHORS, keep).seeds == list(range(keep))
