"""CLIP and DINO from weights that the user gives, and how each measure prepares its pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

CLIP_MEAN, CLIP_SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 16


def squashed(pictures: Tensor, side: int) -> Tensor:
    """Pictures [B, H, W, 3] as the authors' metric resizes them: [B, 3, side, side].

    Bicubic, without antialias, without a crop (instruct-pix2pix metrics/clip_similarity.py).
    """
    return F.interpolate(
        pictures.float().movedim(-1, 1), (side, side), mode="bicubic", align_corners=False
    )


def cropped(pictures: Tensor, side: int, resize: int | None = None) -> Tensor:
    """Pictures [B, H, W, 3] in 0..1 as CLIP's and DINO's own transforms take them.

    The shorter side becomes `resize` (bicubic, with antialias; `side` by default), and the middle
    `side` x `side` stay: [B, 3, side, side] in 0..1, in steps of 1/255 as in a file.
    """
    shorter = resize or side
    kept = []
    for picture in (255 * pictures.clamp(0, 1)).round().byte().cpu().numpy():
        height, width = picture.shape[:2]
        scale = shorter / min(height, width)
        # The longer side is cut to whole pixels, as torchvision's Resize does.
        size = (int(width * scale + 1e-9), int(height * scale + 1e-9))
        resized = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
        left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
        kept.append(np.asarray(resized.crop((left, top, left + side, top + side))))
    return torch.from_numpy(np.stack(kept)).movedim(-1, 1).float() / 255


def normalised(pixels: Tensor, mean: Sequence[float], spread: Sequence[float]) -> Tensor:
    shape = (1, 3, 1, 1)
    return (pixels - torch.tensor(mean).view(shape)) / torch.tensor(spread).view(shape)


class Clip:
    """A CLIP with both towers; embeddings are [B, D] and not normalised."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.side: int = model.config.vision_config.image_size

    def embed_images(self, pixels: Tensor) -> Tensor:
        """Embed [B, 3, side, side], as `squashed` or `cropped` gives them."""
        return _in_batches(self._embed, normalised(pixels, CLIP_MEAN, CLIP_SPREAD), self.model)

    def _embed(self, pixels: Tensor) -> Tensor:
        return self.model.visual_projection(self.model.vision_model(pixels).pooler_output)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed captions; what goes beyond 77 tokens is cut, as by the authors."""
        tokens = self.tokenizer(
            list(texts), padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        ).to(self.model.device)
        with torch.no_grad():
            # Without a mask, as OpenAI's code: the attention is causal, so padding is never seen.
            pooled = self.model.text_model(tokens.input_ids).pooler_output
            return self.model.text_projection(pooled).float().cpu()


class Dino:
    """A DINO or DINOv2 of transformers."""

    def __init__(self, model: Any) -> None:
        self.model = model.eval()

    def embed_images(self, pictures: Tensor) -> Tensor:
        """The class tokens [B, D] of pictures [B, H, W, 3] in 0..1.

        Prepared as DINO's own evaluation does: 256 pixels, and the 224 x 224 in the middle.
        """
        pixels = normalised(cropped(pictures, 224, 256), IMAGENET_MEAN, IMAGENET_SPREAD)
        return _in_batches(
            lambda part: self.model(part).last_hidden_state[:, 0], pixels, self.model
        )

    def keys(self, pictures: Tensor) -> Tensor:
        """The keys [B, N, D] of the last layer, for `structure_distance`; at 224 x 224."""
        names = (".key", ".k_proj")  # of older and newer versions of transformers
        last = [module for name, module in self.model.named_modules() if name.endswith(names)][-1]
        found: list[Tensor] = []
        hook = last.register_forward_hook(lambda _module, _input, output: found.append(output))
        pixels = F.interpolate(
            pictures.float().movedim(-1, 1), (224, 224), mode="bilinear", antialias=True
        )
        try:
            pixels = normalised(pixels, IMAGENET_MEAN, IMAGENET_SPREAD)
            _in_batches(lambda part: self.model(part).last_hidden_state, pixels, self.model)
        finally:
            hook.remove()
        return torch.cat(found).float().cpu()


def load_clip(path: Path, tokenizer: Path | None = None) -> Clip:
    """Load transformers' CLIP folder, or an open_clip .safetensors file.

    tokenizer  a folder with CLIP's vocab.json and merges.txt, which such a file does not hold

    Raises ValueError that names the file and says what is wrong with it.
    """
    from transformers import CLIPModel, CLIPTokenizer

    if path.is_file():
        from .open_clip import read_open_clip

        if tokenizer is None:
            raise ValueError(f"{path} holds no vocabulary; name a folder with vocab.json too")
        return Clip(_on_device(read_open_clip(path)), CLIPTokenizer.from_pretrained(tokenizer))
    _check_folder(path, "CLIP", ("clip",))
    # Only safetensors: a .bin file is a pickle, which could run code.
    model = CLIPModel.from_pretrained(path, use_safetensors=True, local_files_only=True)
    return Clip(_on_device(model), CLIPTokenizer.from_pretrained(path, local_files_only=True))


def load_dino(path: Path) -> Dino:
    """Load transformers' folder of a DINO (ViTModel) or a DINOv2.

    Raises ValueError that names the folder and says what is wrong with it.
    """
    from transformers import AutoModel

    _check_folder(path, "DINO", ("vit", "dinov2", "dinov2_with_registers", "dinov3_vit"))
    return Dino(
        _on_device(AutoModel.from_pretrained(path, use_safetensors=True, local_files_only=True))
    )


def _check_folder(path: Path, what: str, kinds: tuple[str, ...]) -> None:
    config = path / "config.json"
    if not config.is_file():
        raise ValueError(
            f"{path} is not {what}: expected a folder as transformers saves it, with a config.json"
        )
    try:
        kind = json.loads(config.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError):
        raise ValueError(f"{config} is not a JSON object; save the model anew") from None
    if kind not in kinds:
        raise ValueError(
            f"{path} holds a model of the kind {kind!r}; {what} is {' or '.join(kinds)}"
        )
    if not list(path.glob("*.safetensors")):
        raise ValueError(
            f"{path} has no .safetensors; pickled weights are not opened. Save the model with "
            "save_pretrained, which writes safetensors."
        )


def _on_device(model: Any) -> Any:
    return model.float().to("cuda" if torch.cuda.is_available() else "cpu")


def _in_batches(embed: Any, pixels: Tensor, model: Any) -> Tensor:
    with torch.no_grad():
        parts = [embed(part.to(model.device)).float().cpu() for part in pixels.split(BATCH)]
    return torch.cat(parts)
