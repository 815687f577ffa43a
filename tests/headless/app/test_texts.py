"""The texts of the page: whole in every language, and true to the sentences of the code."""

import ast

import pytest
from instruct_pix2pix.headless.app.page import EXAMPLES, PICTURES, TABS, languages, translated
from instruct_pix2pix.tests.headless.command import ROOT

FOLDERS = ("headless", "edits", "pictures", "nodes")
OTHERS = [language for language in languages() if language != "en"]


def pieces_of_the_code():
    """Every text that the code holds; of one with values in it, what is between them."""
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_has_every_word_and_tile(language):
    texts = languages()[language]
    assert texts["words"].keys() == languages()["en"]["words"].keys()
    tiles = {v for groups in TABS.values() for values in groups.values() for v in values}
    assert texts["tiles"].keys() == tiles and texts["examples"].keys() == EXAMPLES.keys()
    for english, other in texts["sentences"].items():
        assert other.count("{}") in (english.count("{}"), 0), english


@pytest.mark.parametrize("language", OTHERS)
def test_a_translated_sentence_is_one_that_the_code_says(language):
    code = "\0".join(pieces_of_the_code())

    def said(piece):  # one of its values may be a part of the sentence
        piece = piece.strip()
        cuts = range(8, len(piece) - 8)
        return piece in code or any(piece[:at] in code and piece[at:] in code for at in cuts)

    for english in languages()[language]["sentences"]:
        missing = [piece for piece in english.split("{}") if not said(piece)]
        assert not missing, f"{english!r}: the code nowhere says {missing}"


def test_values_stay_where_they_are_and_unknown_sentences_as_they_are():
    told = translated("steps: got 0; give 1 to 10000.", "zh")
    assert [number in told for number in ("steps", "0", "1", "10000")] == [True] * 4
    assert not told.isascii() and translated("anything else", "zh") == "anything else"
    assert translated("give 1 to 2", "en") == "give 1 to 2"


def test_every_example_has_its_picture():
    assert all((PICTURES / f"ip2p-{name}.png").is_file() for name in EXAMPLES)
