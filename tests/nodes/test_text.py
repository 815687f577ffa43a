"""The instruction's tokens and conditioning, against diffusers' reading and core's."""

import pytest
import torch
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.nodes.text import IP2PEncodeInstruction
from instruct_pix2pix.samplers.comfy.text import tokenize

import nodes as core_nodes

from ..checkpoints.factory import tiny_checkpoint, tiny_pipeline

TEXTS = [
    "",
    "make it snow",
    "Make (her) hair [blue], (very:1.4) blue",
    "a cat's \n hat, embedding: none <|x|> \u00e9t\u00e9",
    "word " * 75,
    "unbelievably incomprehensible " * 40,
    "antidisestablishmentarianism" * 30,
]


@pytest.fixture(scope="module")
def pipeline():
    return tiny_pipeline()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return load_checkpoint(tiny_checkpoint(tmp_path_factory.mktemp("clip"))).clip


@pytest.mark.parametrize("text", TEXTS)
def test_plain_tokens_are_those_of_diffusers(clip, pipeline, text):
    theirs = pipeline.tokenizer(text, padding="max_length", max_length=77, truncation=True)
    (ours,) = tokenize(clip, text, "plain")["l"]
    assert [token for token, weight in ours] == theirs["input_ids"]
    assert {weight for token, weight in ours} == {1.0}


@torch.no_grad()
@pytest.mark.parametrize("text", TEXTS)
def test_plain_conditioning_is_that_of_diffusers(clip, pipeline, text):
    tokens = pipeline.tokenizer(
        text, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    )
    theirs = pipeline.text_encoder(tokens.input_ids)[0]
    ours = IP2PEncodeInstruction.execute(clip, text, "", "plain")[0][0][0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("text", TEXTS)
def test_weighted_conditioning_is_that_of_core(clip, text):
    theirs = core_nodes.CLIPTextEncode().encode(clip, text)[0]
    ours = IP2PEncodeInstruction.execute(clip, "", text, "weighted")[1]
    assert torch.equal(ours[0][0], theirs[0][0])


def test_missing_text_encoder_is_explained():
    with pytest.raises(ValueError, match="clip: nothing arrived.*CLIPLoader"):
        IP2PEncodeInstruction.execute(None, "make it snow", "", "plain")


def test_unknown_syntax_is_named(clip):
    with pytest.raises(ValueError, match="syntax: got 'html'; choose one of plain, weighted"):
        IP2PEncodeInstruction.execute(clip, "make it snow", "", "html")
