"""The text-to-image model: the editor without a source, in which captions alone are learned."""

import json

import pytest
import torch
from instruct_pix2pix.checkpoints.loading import load_text_to_image, read_text_to_image
from instruct_pix2pix.mini.captions import caption
from instruct_pix2pix.mini.drawing import stream
from instruct_pix2pix.mini.export import export_text_to_image
from instruct_pix2pix.mini.networks import CLIP_CONFIG
from instruct_pix2pix.mini.recipe import Recipe
from instruct_pix2pix.mini.scenes import KINDS, sample_scene
from instruct_pix2pix.mini.text_to_image import (
    LEARNING,
    build_caption_vocabulary,
    build_text_to_image_unet,
    caption_rows,
    caption_vocabulary,
    grow_text_encoder,
    text_to_image_loss,
)
from instruct_pix2pix.mini.train_text import new_text_encoder
from instruct_pix2pix.mini.train_text_to_image import captioned_networks
from instruct_pix2pix.mini.train_unet import build_networks
from instruct_pix2pix.mini.vocabulary import Vocabulary
from instruct_pix2pix.nodes.loading import BUILT_IN_FILE

NOISE_LEVELS = torch.linspace(0.999, 0.005, 1000)


@pytest.fixture(scope="module")
def instructions():
    """A small vocabulary: that of a few instructions."""
    tokenizer = Vocabulary([]).tokenizer
    texts = ["", "make her hair red", "put on a blue dress", "with a beard and glasses"]
    return Vocabulary(sorted({t for text in texts for t in tokenizer(text).input_ids}))


@pytest.fixture(scope="module")
def captions():
    scenes = [sample_scene(seed, kind) for kind in KINDS for seed in range(6)]
    return [caption(scene, stream(scene.seed, "caption")) for scene in scenes]


@pytest.fixture(scope="module")
def vocabulary(instructions, captions):
    return caption_vocabulary(instructions, captions)


def test_the_words_of_instructions_keep_their_rows(instructions, vocabulary, captions):
    assert vocabulary.used[: len(instructions.used)] == instructions.used
    assert len(set(vocabulary.used)) == len(vocabulary.used)
    again = caption_vocabulary(instructions, list(reversed(captions)))
    assert again.used == vocabulary.used
    unknown = len(vocabulary.used)
    assert (vocabulary.rows(captions) < unknown).all()
    assert (instructions.rows(captions) == len(instructions.used)).any()


def test_no_caption_has_a_word_that_the_built_vocabulary_lacks(instructions):
    known = build_caption_vocabulary(instructions)
    for kind in KINDS:
        for seed in range(5000, 5040):
            text = caption(sample_scene(seed, kind), stream(seed, "caption"))
            assert (known.rows([text]) < len(known.used)).all(), text


