"""The rules for triples, each on an example and all on anything that hypothesis finds."""

import math
import string
from collections import Counter
from pathlib import Path

import comfy.sd1_clip
import pytest
from hypothesis import given
from hypothesis import strategies as st
from instruct_pix2pix.pairs.clip_tokens import ClipTokens
from instruct_pix2pix.pairs.rules import Rules, changed_share, edit_distance, normal
from instruct_pix2pix.pairs.triples import examples
from transformers import CLIPTokenizer

FOLDER = Path(comfy.sd1_clip.__file__).with_name("sd1_tokenizer")
CYRILLIC = "\u043f\u0440\u0438\u0432\u0435\u0442"
CAPTION = "a photo of a lake in the mountains"


TOKENS = ClipTokens(FOLDER / "merges.txt")
CLIP = CLIPTokenizer.from_pretrained(FOLDER)
PRINTED = string.ascii_letters + string.digits + string.punctuation


@pytest.mark.parametrize(
    ("instruction", "edited", "reason"),
    [
        ("make it snow", f"{CAPTION} in snow", ""),
        (" ", CAPTION, "empty"),
        ("make it snow", "", "empty"),
        ("make it\nsnow", f"{CAPTION} in snow", "line break"),
        ("make it snow", f"{CAPTION}\nin snow", "line break"),
        ("snow", f"{CAPTION} in snow", "length of the instruction"),
        ("snow " * 26, f"{CAPTION} in snow", "length of the instruction"),
        (f"{CAPTION} in snow", f"{CAPTION} in snow", "begins with the caption"),
        ("make it snow", f"  {CAPTION.upper()}! ", "nothing changed"),
        ("make it snow", "two cats play chess on a red sofa", "captions too different"),
        (
            "lass es schneien \u043f\u0440\u0438\u0432\u0435\u0442",
            f"{CAPTION} x",
            "not in English letters",
        ),
        ("make it Bloody", f"{CAPTION} x", "banned word"),
        ("make it snow", f"{CAPTION} " + "1 2 " * 20, "captions too different"),
        ("Make it rain!", f"{CAPTION} in rain", "twice for one caption"),
        ("make it gold", f"{CAPTION} of gold", "too frequent"),
    ],
)
def test_each_rule_by_an_example(instruction, edited, reason) -> None:
    rules = Rules(TOKENS.count, frozenset({"bloody"}), Counter({"make it gold": 5}))
    assert rules.refusal(CAPTION, instruction, edited, ["make it rain"]) == reason


def test_texts_beyond_what_clip_reads_are_refused() -> None:
    long = " ".join(f"word{number}" for number in range(60))
    assert Rules(TOKENS.count).refusal(long, "make it snow", f"{long} snow") == "too long for CLIP"
    assert Rules().refusal(long, "make it snow", f"{long} snow") == ""


def test_one_instruction_is_at_most_half_a_percent_of_many() -> None:
    rules = Rules(instructions=Counter({"make it snow": 19, "other": 3981}))
    assert rules.refusal(CAPTION, "make it snow", f"{CAPTION} in snow") == ""
    rules.keep("Make it snow.")
    assert rules.refusal(CAPTION, "make it snow", f"{CAPTION} in snow") == "too frequent"


words = st.text(string.ascii_letters + string.digits + " .,!?'-_%\n\u00e9\u4e2d", max_size=60)


@given(words, words, words, st.lists(words, max_size=2))
def test_what_is_kept_breaks_no_rule(caption, instruction, edited, siblings) -> None:
    rules = Rules(TOKENS.count)
    if rules.refusal(caption, instruction, edited, siblings):
        return
    assert instruction.strip() and edited.strip()
    assert "\n" not in instruction.strip() and "\n" not in edited.strip()
    assert 2 <= len(instruction.split()) <= 25
    assert normal(edited) != normal(caption)
    assert not normal(instruction).startswith(normal(caption))
    assert 0 < changed_share(caption, edited) <= 0.6
    assert normal(instruction) not in map(normal, siblings)


@given(st.lists(st.sampled_from("abc"), max_size=7), st.lists(st.sampled_from("abc"), max_size=7))
def test_the_edit_distance_is_a_distance(a, b) -> None:
    found = edit_distance(a, b)
    assert found == edit_distance(b, a)
    assert (found == 0) == (a == b)
    assert abs(len(a) - len(b)) <= found <= max(len(a), len(b))
    assert edit_distance([*a, "x"], [*b, "x"]) == found


@given(
    st.text(
        string.ascii_letters + string.digits + string.punctuation + " \u00e9\u00fc", max_size=80
    )
)
def test_tokens_are_counted_as_by_transformers(text) -> None:
    assert TOKENS.count(text) == len(CLIP(text).input_ids)


def test_our_own_examples_follow_the_rules() -> None:
    rules = Rules(TOKENS.count)
    triples = examples()
    assert len(triples) >= 100 and len({t.input for t in triples}) == len(triples)
    for triple in triples:
        assert rules.refusal(*triple) == "", triple
        rules.keep(triple.edit)
    assert math.isclose(sum(rules.instructions.values()), len(triples))
