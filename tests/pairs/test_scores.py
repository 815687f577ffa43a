"""Scores of pairs by ComfyUI's encoders, against transformers' CLIP of the same weights."""

import json

import comfy.clip_vision
import pytest
import torch
from comfy.image_encoders.dino2 import Dinov2Model
from instruct_pix2pix.checkpoints.loading import load_checkpoint
from instruct_pix2pix.metrics.similarity import clip_scores, cosine
from instruct_pix2pix.pairs.scores import embed_captions, own_scoring_clip, score_pairs

from ..checkpoints.factory import TEXT_WIDTH, tiny_checkpoint, tiny_pipeline

CAPTIONS = ("a lake", "a lake in snow")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return load_checkpoint(tiny_checkpoint(tmp_path_factory.mktemp("tiny"))).clip


@pytest.fixture(scope="module")
def projection():
    return torch.randn(TEXT_WIDTH, TEXT_WIDTH, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def projected(clip, projection):
    """The same text encoder with a text projection, as CLIP's own file has one."""
    layer = clip.cond_stage_model.clip_l.transformer.text_projection
    with torch.no_grad():
        layer.weight.copy_(projection)
    return clip


def vision(folder, width=TEXT_WIDTH, **changes):
    """A tiny random vision encoder of ComfyUI."""
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, image_size=28)
    sizes |= dict(num_attention_heads=2, num_channels=3, patch_size=14, projection_dim=width)
    sizes |= {
        "model_type": "clip_vision_model",
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
        "use_swiglu_ffn": False,
    }
    (folder / "vision.json").write_text(json.dumps(sizes | changes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = comfy.clip_vision.ClipVisionModel(folder / "vision.json")
        with torch.no_grad():
            for weight in model.model.parameters():
                weight.copy_(torch.randn(weight.shape) * 0.2)
    return model


def pictures(seed):
    return torch.rand(3, 40, 40, 3, generator=torch.Generator().manual_seed(seed))


def test_a_checkpoint_without_text_projection_is_refused(projected) -> None:
    layer = projected.cond_stage_model.clip_l.transformer.text_projection
    for left_over in (0.0, float("nan"), 1e30):
        with torch.no_grad():
            layer.weight.fill_(left_over)
        with pytest.raises(ValueError, match="scoring_clip: this CLIP has no text projection"):
            embed_captions(projected, CAPTIONS)
    assert own_scoring_clip(projected) is None


def test_captions_are_embedded_as_by_transformers(projected, projection) -> None:
    pipeline = tiny_pipeline()
    tokens = pipeline.tokenizer(
        list(CAPTIONS), padding="max_length", max_length=77, return_tensors="pt"
    )
    with torch.no_grad():
        pooled = pipeline.text_encoder(tokens.input_ids).pooler_output
    expected = torch.nn.functional.normalize(pooled @ projection.T)
    found = torch.nn.functional.normalize(torch.cat(embed_captions(projected, CAPTIONS)))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_all_four_scores_with_both_parts_of_one_clip(projected, tmp_path) -> None:
    model, texts = vision(tmp_path), embed_captions(projected, CAPTIONS)
    before, after = pictures(0), pictures(1)
    found = score_pairs(before, after, [5, 6, 7], model, texts)
    first, second = (model.encode_image(p)["image_embeds"].float() for p in (before, after))
    expected = clip_scores(first, second, *(text.expand(3, -1) for text in texts))
    assert [pair.seed for pair in found] == [5, 6, 7]
    for name in ("image", "direction", "before", "after"):
        values = [getattr(pair, name) for pair in found]
        assert values == pytest.approx(getattr(expected, name).tolist(), abs=1e-6)
    assert all(pair.dino is None for pair in found)


def test_without_captions_or_with_those_of_another_clip_pictures_alone_are_scored(
    projected, tmp_path
) -> None:
    texts = embed_captions(projected, CAPTIONS)
    for model, words in ((vision(tmp_path), None), (vision(tmp_path, 48), texts)):
        found = score_pairs(pictures(0), pictures(1), [1, 2, 3], model, words)
        embedded = [model.encode_image(pictures(n))["image_embeds"].float() for n in range(2)]
        values = [pair.image for pair in found]
        assert values == pytest.approx(cosine(*embedded).tolist(), abs=1e-6)
        assert all(pair.direction is None for pair in found)


def test_a_dino_gives_its_own_score(tmp_path) -> None:
    model = vision(tmp_path, model_type="dinov2", image_size=518)
    assert isinstance(model.model, Dinov2Model)
    found = score_pairs(pictures(0), pictures(1), [1, 2, 3], model, None)
    assert all(-1 <= pair.dino <= 1 and pair.image is None for pair in found)
    same = score_pairs(pictures(0), pictures(0), [1, 2, 3], model, None)
    assert [pair.dino for pair in same] == pytest.approx([1, 1, 1])


def test_without_an_encoder_nothing_is_scored() -> None:
    (pair,) = score_pairs(pictures(0)[:1], pictures(1)[:1], [9], None, None)
    assert pair.seed == 9 and pair[1:] == (None,) * 5
