"""The questions put to somebody who has not seen the model have one right answer each."""

import numpy as np
from instruct_pix2pix.mini.instructions import EDITED
from instruct_pix2pix.mini.scenes import render
from instruct_pix2pix.mini.stranger import LETTERS, ON_A_SHEET, card, pages, questions


def test_each_question_has_the_sentence_that_was_asked_among_others_of_the_same_picture() -> None:
    asked = questions(len(EDITED) + 6)
    assert {question.edit.family for question in asked} == set(EDITED)
    assert len({question.right for question in asked}) == len(LETTERS)
    for question in asked:
        assert question.sentences[question.right] == question.edit.instruction
        assert len(set(question.sentences)) == len(LETTERS)
    assert asked == questions(len(asked))


def test_the_sheets_show_before_after_and_the_sentences_but_not_the_answer() -> None:
    asked = questions(ON_A_SHEET + 1)
    sources = np.stack([render(question.edit.source, 64) for question in asked])
    truths = np.stack([render(question.edit.target, 64) for question in asked])
    first, second = pages(asked, sources, truths)
    assert first.height > 8 * second.height and first.width == second.width
    assert all(np.asarray(page).std() > 20 for page in (first, second))


def test_a_long_sentence_is_written_in_several_lines() -> None:
    def lowest(sentence: str) -> int:
        ink = np.asarray(card(("a", "b", "c", sentence)))[..., 0] < 128
        return int(np.flatnonzero(ink.any(1)).max())

    assert lowest("put her in front of the mountains and " * 3) > lowest("make it snow") + 40
