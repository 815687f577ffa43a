"""The lists of scales, and the judgement of what was tried."""

import pytest
from instruct_pix2pix.samplers.search import parse_scales


@pytest.mark.parametrize(
    "text", ["5, 7.5, 10", "5,7.5,10", " 5 7.5\n10 ", "5; 7.5; 10;", "5.0,, 7.5, 1e1,"]
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
    ],
)
def test_bad_lists_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        parse_scales("text_cfgs", text)
