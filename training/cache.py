"""Pairs as latents and instructions as encoded text: made once and kept on the disk, or anew.

Of the picture before the posterior's mode is kept, of the one after its mean and its spread, so
that each step can draw from the posterior as the paper does without the VAE. The pictures are
fitted to the training size as IP2PEncodeSource fits them, their aspect kept.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import comfy.model_management
import numpy as np
import safetensors
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from ..pairs.pair import Pair, open_picture
from ..pictures.frame import fit_training_size, to_working, training_size
from ..samplers.comfy.text import tokenize
from .settings import RunError
from .state import write_tensors

# Pairs in one file.
SHARD = 256
# Half precision: a spacing of 1/128 at most for latents up to 16, below what an 8-bit pixel tells.
STORED = torch.float16
PARTS = ("source", "mean", "spread")
# More instructions than that would take gigabytes, and encoding them again is cheap.
MANY_TEXTS = 4096

Progress = Callable[[int], object]


@dataclass(frozen=True)
class Encoded:
    """Latents [B, 4, h, w], not scaled: mode of the source, mean and spread of the target."""

    source: Tensor
    mean: Tensor
    spread: Tensor


class Latents(Protocol):
    """The pairs of a run as latents."""

    shapes: list[tuple[int, int]]
    """Height and width of each pair's latent."""

    def batch(self, indices: Sequence[int], flipped: Sequence[bool]) -> Encoded:
        """Pairs of one shape."""


