"""CLIP and DINO from folders and files on disk, against the same weights called by hand."""

import json

import numpy as np
import pytest
import torch
from instruct_pix2pix.metrics.encoders import cropped, load_clip, load_dino, squashed
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPImageProcessor, ViTConfig, ViTModel

from .factory import VOCABULARY, tiny_clip

TEXTS = ["a photo of a hill", "a photo of a hill in snow", "x" * 400]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_clip(tmp_path_factory.mktemp("clip"))


def pictures(height: int = 40, width: int = 56) -> torch.Tensor:
    numbers = np.random.default_rng(0).integers(0, 256, (3, height, width, 3))
    return torch.from_numpy(numbers).float() / 255


def test_embeddings_are_those_of_the_model_called_by_hand(folder) -> None:
    from transformers import CLIPModel, CLIPTokenizer

    clip = load_clip(folder)
    model, tokenizer = CLIPModel.from_pretrained(folder), CLIPTokenizer.from_pretrained(folder)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    spread = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    pixels = squashed(pictures(), clip.side)
    tokens = tokenizer(TEXTS, padding=True, truncation=True, max_length=77, return_tensors="pt")
    with torch.no_grad():
        found = model(pixel_values=(pixels - mean) / spread, **tokens)
    torch.testing.assert_close(
        torch.nn.functional.normalize(clip.embed_images(pixels)),
        found.image_embeds,
        atol=1e-6,
        rtol=0,
    )
    torch.testing.assert_close(
        torch.nn.functional.normalize(clip.embed_texts(TEXTS)),
        found.text_embeds,
        atol=1e-6,
        rtol=0,
    )


def test_the_crop_is_that_of_clips_own_processor() -> None:
    processor = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, do_normalize=False
    )
    values = pictures(48, 67)
    files = [Image.fromarray((255 * p).round().byte().numpy()) for p in values]
    expected = processor(images=files, return_tensors="pt")["pixel_values"]
    # Its newer versions resize by torch, a grey level off Pillow here and there.
    assert (cropped(values, 32) - expected).abs().max() <= 1.5 / 255


def test_squashing_takes_the_whole_picture() -> None:
    wide = torch.zeros(1, 10, 40, 3)
    wide[:, :, 20:] = 1
    small = squashed(wide, 8)
    assert small.shape == (1, 3, 8, 8)
    assert small[..., :3].abs().max() < 0.2 and (small[..., 5:] - 1).abs().max() < 0.2


def test_open_clips_file_gives_the_same_embeddings(folder, tmp_path) -> None:
    clip = load_clip(folder)
    path = save_open_clip(clip.model, tmp_path)
    other = load_clip(path, VOCABULARY)
    pixels = squashed(pictures(), clip.side)
    torch.testing.assert_close(clip.embed_images(pixels), other.embed_images(pixels))
    torch.testing.assert_close(clip.embed_texts(TEXTS), other.embed_texts(TEXTS))


def test_open_clips_attention_is_torchs_own(folder, tmp_path) -> None:
    """One layer of the file, run by torch's MultiheadAttention as open_clip runs it."""
    clip = load_clip(folder)
    path = save_open_clip(clip.model, tmp_path)
    from safetensors.torch import load_file

    weights = load_file(path)
    prefix = "visual.transformer.resblocks.0.attn."
    attention = torch.nn.MultiheadAttention(64, 1, batch_first=True)
    attention.load_state_dict({name: weights[prefix + name] for name in attention.state_dict()})
    x = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(1))
    layer = load_clip(path, VOCABULARY).model.vision_model.encoder.layers[0].self_attn
    with torch.no_grad():
        expected = attention(x, x, x, need_weights=False)[0]
        torch.testing.assert_close(layer(x, attention_mask=None)[0], expected, atol=1e-6, rtol=0)


def save_open_clip(model, folder):
    """Write the weights of a CLIPModel as open_clip names and shapes them."""
    state = model.state_dict()
    weights = {
        "visual.class_embedding": state["vision_model.embeddings.class_embedding"],
        "visual.positional_embedding": state["vision_model.embeddings.position_embedding.weight"],
        "visual.conv1.weight": state["vision_model.embeddings.patch_embedding.weight"],
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": state["text_model.embeddings.position_embedding.weight"],
        "visual.proj": state["visual_projection.weight"].T,
        "text_projection": state["text_projection.weight"].T,
        "logit_scale": state["logit_scale"],
    }
    norms = {
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "ln_final": "text_model.final_layer_norm",
    }
    norms["visual.ln_post"] = "vision_model.post_layernorm"
    towers = {"visual.transformer": "vision_model.encoder", "transformer": "text_model.encoder"}
    for ours, theirs in towers.items():
        for layer in range(2):
            new, old = f"{ours}.resblocks.{layer}.", f"{theirs}.layers.{layer}."
            for kind in ("weight", "bias"):
                weights[f"{new}attn.in_proj_{kind}"] = torch.cat(
                    [state[f"{old}self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
                )
            norms |= {
                f"{new}ln_1": f"{old}layer_norm1",
                f"{new}ln_2": f"{old}layer_norm2",
                f"{new}attn.out_proj": f"{old}self_attn.out_proj",
                f"{new}mlp.c_fc": f"{old}mlp.fc1",
                f"{new}mlp.c_proj": f"{old}mlp.fc2",
            }
    for new, old in norms.items():
        weights |= {f"{new}.{kind}": state[f"{old}.{kind}"] for kind in ("weight", "bias")}
    path = folder / "open_clip_model.safetensors"
    save_file({name: weight.clone().contiguous() for name, weight in weights.items()}, path)
    settings = {"embed_dim": 16, "quick_gelu": True, "vision_cfg": {}, "text_cfg": {"heads": 1}}
    path.with_name("open_clip_config.json").write_text(json.dumps({"model_cfg": settings}))
    return path


def test_dino_gives_the_class_token_of_its_own_preparation(tmp_path) -> None:
    torch.manual_seed(0)
    model = ViTModel(
        ViTConfig(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            patch_size=32,
        )
    ).eval()
    model.save_pretrained(tmp_path / "dino")
    files = [Image.fromarray((255 * p).round().byte().numpy()) for p in pictures(64, 64)]
    prepared = []
    for file in files:
        middle = file.resize((256, 256), Image.Resampling.BICUBIC).crop((16, 16, 240, 240))
        pixels = torch.from_numpy(np.array(middle)).permute(2, 0, 1).float() / 255
        mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        prepared.append((pixels - mean) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))
    with torch.no_grad():
        expected = model(torch.stack(prepared)).last_hidden_state[:, 0]
    found = load_dino(tmp_path / "dino").embed_images(pictures(64, 64))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_what_is_no_clip_is_named(folder, tmp_path) -> None:
    with pytest.raises(ValueError, match="expected a folder as transformers saves it"):
        load_clip(tmp_path)
    with pytest.raises(ValueError, match="holds a model of the kind 'clip'; DINO"):
        load_dino(folder)
    (tmp_path / "config.json").write_text('{"model_type": "clip"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(ValueError, match="pickled weights are not opened"):
        load_clip(tmp_path)
    broken = tmp_path / "some.safetensors"
    broken.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="open_clip_config.json"):
        load_clip(broken, VOCABULARY)
    broken.with_name("open_clip_config.json").write_text('{"model_cfg": {}}')
    with pytest.raises(ValueError, match="not an open_clip ViT"):
        load_clip(broken, VOCABULARY)