def test_without_training_it_predicts_what_the_editor_does_without_a_source():
    torch.manual_seed(0)
    editor = build_networks(5)["unet"].eval()
    drawing = build_text_to_image_unet(editor).eval()
    noisy, context = torch.randn(2, 4, 16, 16), torch.randn(2, 77, CLIP_CONFIG["hidden_size"])
    step = torch.tensor([3, 700])
    with torch.no_grad():
        expected = editor(torch.cat([noisy, torch.zeros_like(noisy)], 1), step, context).sample
        found = drawing(noisy, step, context).sample
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_a_step_changes_attention_and_the_new_words_and_nothing_else(
    instructions, vocabulary, captions
):
    """What the editor reads stays as it was, to the bit, so one text encoder could serve both."""
    torch.manual_seed(0)
    text = grow_text_encoder(
        new_text_encoder(len(instructions)), len(instructions.used), vocabulary
    )
    unet = build_text_to_image_unet(build_networks(5)["unet"])
    before = [{k: v.clone() for k, v in part.state_dict().items()} for part in (unet, text)]
    words = text.get_input_embeddings().weight
    learning = [weight for weight in unet.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW([{"params": learning}, {"params": [words], "weight_decay": 0.0}])
    rows = vocabulary.rows(captions[:4])
    for _ in range(2):
        loss = text_to_image_loss(
            unet, text, NOISE_LEVELS, torch.randn(4, 4, 16, 16), torch.tensor([0.0, 1, 1, 1]), rows
        )
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, value in unet.state_dict().items():
        if LEARNING not in name:
            assert torch.equal(value, before[0][name]), name
    assert sum(not torch.equal(v, before[0][k]) for k, v in unet.state_dict().items()) > 100
    known = len(instructions.used)
    for name, value in text.state_dict().items():
        old = before[1][name]
        if name.endswith("token_embedding.weight"):
            assert torch.equal(value[:known], old[:known]) and torch.equal(value[-1], old[-1])
            used = sorted({n for n in rows[1:].flatten().tolist() if n >= known})
            assert used and (value[used] != old[used]).all()
        else:
            assert torch.equal(value, old), name


def test_a_caption_that_is_left_out_is_that_of_an_empty_text(instructions, vocabulary, captions):
    text = grow_text_encoder(
        new_text_encoder(len(instructions)), len(instructions.used), vocabulary
    ).eval()
    unet = build_text_to_image_unet(build_networks(5)["unet"]).eval()
    latents = torch.randn(2, 4, 16, 16)

    def loss(rows, kept):
        torch.manual_seed(3)
        with torch.no_grad():
            return text_to_image_loss(unet, text, NOISE_LEVELS, latents, kept, rows)

    rows, empty = vocabulary.rows(captions[:2]), vocabulary.rows(["", ""])
    dropped = loss(rows, torch.zeros(2))
    assert torch.equal(dropped, loss(empty, torch.ones(2)))
    assert not torch.equal(dropped, loss(rows, torch.ones(2)))


def test_rows_of_captions_are_those_of_the_scene(vocabulary):
    scenes = [sample_scene(seed, "object") for seed in range(3)]
    rows = caption_rows(scenes, vocabulary, 2, stream(0, "rows"))
    assert rows.shape == (3, 2, 77) and rows.dtype == "int16"
    rng = stream(0, "rows")
    texts = [caption(scene, rng) for scene in scenes for _ in range(2)]
    assert (rows.reshape(6, 77) == vocabulary.rows(texts).numpy()).all()


def test_an_exported_file_is_loaded_with_the_editors_parts(tmp_path, instructions, vocabulary):
    """A file of what was learned, on top of the built-in editor, to the bit of half precision."""
    torch.manual_seed(1)
    networks = build_networks(len(instructions))
    average = {name: weight for name, weight in networks.named_parameters()}
    torch.save({"parts": {"average": {"weights": average}}}, tmp_path / "unet.pt")
    (tmp_path / "vocabulary.json").write_text(json.dumps(instructions.used))
    (tmp_path / "captions.json").write_text(json.dumps(vocabulary.used))
    trained = captioned_networks(tmp_path, vocabulary)
    torch.nn.init.normal_(trained["text"].get_input_embeddings().weight)
    average = dict(trained.named_parameters())
    torch.save({"parts": {"average": {"weights": average}}}, tmp_path / "text_to_image.pt")
    path = tmp_path / "drawing.safetensors"
    export_text_to_image(tmp_path, Recipe(), path)
    assert path.stat().st_size < 10e6
    parts = read_text_to_image(path, BUILT_IN_FILE)
    assert parts.unet["input_blocks.0.0.weight"].shape[1] == 4
    table = parts.text[0]["text_model.embeddings.token_embedding.weight"]
    known = len(instructions.used)
    rows = trained["text"].get_input_embeddings().weight[known:-1].half()
    assert torch.equal(table[vocabulary.used[known:]], rows.to(table))
    loaded = load_text_to_image(path, BUILT_IN_FILE)
    own = {
        name: weight
        for name, weight in loaded.model.model.diffusion_model.state_dict().items()
        if name.endswith("transformer_blocks.0.attn1.to_q.weight")
    }
    theirs = [
        weight.half().float()
        for name, weight in trained["unet"].state_dict().items()
        if name.endswith("transformer_blocks.0.attn1.to_q.weight")
    ]
    assert len(own) == len(theirs) == 7
    for weight in own.values():
        assert any(torch.equal(weight.float(), other) for other in theirs)
    assert loaded.model.model.model_config.unet_config["in_channels"] == 4
    assert loaded.clip is not None
