"""A tiny CLIP of random weights with the real vocabulary, as transformers saves it."""

from pathlib import Path

import comfy.sd1_clip
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

VOCABULARY = Path(comfy.sd1_clip.__file__).with_name("sd1_tokenizer")


def tiny_clip(folder: Path, seed: int = 0) -> Path:
    """Write a CLIP of 16 dimensions and pictures of 32 x 32 pixels; return its folder."""
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIPModel(
            CLIPConfig(
                projection_dim=16,
                vision_config={
                    "hidden_size": 64,
                    "intermediate_size": 32,
                    "image_size": 32,
                    "patch_size": 8,
                    **sizes,
                },
                text_config={
                    "hidden_size": 32,
                    "intermediate_size": 32,
                    "vocab_size": 49408,
                    "bos_token_id": 49406,
                    "eos_token_id": 49407,
                    **sizes,
                },
            )
        ).eval()
        with torch.no_grad():
            # transformers' own start is so small that all embeddings are nearly equal.
            for name, weight in model.named_parameters():
                if weight.ndim > 1 and "layer" in name:
                    weight.mul_(20)
    model.save_pretrained(folder)
    CLIPTokenizer.from_pretrained(VOCABULARY, model_max_length=77).save_pretrained(folder)
    return folder
