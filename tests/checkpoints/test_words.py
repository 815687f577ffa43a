"""Words that the built-in model never met are named, and nothing else is said or changed."""

import logging

import pytest
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.nodes.loading import BUILT_IN_FILE


@pytest.fixture(scope="module")
def clip():
    return load_checkpoint(BUILT_IN_FILE).clip


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("make her hair blue", []),
        ("Change the weather from sunny to rainy.", []),
        ("turn it into an oil painting", []),
        ("", []),
        ("don't change anything, it's nothing", []),
        ("put embedding:zebra on her", []),
        ("give her a zebra and a zebra hat", ["zebra"]),
        ("让它下雪", ["让它下雪"]),
        ("add a (volcano:1.3), please", ["volcano"]),
    ],
)
def test_the_words_that_training_never_met_are_named_once(clip, caplog, text, unknown):
    with caplog.at_level(logging.WARNING):
        clip.tokenize(text)
    said = [r.getMessage() for r in caplog.records if "does not know" in r.getMessage()]
    names = [line.split(": ", 1)[1].split(". ", 1)[0].split(", ") for line in said]
    assert [word for words in names for word in words if word in unknown] == unknown
    assert bool(said) == bool(unknown)


def test_the_tokens_are_those_of_any_clip(clip):
    """The warning listens only: SD 1.x's own tokenizer gives the same numbers and weights."""
    from comfy.sd1_clip import SD1Tokenizer

    for text in ("make her hair blue", "a (red:1.2) dress, 让它"):
        assert clip.tokenize(text) == SD1Tokenizer().tokenize_with_weights(text)
