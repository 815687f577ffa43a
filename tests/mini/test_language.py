"""The language model of the drawn world: what it learns, in which form, and that it learns it."""

import pytest
import torch
from instruct_pix2pix.mini.captions import told
from instruct_pix2pix.mini.instructions import changes
from instruct_pix2pix.mini.language import (
    batch_of,
    drawn_triples,
    train_language_model,
    train_tokenizer,
)
from instruct_pix2pix.mini.scenes import KINDS, kind_of
from instruct_pix2pix.pairs.captions import SEPARATOR, read_answer
from instruct_pix2pix.pairs.rules import Rules
from transformers import AutoModelForCausalLM, AutoTokenizer


@pytest.mark.parametrize("kinds", [KINDS, ("landscape",)])
def test_a_drawn_triple_is_an_edit_of_two_scenes_that_its_captions_tell(kinds) -> None:
    triples = drawn_triples(7, 30, kinds)
    assert len(triples) == 30 and triples == drawn_triples(7, 30, kinds)
    scenes = [(told(triple.input), told(triple.output)) for triple in triples]
    assert {kind_of(before) for before, _ in scenes} == {*kinds}
    assert all(changes(before, after) for before, after in scenes)


def test_nearly_all_drawn_triples_keep_the_rules_that_a_language_models_are_held_to() -> None:
    """Some instructions are one word, and two words of a caption of three are most of it."""
    rules = Rules()
    refused = {rules.refusal(*triple): triple for triple in drawn_triples(7, 300)}
    assert {*refused} <= {"", "captions too different", "length of the instruction"}, refused
    assert sum(not rules.refusal(*triple) for triple in drawn_triples(7, 100)) >= 95


def test_the_model_learns_the_authors_text_form_from_the_separator_on() -> None:
    triples = drawn_triples(7, 3)
    tokenizer = train_tokenizer(triples)
    ids, labels = batch_of(tokenizer, triples)
    for triple, row, wanted in zip(triples, ids, labels, strict=True):
        text = tokenizer.decode(row, skip_special_tokens=True)
        assert text == f"{triple.input}\n##\n{triple.edit}\n%%\n{triple.output}\nEND"
        learnt = tokenizer.decode(wanted[wanted >= 0])
        assert learnt == f"{triple.edit}\n%%\n{triple.output}\nEND"
        assert torch.equal(row[wanted >= 0], wanted[wanted >= 0])


def test_a_model_that_was_saved_writes_what_it_learnt(tmp_path) -> None:
    triples = drawn_triples(7, 2)
    train_language_model(tmp_path, triples, 60)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    for triple in triples:
        prompt = tokenizer(triple.input + SEPARATOR, return_tensors="pt").input_ids
        with torch.no_grad():
            out = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=100,
                do_sample=False,
                pad_token_id=tokenizer.eos_token_id,
                stop_strings=["\nEND"],
                tokenizer=tokenizer,
            )
        written = read_answer(tokenizer.decode(out[0, prompt.shape[1] :]))
        assert written.edits == [(triple.edit, triple.output)]
