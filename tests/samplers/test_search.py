"""The lists of scales, and the judgement of what was tried."""

import pytest
import torch
from instruct_pix2pix.samplers.search import (
    belief,
    closer_scales,
    follows_and_keeps,
    parse_scales,
    report_table,
    spread_scales,
)

USUAL = (7.5, 1.5)


@pytest.mark.parametrize(
    "text", ["5, 7.5, 10", "5,7.5,10", " 5 7.5\n10 ", "5; 7.5; 10;", "5.0,, 7.5, 1e1,", "5,7.5 10"]
)
def test_lists_are_read_as_people_write_them(text):
    assert parse_scales("text_cfgs", text) == [5, 7.5, 10]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "text_cfgs: the list is empty. Write numbers such as"),
        (" ,; ", "text_cfgs: the list is empty"),
        ("5, high", "text_cfgs: 'high' is not a number"),
        ("5 to 10", "text_cfgs: 'to' is not a number"),
        ("5, -1", "text_cfgs: -1 is out of range. A scale is a number from 0 to 100"),
        ("101", "text_cfgs: 101 is out of range"),
        ("nan", "text_cfgs: nan is out of range"),
        ("inf", "text_cfgs: inf is out of range"),
        ("1,5; 2,0", "text_cfgs: '1,5' may be one number or two. Write decimals with a point"),
        ("7,5 10", "text_cfgs: '7,5' may be one number or two"),
    ],
)
def test_bad_lists_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        parse_scales("text_cfgs", text)


def test_the_first_look_begins_with_the_usual_pair_and_spreads_over_both_ranges():
    pairs = spread_scales(USUAL, 16)
    assert pairs[0] == USUAL and len(set(pairs)) == 16
    assert all(2 <= text <= 12 and 1 <= image <= 2.2 for text, image in pairs)
    for axis, edges in ((0, [2, 3.13, 4.9, 7.67, 12]), (1, [1, 1.22, 1.48, 1.81, 2.2])):
        for low, high in zip(edges, edges[1:], strict=False):
            within = sum(low <= pair[axis] <= high for pair in pairs)
            assert 3 <= within <= 6, f"a quarter of axis {axis} has {within} of 16"


@pytest.mark.parametrize("best", [(7.5, 1.5), (2.0, 1.0), (12.0, 2.2), (1.0, 1.0)])
def test_the_second_look_surrounds_the_best(best):
    pairs = closer_scales(best, 8)
    assert len(pairs) == 8 and len(set(pairs)) >= 7
    for axis, ratio in ((0, 6**0.2), (1, 2.2**0.2)):
        low, high = best[axis] / ratio, best[axis] * ratio
        assert all(min(max(1, low), high) - 0.06 <= p[axis] <= high + 0.06 for p in pairs)
    assert all(text >= 1 and image >= 1 for text, image in pairs)


def test_no_pairs_are_no_pairs():
    assert spread_scales(USUAL, 1) == [USUAL] and closer_scales(USUAL, 0) == []


# Mean squared errors of three results (columns) by the three branches (rows) at one noise level:
# the unedited picture, a good edit, a burnt edit.
ERRORS = torch.tensor([[[0.032, 0.025, 0.050], [0.020, 0.030, 0.061], [0.040, 0.041, 0.070]]])


def test_keep_goes_from_the_instruction_to_the_picture():
    assert belief(ERRORS, 0.5).argmax() == 1
    assert belief(ERRORS, 1.0).argmax() == 0
    follows, keeps = follows_and_keeps(ERRORS)
    assert follows.argmax() == 2 and keeps.argmax() == 0
    assert belief(ERRORS, 0.0).argmax() == 1, "a burnt result follows best and is unlikely"


def test_belief_at_one_half_is_the_likelihood_of_the_result():
    torch.testing.assert_close(belief(ERRORS, 0.5), -ERRORS[0, 0])


def test_belief_is_the_mean_over_noise_levels():
    twice = torch.cat([ERRORS, 3 * ERRORS])
    torch.testing.assert_close(belief(twice, 0.3), 2 * belief(ERRORS, 0.3))


def test_a_table_has_straight_columns_and_a_star_at_the_best():
    table = report_table(("a", "score"), [("10", "-1.5"), ("5", "-12.25")], {1})
    assert table == ["    a   score", "   10    -1.5", "*   5  -12.25"]