class Encoder:
    """One pair -> its latents, by the VAE, at the training size of `resolution` pixels."""

    def __init__(self, vae: Any, resolution: int) -> None:
        vae.throw_exception_if_invalid()
        stage = vae.first_stage_model
        if not hasattr(stage, "quant_conv") or not hasattr(stage, "encoder"):
            raise RunError(
                f"vae: {type(stage).__name__} does not tell the spread of its latents. Use the VAE "
                "of a Stable Diffusion checkpoint."
            )
        self.vae, self.resolution = vae, resolution
        self.digest = digest(stage)

    def pixels(self, pair: Pair, flipped: bool) -> Tensor:
        """Before and after at the training size, [2, h, w, 3] in 0..1."""
        source, target = open_picture(pair.source), open_picture(pair.target)
        if target.size != source.size:
            target = target.resize(source.size, Image.Resampling.LANCZOS)
        if flipped:
            source, target = ImageOps.mirror(source), ImageOps.mirror(target)
        pictures = np.stack([np.asarray(source), np.asarray(target)])
        original = torch.from_numpy(pictures).float() / 255
        return to_working(original, fit_training_size(original, self.resolution))

    @torch.no_grad()
    def moments(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the posterior, [n, 4, h / 8, w / 8] in fp32 on the CPU."""
        vae = self.vae
        comfy.model_management.load_models_gpu([vae.patcher])
        seen = vae.process_input(pixels.movedim(-1, 1)).to(vae.vae_dtype).to(vae.device)
        stage = vae.first_stage_model
        mean, log_variance = stage.quant_conv(stage.encoder(seen)).float().cpu().chunk(2, 1)
        return mean, (0.5 * log_variance.clamp(-30, 20)).exp()

    def __call__(self, pair: Pair, flipped: bool) -> Encoded:
        mean, spread = self.moments(self.pixels(pair, flipped))
        return Encoded(mean[:1], mean[1:], spread[1:])


class LiveLatents:
    """Every batch encoded when it is needed: nothing on the disk, and the VAE at every step."""

    def __init__(self, pairs: Sequence[Pair], encoder: Encoder) -> None:
        self.pairs, self.encoder = pairs, encoder
        self.shapes = []
        for pair in pairs:
            width, height = training_size(*open_picture(pair.source).size, encoder.resolution)
            self.shapes.append((height // 8, width // 8))

    def batch(self, indices: Sequence[int], flipped: Sequence[bool]) -> Encoded:
        both = [
            self.encoder.pixels(self.pairs[index], flip)
            for index, flip in zip(indices, flipped, strict=True)
        ]
        mean, spread = self.encoder.moments(torch.stack(both, 1).flatten(0, 1))
        count = len(both)
        return Encoded(mean[:count], mean[count:], spread[count:])


class CachedLatents:
    """Latents in .safetensors files of SHARD pairs, read by mapping; files that fit are kept.

    flip  keep the mirrored pairs, too: their latents are not the mirrored latents
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        encoder: Encoder,
        folder: Path,
        flip: bool = False,
        progress: Progress = lambda done: None,
    ) -> None:
        self.flip = flip
        starts = range(0, len(pairs), SHARD)
        paths = [folder / f"latents-{number:05d}.safetensors" for number in range(len(starts))]
        keys = [_key(encoder, flip, pairs[start : start + SHARD]) for start in starts]
        missing = [n for n, path in enumerate(paths) if _key_of(path) != keys[n]]
        self._check_space(folder, len(missing) * SHARD, len(pairs), encoder.resolution)
        for number in missing:
            start = starts[number]
            tensors = {}
            for offset, pair in enumerate(pairs[start : start + SHARD]):
                for flipped in (False, True) if flip else (False,):
                    encoded = encoder(pair, flipped)
                    for part in PARTS:
                        name = _name(start + offset, flipped, part)
                        tensors[name] = getattr(encoded, part)[0].to(STORED)
                progress(start + offset + 1)
            write_tensors(paths[number], tensors, {"key": keys[number]})
        self.files = [safetensors.safe_open(path, framework="pt") for path in paths]
        self.shapes = []
        for index in range(len(pairs)):
            shape = self._file(index).get_slice(_name(index, False, "source")).get_shape()
            self.shapes.append((shape[1], shape[2]))

    def _check_space(self, folder: Path, missing: int, count: int, resolution: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        bytes_of_pair = len(PARTS) * 4 * (resolution // 8) ** 2 * 2 * (2 if self.flip else 1)
        needed, free = min(missing, count) * bytes_of_pair, shutil.disk_usage(folder).free
        if needed > free:
            raise RunError(
                f"{folder}: the cache needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are "
                "free. Free space, name another place, or train without cache."
            )

    def _file(self, index: int) -> Any:
        return self.files[index // SHARD]

    def batch(self, indices: Sequence[int], flipped: Sequence[bool]) -> Encoded:
        def part(name: str) -> Tensor:
            return torch.stack(
                [
                    self._file(index).get_tensor(_name(index, flip, name)).float()
                    for index, flip in zip(indices, flipped, strict=True)
                ]
            )

        return Encoded(*map(part, PARTS))


class Texts:
    """text -> the text encoder's output [1, n, d] and SDXL's pooled one [1, m], else None.

    Each is encoded alone, so that its numbers do not depend on the others.
    """

    def __init__(self, clip: Any) -> None:
        if clip is None:
            raise RunError(
                "clip: nothing arrived; the checkpoint holds no text encoder. Load one and connect "
                "it, or start from a checkpoint that has one."
            )
        self.clip = clip
        self.known: dict[str, tuple[Tensor, Tensor | None]] = {}

    @torch.no_grad()
    def __getitem__(self, text: str) -> tuple[Tensor, Tensor | None]:
        if text in self.known:
            return self.known[text]
        tokens = tokenize(self.clip, text, "plain")
        encoded, pooled = self.clip.encode_from_tokens(tokens, return_pooled=True)
        found = encoded.float().cpu(), None if pooled is None else pooled.float().cpu()
        if len(self.known) < MANY_TEXTS:
            self.known[text] = found
        return found

    def keep(self, texts: Sequence[str], path: Path) -> None:
        """Encode all of `texts` that there is room for, or take them from the file at `path`."""
        wanted = list(dict.fromkeys(texts))[:MANY_TEXTS]
        key = hashlib.sha256("\n".join([digest(self.clip.cond_stage_model), *wanted]).encode())
        if _key_of(path) != key.hexdigest():
            stored = {}
            for number, text in enumerate(wanted):
                encoded, pooled = self[text]
                stored[f"{number}.text"] = encoded
                if pooled is not None:
                    stored[f"{number}.pooled"] = pooled
            write_tensors(path, stored, {"key": key.hexdigest()})
        with safetensors.safe_open(path, framework="pt") as file:
            names = set(file.keys())
            for number, text in enumerate(wanted):
                name = f"{number}.pooled"
                self.known[text] = (
                    file.get_tensor(f"{number}.text"),
                    file.get_tensor(name) if name in names else None,
                )

    def count_tokens(self, text: str) -> int:
        """Tokens of a text without start, end and padding."""
        chunks = next(iter(self.clip.tokenize(text).values()))
        end = self.clip.tokenize("")
        padding = next(iter(end.values()))[0][1][0]
        return sum(token[0] != padding for chunk in chunks for token in chunk[1:])


def digest(module: nn.Module) -> str:
    """A digest of a module's weights."""
    found = hashlib.blake2b(digest_size=16)
    for name, tensor in module.state_dict().items():
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()


def _name(index: int, flipped: bool, part: str) -> str:
    return f"{index}.{'flip.' if flipped else ''}{part}"


def _key(encoder: Encoder, flip: bool, pairs: Sequence[Pair]) -> str:
    """What a file of latents was made from."""
    made_from = [encoder.digest, str(encoder.resolution), str(flip)]
    made_from += [picture.stamp for pair in pairs for picture in (pair.source, pair.target)]
    return hashlib.sha256("\n".join(made_from).encode()).hexdigest()


def _key_of(path: Path) -> str | None:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("key")
    except (OSError, safetensors.SafetensorError):
        return None
