"""The batch of a step: pairs, instructions and all that is drawn, as tensors on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..pairs.pair import Pair
from .cache import Latents, Texts
from .network import Trainable
from .settings import Settings
from .step import Batch
from .stream import Draw, Order, draw


class Batches:
    """Batches by step number.

    lessons  instructions that the frozen model is asked, where it teaches
    parts    how many parts one update is made of, over all processes
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        latents: Latents,
        texts: Texts,
        net: Trainable,
        settings: Settings,
        lessons: Sequence[str],
        parts: int,
    ) -> None:
        self.pairs, self.latents, self.texts = pairs, latents, texts
        self.net, self.settings, self.lessons = net, settings, lessons
        shapes = latents.shapes[: len(pairs)]
        self.order = Order(settings.seed, shapes, settings.batch_size * parts)

    def at(self, step: int, part: int) -> Batch:
        """The batch of one part of an update."""
        size, device = self.settings.batch_size, self.net.alphas.device
        places = range(part * size, (part + 1) * size)
        indices = [self.order.at(step)[place] for place in places]
        shape = (4, *self.latents.shapes[indices[0]])
        steps = len(self.net.alphas)
        draws = [draw(self.settings.seed, step, place, shape, steps) for place in places]
        flipped = [self.settings.flip and one.flip < 0.5 for one in draws]
        kept = torch.tensor([one.teach < self.settings.keep for one in draws])
        encoded = self.latents.batch(indices, flipped)
        spread = torch.stack([one.spread for one in draws])
        target = encoded.mean + encoded.spread * spread
        # What is kept is asked about the picture before, noised.
        target = torch.where(kept.view(-1, 1, 1, 1), encoded.source, target)
        texts = [self.text(self.pairs[i], one) for i, one in zip(indices, draws, strict=True)]
        height, width = 8 * shape[1], 8 * shape[2]
        text, vector = self.conditions(texts, height, width)
        null_text, null_vector = self.conditions([""], height, width)
        return Batch(
            target=self.net.scaled(target).to(device),
            source=encoded.source.to(device),
            text=text.to(device),
            null_text=null_text.to(device),
            noise=torch.stack([one.noise for one in draws]).to(device),
            times=torch.tensor([one.time for one in draws], device=device),
            chance=torch.tensor([one.chance for one in draws], device=device),
            taught=(kept | self.settings.distill).to(device),
            vector=None if vector is None else vector.to(device),
            null_vector=None if null_vector is None else null_vector.to(device),
        )

    def text(self, pair: Pair, one: Draw) -> str:
        """One of the pair's wordings, or another instruction where the frozen model teaches."""
        if one.teach < self.settings.keep:
            return self.lessons[int(one.lesson * len(self.lessons))]
        return pair.instructions[int(one.wording * len(pair.instructions))]

    def conditions(
        self, texts: Sequence[str], height: int, width: int
    ) -> tuple[Tensor, Tensor | None]:
        """Encoded texts [B, n, d] and SDXL's vectors [B, m] for pictures of a size in pixels."""
        found = [self.texts[text] for text in texts]
        vectors = [self.net.vector(pooled, height, width) for _, pooled in found]
        text = torch.cat([encoded for encoded, _ in found])
        return text, torch.cat([v for v in vectors if v is not None]) if all(
            v is not None for v in vectors
        ) else None
