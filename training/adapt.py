"""What fine-tuning does to a network: image channels, low-rank additions, averaged weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

FIRST_CONV = "input_blocks.0.0.weight"
CHANNELS = 4


def with_image_channels(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """UNet weights that take a source picture beside the noisy one.

    The new channels of the first convolution are zero and all else is copied, its bias included, so
    that the network starts as the one that it was made from (Brooks et al. 2023, section 3.2).
    Weights that have the channels are returned as they are.
    """
    first = weights[FIRST_CONV]
    if first.shape[1] == 2 * CHANNELS:
        return weights
    if first.shape[1] != CHANNELS:
        raise ValueError(
            f"model: its UNet takes {first.shape[1]} channels. Training starts from a "
            "text-to-image model (4 channels) or from an InstructPix2Pix model (8 channels)."
        )
    new = torch.zeros_like(first)
    return {**weights, FIRST_CONV: torch.cat([first, new], 1)}


class LowRank(nn.Module):
    """What is added to one linear layer or convolution: up(down(x)) (Hu et al. 2021).

    `up` starts at zero, so that the network starts unchanged; the factor alpha / rank is 1.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, rank: int, source: torch.Generator) -> None:
        super().__init__()
        self.of_conv = isinstance(layer, nn.Conv2d)
        rows, columns, *kernel = layer.weight.shape
        rank = min(rank, rows, columns)
        self.down = nn.Parameter(torch.empty(rank, columns, *kernel))
        self.up = nn.Parameter(torch.zeros(rows, rank, *(1 for _ in kernel)))
        with torch.no_grad():
            # As nn.Linear starts its weights: Kaiming uniform with a = sqrt(5).
            bound = self.down[0].numel() ** -0.5
            self.down.uniform_(-bound, bound, generator=source)

    def added(self, layer: nn.Module, x: Tensor) -> Tensor:
        down, up = self.down.to(x.dtype), self.up.to(x.dtype)
        if isinstance(layer, nn.Conv2d):
            inner = functional.conv2d(x, down, None, layer.stride, layer.padding)
            return functional.conv2d(inner, up)
        return functional.linear(functional.linear(x, down), up)


class Lora(nn.Module):
    """Low-rank additions to every linear layer and convolution of a network, by forward hooks.

    except_layers  names of layers that are trained in full instead
    """

    def __init__(
        self,
        network: nn.Module,
        rank: int,
        source: torch.Generator,
        except_layers: Iterable[str] = (),
    ) -> None:
        super().__init__()
        self.active = True
        self.parts = nn.ModuleDict()
        full = set(except_layers)
        for name, layer in network.named_modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d)) and name not in full:
                part = LowRank(layer, rank, source)
                self.parts[name.replace(".", "/")] = part  # names of modules may not have dots
                layer.register_forward_hook(self._hook(part))

    def _hook(self, part: LowRank) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return output + part.added(layer, inputs[0]) if self.active else output

        return add

    @contextmanager
    def switched_off(self) -> Iterator[None]:
        """The network as it was before the additions."""
        self.active = False
        try:
            yield
        finally:
            self.active = True


def lora_file(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The additions under the names that ComfyUI's LoRA loader reads.

    tensors  `<layer with slashes>.down` and `.up`, as the parts of `Lora` name them
    """
    file = {}
    for name, tensor in tensors.items():
        layer, _, matrix = name.rpartition(".")
        layer = f"diffusion_model.{layer.replace('/', '.')}"
        file[f"{layer}.lora_{matrix}.weight"] = tensor.detach().cpu().contiguous()
        if matrix == "down":
            file[f"{layer}.alpha"] = torch.tensor(float(tensor.shape[0]))
    return file


class Average:
    """Exponential moving average of weights, with the authors' warm-up (LitEma).

    The decay of update n, from 1 on, is min(decay, (1 + n) / (10 + n)).
    """

    def __init__(self, weights: Iterable[Tensor], decay: float = 0.9999) -> None:
        self.decay, self.updates = decay, 0
        self.weights = [weight.detach().clone() for weight in weights]

    @torch.no_grad()
    def update(self, weights: Iterable[Tensor]) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for mean, weight in zip(self.weights, weights, strict=True):
            mean.lerp_(weight.detach().to(mean), 1 - decay)

    @contextmanager
    def worn(self, weights: list[nn.Parameter]) -> Iterator[None]:
        """The network with the averaged weights in place of its own."""
        own = [weight.detach().clone() for weight in weights]
        self._copy(self.weights, weights)
        try:
            yield
        finally:
            self._copy(own, weights)

    @staticmethod
    @torch.no_grad()
    def _copy(values: list[Tensor], weights: list[nn.Parameter]) -> None:
        for value, weight in zip(values, weights, strict=True):
            weight.copy_(value)
