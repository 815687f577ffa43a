"""What a model does without its picture and without its text.

Guidance goes from what a model does without its conditions to what it does with them, so it needs
a model that does the right thing without them. Each picture is taken as the picture after the edit,
much noised, and

    L(source, text) = mean (eps - net([z_t, source], t, text))^2

is measured with itself as the source, with another picture, and with none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .network import Trainable
from .step import Batch, edit_errors
from .stream import generator

# Timesteps at which little is seen of what the noise hides, so that a model believes its source.
TIMES = (900, 950)

# Encoded texts [n, m, d] and SDXL's vectors [n, k], None for other families.
Condition = tuple[Tensor, "Tensor | None"]


@dataclass(frozen=True)
class Branches:
    """Three shares of errors, each below 1/2 in a model whose branches work.

    picture     L(own) / L(other), without text: 1 where the source changes nothing
    no_picture  (L(none) - L(own)) / (L(other) - L(own)), without text. The mean of all pictures is
                off by their variance, another picture by twice that. A model that knows of no
                picture answers at least as well as with the mean, so stays below 1/2; one that
                takes zeros for a grey picture is off by the variance or more. None where the
                source changes nothing.
    no_text     L(own, no text) / L(own, an instruction): what is changed unasked, as a share of
                what an instruction changes. 1 where the text changes nothing.
    """

    picture: float
    no_picture: float | None
    no_text: float


@torch.no_grad()
def measure_branches(
    net: Trainable, sources: Tensor, instructions: Sequence[Condition], null: Condition
) -> Branches:
    """Measure a model on a few pictures.

    sources       [n, 4, h, w] of two pictures or more: modes, not scaled
    instructions  each encoded [1, m, d], and SDXL's vector [1, k] or None
    null          the empty text likewise
    """
    count, device = len(sources), net.alphas.device
    sources = sources.to(device)
    target = net.scaled(sources)

    def error(source: Tensor, condition: Condition) -> float:
        text, vector = (None if part is None else part.to(device) for part in condition)
        assert text is not None
        total = 0.0
        for time in TIMES:
            noise = torch.randn(sources.shape, generator=generator("branches", time))
            batch = Batch(
                target=target,
                source=source,
                text=text.expand(count, -1, -1),
                null_text=text,
                noise=noise.to(device),
                times=torch.full((count,), time, device=device),
                chance=torch.ones(count, device=device),
                taught=torch.zeros(count, dtype=torch.bool, device=device),
                vector=None if vector is None else vector.expand(count, -1),
            )
            total += float(edit_errors(net, batch, net.alphas, prediction=net.prediction).mean())
        return total

    own, other = error(sources, null), error(sources.roll(1, 0), null)
    none = error(torch.zeros_like(sources), null)
    asked = [error(sources, condition) for condition in instructions]
    misled = other - own
    return Branches(
        picture=own / other,
        no_picture=(none - own) / misled if misled > 1e-3 * other else None,
        no_text=own * len(asked) / sum(asked),
    )
